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
from crdtstore.model.folds import FOLDS, Options, Payload, value_in_window
from crdtstore.model.operations import FoldIn
from crdtstore.model.values import OPAQUE_EXT_CODE, CellValue, Value, pack, unpack_opaque
from crdtstore.packing import check_claims

COUNTED: Final = "trait: a partial of it"
"""The rule of a partial that takes part in the value."""


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


def check_definition(version: Any, fold: Any, options: Any) -> None:
    """Check version, fold and options of a partial from elsewhere; raises InvalidValue."""
    check_count(version, 1)
    if type(fold) is not str or fold not in FOLDS:
        raise InvalidValue(f"{fold!r:.40} is no fold; there are {', '.join(FOLDS)}")
    if type(options) is not list:
        raise InvalidValue("the options of a partial are no list")
    FOLDS[fold].check_options(options)


def check_trait(value: Any) -> None:
    """Check what a cell of a trait from elsewhere holds; raises InvalidValue."""
    if type(value) is not msgpack.ExtType or value.code != OPAQUE_EXT_CODE:
        raise InvalidValue("a trait's cell holds no partial")
    if len(value.data) > limits.PARTIAL_BYTES_MAX:
        raise InvalidValue("a partial is larger than the limit")
    try:
        check_claims(value.data)
        parts = unpack_opaque(value.data)
        check_list(parts, 4, "a partial")
        version, fold, options, payload = parts
        check_definition(version, fold, options)
        FOLDS[fold].check(payload, options)
        repacked = pack(parts)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"a partial is malformed: {error}") from error
    if repacked != value.data:
        raise InvalidValue("a partial is not in its one form")


def partial_of(value: CellValue) -> Partial:
    """Return the partial in a cell."""
    return Partial(*unpack_opaque(value.data))


def folded_in(old: CellValue | None, new: FoldIn | Partial, field: str) -> CellValue:
    """Return what a cell holds when something was folded into it by its own writer.

    A partial of a newer version starts anew. Raises InvalidOperation for what cannot be folded in,
    an older version, or another definition of the same, and LimitExceeded.
    """
    present = None if old is None else partial_of(old)
    options = new.options if type(new.options) is list else list(new.options)
    if present is not None and _is_same_definition(present, new, options):
        fold, options = FOLDS[present.fold], present.options
        _check(new, field, options)
        payload = fold.unite(present.payload, new.payload, options)
    else:
        _check_definition(new, field, options)
        fold, payload = FOLDS[new.fold], new.payload
        _check(new, field, options)
        _check_newer(present, new, field)
    packed = pack((new.version, new.fold, options, fold.bounded(payload, options)))
    if len(packed) > limits.PARTIAL_BYTES_MAX:
        subject = f"the partial of field {field!r}"
        raise LimitExceeded(subject, len(packed), limits.PARTIAL_BYTES_MAX, "bytes")
    return msgpack.ExtType(OPAQUE_EXT_CODE, packed)


def _is_same_definition(present: Partial, new: FoldIn | Partial, options: Options) -> bool:
    return (
        present.version == new.version
        and present.fold == new.fold
        and present.options == options
        and type(new.version) is int
    )


def _check_definition(new: FoldIn | Partial, field: str, options: Options) -> None:
    try:
        check_definition(new.version, new.fold, options)
    except InvalidValue as error:
        raise InvalidOperation(f"field {field!r}: {error}") from error


def _check(new: FoldIn | Partial, field: str, options: Options) -> None:
    try:
        FOLDS[new.fold].check(new.payload, options)
    except InvalidValue as error:
        raise InvalidOperation(f"field {field!r}: {error}") from error


def _check_newer(present: Partial | None, new: FoldIn | Partial, field: str) -> None:
    """Check that another definition has a greater version; raises InvalidOperation."""
    if present is None or new.version > present.version:
        return
    if new.version == present.version:
        raise InvalidOperation(
            f"field {field!r}: version {new.version} of this trait is folded by "
            f"{present.fold} {present.options}, not by {new.fold} {new.options}; "
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
        return msgpack.ExtType(OPAQUE_EXT_CODE, pack(value))
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
