"""Writing to collaborative fields: from an edit by position, or a client's update, to a cell."""

from crdtstore import limits
from crdtstore.errors import InvalidOperation, LimitExceeded
from crdtstore.model.cells import Cells, trail_key
from crdtstore.model.edits import plan_list, plan_text
from crdtstore.model.operations import EditList, EditText, JoinUpdate
from crdtstore.model.texts import Text, client_of
from crdtstore.model.update_contents import LIST, TEXT
from crdtstore.model.updates import EMPTY_UPDATE, decode_update, encode_update, fit
from crdtstore.model.write_context import WriteContext


def plan_edit(
    context: WriteContext, field: str, operation: EditText | EditList, delta: Cells
) -> None:
    """Put an edit of a text or list, whose state is at hand, into a delta."""
    subject = f"field {field!r}"
    kind = TEXT if isinstance(operation, EditText) else LIST
    given = operation.delta if isinstance(operation, EditText) else operation.steps
    if len(given) > limits.TEXT_OPERATIONS_MAX:
        raise LimitExceeded(
            f"an edit of {subject}", len(given), limits.TEXT_OPERATIONS_MAX, "operations"
        )
    text = _text_of(context, kind, field)
    if isinstance(operation, EditText):
        steps = plan_text(text.runs, given, operation.unit, subject)
    else:
        steps = plan_list(text.value, given, subject)
    if not steps:
        return
    client = client_of(context.origin, context.document.epoch)
    raw = text.edit(steps, client)
    if raw != EMPTY_UPDATE:
        _check_size(text, raw, subject)
        _put(context, kind, field, raw, delta)


def plan_join(context: WriteContext, field: str, operation: JoinUpdate, delta: Cells) -> None:
    """Put what a Yjs client's update brings into a delta, as far as it is news."""
    kind = operation.kind
    text = _text_of(context, kind, field)
    update = fit(decode_update(operation.update, kind), text.clocks, text.pairs)
    known = text.clocks
    fresh = [client for client in update.blocks if client not in known]
    if client_of(context.origin, context.document.epoch) in update.blocks:
        raise InvalidOperation(f"field {field!r}: an update writes as a client that is ours")
    if len(known) + len(fresh) > limits.TEXT_CLIENTS_MAX:
        raise LimitExceeded(
            f"field {field!r}", len(known) + len(fresh), limits.TEXT_CLIENTS_MAX, "clients"
        )
    if update.is_empty:
        return
    raw = text.join(encode_update(update, kind))
    if raw != EMPTY_UPDATE:
        _check_size(text, raw, f"field {field!r}")
        _put(context, kind, field, raw, delta)


def _text_of(context: WriteContext, kind: str, field: str) -> Text:
    name = kind[0] + field
    texts = context.document.texts
    if name not in texts:
        texts[name] = Text(kind)
    return texts[name]


def _check_size(text: Text, raw: bytes, subject: str) -> None:
    """Refuse an edit by which a text would outgrow its limit; raises LimitExceeded.

    One that only deletes is taken.
    """
    growth_bytes = len(raw)
    if text.size_bytes + growth_bytes > limits.TEXT_BYTES_MAX and raw[0]:
        text.drop_decoded()
        text.compact()
        size = text.size_bytes + growth_bytes
        if size > limits.TEXT_BYTES_MAX:
            text.drop_decoded()
            raise LimitExceeded(subject, size, limits.TEXT_BYTES_MAX, "bytes")


def _put(context: WriteContext, kind: str, field: str, raw: bytes, delta: Cells) -> None:
    key = trail_key(kind, field, context.source, context.origin)
    trail = context.document.cells.get(key)
    number = 1 if trail is None else trail[2] + 1
    delta[key] = (context.timestamp, context.origin, number, raw)
