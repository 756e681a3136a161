"""Turning a write into cells: what a source's operations mean for one document.

Nothing is changed here: the result is a delta, which the store joins, frames and replicates. What
a source repeats is left out, so services that send everything again replicate nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import InvalidOperation, InvalidValue, KindConflict, LimitExceeded
from crdtstore.identity_rules import IDENTIFIERS
from crdtstore.model.cells import (
    DENIAL,
    KIND_OF_LETTER,
    SEPARATOR,
    SET,
    Cells,
    MaximaCell,
    counter_key,
    denial_key,
    encode_element,
    grant_key,
    parse_key,
    register_key,
    set_key,
    trait_key,
)
from crdtstore.model.document import Document
from crdtstore.model.identifiers import normalised
from crdtstore.model.operations import (
    EditList,
    EditSet,
    EditText,
    FoldIn,
    Grant,
    Increment,
    JoinUpdate,
    Operation,
    Revoke,
    SetValue,
)
from crdtstore.model.text_write import plan_edit, plan_join
from crdtstore.model.traits import folded_in
from crdtstore.model.values import Value, pack, same_cell_value, to_cell_value
from crdtstore.model.write_context import WriteContext
from crdtstore.names import check_name

_KIND_OF_OPERATION: Final[dict[type, str]] = {
    SetValue: "register",
    Increment: "counter",
    FoldIn: "trait",
    EditSet: "set",
    Grant: "consent",
    Revoke: "consent",
    EditText: "text",
    EditList: "list",
    JoinUpdate: "",
}

_register_keys: dict[tuple[str, str], str] = {}
_trait_keys: dict[tuple[str, str, int], str] = {}


def plan_write(
    context: WriteContext, fields: Mapping[str, Value | Operation]
) -> tuple[Cells, tuple[str, ...]]:
    """Return the cells of a write and the fields that it changes; nothing for what is a no-op.

    Raises InvalidValue, InvalidName, InvalidOperation, KindConflict or LimitExceeded.
    """
    delta: Cells = {}
    changed: list[str] = []
    for field, given in fields.items():
        size = len(delta)
        operation_kind = _KIND_OF_OPERATION.get(type(given))
        if operation_kind is None:
            _plan_register(context, field, given, delta)
        elif operation_kind == "trait":
            _plan_fold(context, field, given, delta)  # type: ignore[arg-type]
        else:
            _check_kind(context, field, operation_kind or given.kind)  # type: ignore[union-attr]
            _plan_operation(context, field, given, delta)
        if len(delta) != size:
            changed.append(field)
    if delta:
        _check_document_limits(context.document, delta)
    return delta, tuple(changed)


def _plan_operation(context: WriteContext, field: str, operation: Any, delta: Cells) -> None:
    check_name(field, "field name", limits.FIELD_NAME_BYTES_MAX)
    match operation:
        case SetValue(value):
            _plan_register(context, field, value, delta)
        case Increment(amount):
            _plan_increment(context, field, amount, delta)
        case EditSet(added, removed):
            _plan_set(context, field, added, removed, delta)
        case Grant():
            _plan_grant(context, field, delta)
        case Revoke():
            key = denial_key(field, context.source, context.origin)
            old = context.document.cells.get(key, (0, 0))
            delta[key] = (context.timestamp, old[1])
        case EditText() | EditList():
            plan_edit(context, field, operation, delta)
        case JoinUpdate():
            plan_join(context, field, operation, delta)


def _plan_register(context: WriteContext, field: str, value: object, delta: Cells) -> None:
    key = _register_keys.get((field, context.source))
    if key is None:
        check_name(field, "field name", limits.FIELD_NAME_BYTES_MAX)
        key = register_key(field, context.source)
        if len(_register_keys) >= limits.PARSED_KEYS_MAX:
            _register_keys.clear()
        _register_keys[field, context.source] = key
    cell_value = to_cell_value(value, f"field {field!r}")
    old = context.document.cells.get(key)
    if old is None:
        _check_kind(context, field, "register")
        if cell_value is None:
            return
    else:
        _check_declared(context, field, "register")
        if same_cell_value(old[2], cell_value):
            return
    delta[key] = (context.timestamp, context.origin, cell_value)


def _plan_increment(context: WriteContext, field: str, amount: Any, delta: Cells) -> None:
    if type(amount) not in (int, float):
        raise InvalidOperation(
            f"field {field!r}: a counter changes by a number, not by a {type(amount).__name__}"
        )
    to_cell_value(amount, f"field {field!r}")
    if amount == 0:
        return
    key = counter_key(field, context.source, context.origin)
    old = context.document.cells.get(key)
    partial = amount if old is None else old[2] + amount
    try:
        delta[key] = (context.timestamp, context.origin, to_cell_value(partial, "the sum"))
    except InvalidValue as error:
        raise InvalidValue(f"field {field!r}: the counter would overflow: {error}") from error


def _plan_fold(context: WriteContext, field: str, operation: FoldIn, delta: Cells) -> None:
    place = field, context.source, context.origin
    key = _trait_keys.get(place)
    if key is None:
        check_name(field, "field name", limits.FIELD_NAME_BYTES_MAX)
        key = trait_key(*place)
        if len(_trait_keys) >= limits.PARSED_KEYS_MAX:
            _trait_keys.clear()
        _trait_keys[place] = key
    old = context.document.cells.get(key)
    if old is None:
        _check_kind(context, field, "trait")
    else:
        _check_declared(context, field, "trait")
    present = None if old is None else old[2]
    try:
        partial = folded_in(present, operation, field)
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidOperation(f"field {field!r}: {error}") from error
    if partial != present:
        delta[key] = (context.timestamp, context.origin, partial)


def _plan_set(
    context: WriteContext,
    field: str,
    added: tuple[Value, ...],
    removed: tuple[Value, ...],
    delta: Cells,
) -> None:
    if not isinstance(added, tuple | list) or not isinstance(removed, tuple | list):
        raise InvalidOperation(f"field {field!r}: elements to add or remove come as a tuple")
    if field == IDENTIFIERS:
        region = context.schema.identity.phone_region
        added = tuple(normalised(element, region) for element in added)
        removed = tuple(_normalised_if_any(element, region) for element in removed)
    adds = {_element_name(field, element) for element in added}
    removes = {_element_name(field, element) for element in removed}
    if adds & removes:
        raise InvalidOperation(f"field {field!r}: an element is both added and removed")
    asserted: set[str] = set()
    for key, cell in _maxima_cells(context.document, SET, field):
        parsed = parse_key(key)
        if cell[0] <= cell[1]:
            continue
        if parsed.element in removes:
            delta[key] = (cell[0], cell[0])
        elif parsed.source == context.source:
            asserted.add(parsed.element)
    for element in sorted(adds - asserted):
        key = set_key(field, context.source, context.origin, element)
        old = context.document.cells.get(key, (0, 0))
        delta[key] = (context.timestamp, old[1])
    if len(context.document.cells) + len(delta) > limits.ELEMENTS_PER_SET_MAX:
        _check_set_size(context.document, delta, field)


def _normalised_if_any(element: Value, region: str) -> Value:
    """Return the identifier to remove; one that other rules let in is removed as it stands."""
    try:
        return normalised(element, region)
    except InvalidValue:
        return element


def _plan_grant(context: WriteContext, field: str, delta: Cells) -> None:
    size = len(delta)
    for key, cell in _maxima_cells(context.document, DENIAL, field):
        if cell[0] > cell[1]:
            delta[key] = (cell[0], cell[0])
    key = grant_key(field, context.source)
    if len(delta) != size or key not in context.document.cells:
        delta[key] = (context.timestamp, context.origin, True)


def _element_name(field: str, element: Value) -> str:
    if element is None or isinstance(element, list | dict):
        raise InvalidValue(
            f"field {field!r}: a set element is text, a number, a boolean, bytes or a datetime, "
            f"not a {type(element).__name__}"
        )
    value = to_cell_value(element, f"an element of field {field!r}")
    size = len(pack(value))
    if size > limits.ELEMENT_BYTES_MAX:
        subject = f"an element of field {field!r}"
        raise LimitExceeded(subject, size, limits.ELEMENT_BYTES_MAX, "bytes")
    return encode_element(value)


def _maxima_cells(document: Document, letter: str, field: str) -> Iterator[tuple[str, MaximaCell]]:
    prefix = f"{letter}{field}{SEPARATOR}"
    for key, cell in document.cells.items():
        if key.startswith(prefix):
            yield key, (cell[0], cell[1])


def _check_kind(context: WriteContext, field: str, kind: str) -> None:
    """Refuse an operation that does not fit the field; raises KindConflict."""
    if _check_declared(context, field, kind):
        return
    for key in context.document.cells:
        parsed = parse_key(key)
        if parsed.field == field and KIND_OF_LETTER[parsed.letter] != kind:
            raise KindConflict(
                f"field {field!r} of this profile is a {KIND_OF_LETTER[parsed.letter]}; "
                f"a {kind} operation does not fit it"
            )


def _check_declared(context: WriteContext, field: str, kind: str) -> bool:
    """Say whether the schema declares the field; raises KindConflict if as another kind."""
    declared = context.schema.kind_of(field)
    if declared is None:
        return False
    if declared != kind:
        raise KindConflict(
            f"field {field!r} is declared as a {declared}; a {kind} operation does not fit it"
        )
    return True


def _check_document_limits(document: Document, delta: Cells) -> None:
    """Refuse a write that brings too many fields or sources; raises LimitExceeded."""
    cells = document.cells
    if len(cells) + len(delta) <= limits.SOURCES_PER_DOCUMENT_MAX:
        return
    new = [parse_key(key) for key in delta if key not in cells]
    if not new:
        return
    present = [parse_key(key) for key in cells]
    for subject, maximum, before, added in (
        (
            "fields",
            limits.FIELDS_PER_DOCUMENT_MAX,
            {key.field for key in present},
            {key.field for key in new},
        ),
        (
            "sources",
            limits.SOURCES_PER_DOCUMENT_MAX,
            {key.source for key in present},
            {key.source for key in new},
        ),
    ):
        size = len(before | added)
        if size > maximum and size > len(before):
            raise LimitExceeded("the profile", size, maximum, subject)


def _check_set_size(document: Document, delta: Cells, field: str) -> None:
    """Refuse a set that grows beyond its limit; raises LimitExceeded."""
    standing = {
        parse_key(key).element
        for key, cell in _maxima_cells(document, SET, field)
        if cell[0] > delta.get(key, cell)[1]
    }
    grown = {
        parsed.element
        for key, cell in delta.items()
        if (parsed := parse_key(key)).letter == SET and parsed.field == field and cell[0] > cell[1]
    }
    size = len(standing | grown)
    if size > limits.ELEMENTS_PER_SET_MAX and grown - standing:
        subject = f"the set of field {field!r}"
        raise LimitExceeded(subject, size, limits.ELEMENTS_PER_SET_MAX, "elements")
