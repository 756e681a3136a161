"""Traits: the partials that replicas keep of them, in cells, and what readers make of these.

A cell of a trait holds a partial, which says by itself how it is folded: a packed list of version,
fold, options and payload. Each source has one at each origin, as with a counter. Partials of the
newest version of a definition count; those of an older one are what is left of it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from crdtstore import limits
from crdtstore.errors import InvalidOperation, InvalidValue, LimitExceeded
from crdtstore.model.amounts import check_count, check_list
from crdtstore.model.folds import FOLDS, Fold, Options, Payload, value_in_window
from crdtstore.model.operations import FoldIn
from crdtstore.model.values import OPAQUE_EXT_CODE, CellValue, Value, pack, unpack_opaque
from crdtstore.packing import check_claims_of_value, extension

COUNTED: Final = "trait: a partial of it"
"""The rule of a partial that takes part in the value."""

_FOUR_PARTS: Final = b"\x94"
"""How a packed list of four begins."""


class Definition(NamedTuple):
    """How a trait is folded: checked, and with ``head``, the bytes that its partials begin with."""

    version: int
    fold: Fold
    options: Options
    head: bytes


class Partial(NamedTuple):
    """What one origin has folded of a trait, by a version of its definition."""

    version: int
    fold: str
    options: Options
    payload: Payload

    @property
    def definition(self) -> tuple[int, bytes]:
        """What partials have in common that are folded together: the greatest one counts."""
        return self.version, pack((self.fold, self.options))


_definitions: dict[bytes, Definition] = {}
"""Definitions that were checked, by their packed version, fold and options."""

_last_of_field: dict[str, Definition] = {}
"""The definition of the last partial that came for a field: mostly that of the next one."""


def check_definition(version: Any, fold: Any, options: Any) -> None:
    """Check version, fold and options of a partial from elsewhere; raises InvalidValue."""
    check_count(version, 1)
    if type(fold) is not str or fold not in FOLDS:
        raise InvalidValue(f"{fold!r:.40} is no fold; there are {', '.join(FOLDS)}")
    if type(options) is not list:
        raise InvalidValue("the options of a partial are no list")
    FOLDS[fold].check_options(options)


def _definition_of(version: Any, fold: Any, options: Any) -> Definition:
    """Return a definition, checked, or remembered from when it was; raises InvalidValue."""
    try:
        packed = pack((version, fold, options))
        definition = _definitions.get(packed)
        if definition is None:
            parts = unpack_opaque(packed)
            check_definition(*parts)
            head = _FOUR_PARTS + packed[1:]
            definition = Definition(parts[0], FOLDS[parts[1]], parts[2], head)
            _remember(_definitions, packed, definition)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"a definition is malformed: {error}") from error
    return definition


def _remember(definitions: dict[Any, Definition], place: Any, definition: Definition) -> None:
    if len(definitions) >= limits.TRAIT_DEFINITIONS_REMEMBERED:
        definitions.clear()
    definitions[place] = definition


def check_trait(value: Any, field: str) -> None:
    """Check what a cell of a field from elsewhere holds as a trait; raises InvalidValue."""
    if type(value) is not msgpack.ExtType or value.code != OPAQUE_EXT_CODE:
        raise InvalidValue("a trait's cell holds no partial")
    packed = value.data
    if len(packed) > limits.PARTIAL_BYTES_MAX:
        raise InvalidValue("a partial is larger than the limit")
    try:
        check_claims_of_value(packed)
        definition = _last_of_field.get(field)
        if definition is None or not packed.startswith(definition.head):
            definition = _definition_in(packed)
            _remember(_last_of_field, field, definition)
        packed_payload = packed[len(definition.head) :]
        payload = msgpack.unpackb(packed_payload)
        definition.fold.check(payload, definition.options)
        is_canonical = pack(payload) == packed_payload
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"a partial is malformed: {error}") from error
    if not is_canonical:
        raise InvalidValue("a partial is not in its one form")


def _definition_in(packed: bytes) -> Definition:
    """Return the definition of a partial from elsewhere; raises ValueError."""
    parts = unpack_opaque(packed)
    check_list(parts, 4, "a partial")
    definition = _definition_of(*parts[:3])
    if not packed.startswith(definition.head):
        raise InvalidValue("its definition is not in its one form")
    return definition


def partial_of(value: CellValue) -> Partial:
    """Return the partial in a cell."""
    return Partial(*unpack_opaque(value.data))


def folded_in(old: CellValue | None, new: FoldIn | Partial, field: str) -> CellValue:
    """Return what a cell holds when something was folded into it by its own writer.

    That is ``old`` itself if it changes nothing. A partial of a newer version starts anew. Raises
    InvalidOperation for what cannot be folded in, an older version, or another definition of the
    same, and LimitExceeded.
    """
    payload = new.payload
    try:
        _, fold, options, head = _definition_of(new.version, new.fold, new.options)
        fold.check(payload, options)
    except InvalidValue as error:
        raise InvalidOperation(f"field {field!r}: {error}") from error
    if old is not None:
        if old.data.startswith(head):
            present = msgpack.unpackb(old.data[len(head) :])
            payload = fold.unite(present, payload, options)
            if payload is present:
                return old
        else:
            _check_newer(partial_of(old), new, field)
    packed = head + pack(fold.bounded(payload, options))
    if len(packed) > limits.PARTIAL_BYTES_MAX:
        subject = f"the partial of field {field!r}"
        raise LimitExceeded(subject, len(packed), limits.PARTIAL_BYTES_MAX, "bytes")
    return extension(OPAQUE_EXT_CODE, packed)


def _check_newer(present: Partial, new: FoldIn | Partial, field: str) -> None:
    """Check that another definition has a greater version; raises InvalidOperation."""
    if new.version > present.version:
        return
    if new.version == present.version:
        raise InvalidOperation(
            f"field {field!r}: version {new.version} of this trait is folded by "
            f"{present.fold} {present.options}, not by {new.fold} {list(new.options)}; "
            "another definition takes a greater version"
        )
    raise InvalidOperation(
        f"field {field!r}: this trait has version {present.version} here; "
        f"a partial of version {new.version} is too late"
    )


def counting(cells: Sequence[CellValue]) -> tuple[int, bytes]:
    """Return the definition whose partials count among some: that of the greatest version."""
    return max(partial_of(cell).definition for cell in cells)


def value_of(cells: Iterable[CellValue]) -> CellValue | list[CellValue]:
    """Return what the partials in some cells come to; None if that is nothing."""
    united: Partial | None = None
    for _, partial in sorted((cell.data, partial_of(cell)) for cell in cells):
        if united is None or partial.definition > united.definition:
            united = partial
        elif partial.definition == united.definition:
            fold = FOLDS[partial.fold]
            payload = fold.unite(united.payload, partial.payload, partial.options)
            united = united._replace(payload=payload)
    if united is None:
        return None
    value = FOLDS[united.fold].value(united.payload, united.options)
    if isinstance(value, dict):
        return extension(OPAQUE_EXT_CODE, pack(value))
    return value


def trait_at(value: Value, now_ms: int) -> Value:
    """Return what the value of a trait is at a time: windows are folded, all else is as it is.

    A golden record has all buckets of a window, for it is the same whenever it is read.
    """
    if type(value) is not dict or value.keys() != {"fold", "options", "payload"}:
        return value
    if value["fold"] != "windows":
        return value
    return value_in_window(value["payload"], value["options"], now_ms)  # type: ignore[arg-type]
