"""Values: what a field may hold, and how it rests in a cell.

A value is a JSON value, bytes, or a UTC datetime. Scalars are stored as they are. Lists and maps
are opaque: they are packed once, when written, and unpacked when read, so a document on its way
through the store never holds a nested container.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

import msgpack

from crdtstore import limits
from crdtstore.errors import InvalidValue, LimitExceeded
from crdtstore.packing import check_claims_of_value, extension

Value: TypeAlias = (
    bool | int | float | str | bytes | datetime | list["Value"] | dict[str, "Value"] | None
)
CellValue: TypeAlias = Any
"""A value as a cell holds it: a scalar Value, or a packed list or map (msgpack.ExtType)."""

OPAQUE_EXT_CODE: Final = 1
"""msgpack extension type of a packed list or map."""

CELL_VALUE_TYPES: Final = frozenset(
    {type(None), bool, int, float, str, bytes, datetime, msgpack.ExtType}
)

pack: Callable[[Any], bytes] = msgpack.Packer(datetime=True).pack
"""Pack cells and documents: the same input always gives the same bytes."""


def unpack_opaque(packed: bytes) -> Any:
    """Unpack bytes that ``pack`` made of a list or a map (at most 64 KiB)."""
    return msgpack.unpackb(packed, timestamp=3, strict_map_key=True, ext_hook=_no_extension)


def _no_extension(code: int, data: bytes) -> Any:
    raise InvalidValue(f"msgpack extension type {code} is not a value")


def to_cell_value(value: object, subject: str) -> CellValue:
    """Check a value and return the form in which a cell holds it.

    ``subject`` names the place for the error ("field 'email'"). A datetime must be aware and is
    brought to UTC. Raises InvalidValue or LimitExceeded.
    """
    kind = type(value)
    if kind is str:
        _check_text(value, subject)  # type: ignore[arg-type]
        return value
    if kind is list or kind is dict:
        packed = _pack_opaque(value, subject)
        if len(packed) > limits.VALUE_BYTES_MAX:
            raise LimitExceeded(f"value of {subject}", len(packed), limits.VALUE_BYTES_MAX, "bytes")
        return extension(OPAQUE_EXT_CODE, packed)
    return _check_scalar(value, subject)


def from_cell_value(value: CellValue) -> Value:
    """Return the value that was written, from the form in which a cell holds it."""
    if type(value) is msgpack.ExtType:
        value = unpack_opaque(value.data)
    return cast(Value, value)


def same_cell_value(one: CellValue, other: CellValue) -> bool:
    """Say whether two cell values are the same value: 1, 1.0 and True are three values."""
    if type(one) is not type(other) or one != other:
        return False
    return type(one) is not float or math.copysign(1.0, one) == math.copysign(1.0, other)


def check_cell_value(value: object) -> None:
    """Check a value that came in a frame; raises InvalidValue."""
    kind = type(value)
    if kind not in CELL_VALUE_TYPES:
        raise InvalidValue(f"a cell holds a {kind.__name__}")
    if kind is int:
        if not limits.INTEGER_MIN <= value <= limits.INTEGER_MAX:  # type: ignore[operator]
            raise InvalidValue("a cell holds an integer beyond 64 bits")
    elif kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise InvalidValue("a cell holds a number that is not finite")
    elif kind is bytes:
        if len(value) > limits.VALUE_BYTES_MAX:  # type: ignore[arg-type]
            raise InvalidValue("a cell holds bytes beyond the limit of a value")
    elif kind is msgpack.ExtType:
        _check_opaque(value)


def _check_opaque(value: msgpack.ExtType) -> None:
    """Check a packed list or map from elsewhere: it must unpack, and be what ``pack`` makes."""
    if value.code != OPAQUE_EXT_CODE or len(value.data) > limits.VALUE_BYTES_MAX:
        raise InvalidValue("a cell holds a msgpack extension that is no opaque value")
    try:
        check_claims_of_value(value.data)
        unpacked = unpack_opaque(value.data)
        repacked = _pack_opaque(unpacked, "a cell")
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"a cell holds an opaque value that is malformed: {error}") from error
    if type(unpacked) not in (list, dict) or repacked != value.data:
        raise InvalidValue("a cell holds an opaque value that is not canonical")


def _check_text(text: str, subject: str) -> None:
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise InvalidValue(f"{subject}: text with a lone surrogate is not Unicode") from None
    if size > limits.VALUE_BYTES_MAX:
        raise LimitExceeded(f"value of {subject}", size, limits.VALUE_BYTES_MAX, "bytes")


def _check_scalar(value: object, subject: str) -> CellValue:
    match value:
        case None | bool():
            return value
        case int() if type(value) is int:
            if not limits.INTEGER_MIN <= value <= limits.INTEGER_MAX:
                raise InvalidValue(
                    f"{subject}: an integer of {value.bit_length()} bits; "
                    "the limit is signed 64 bits"
                )
            return value
        case float() if type(value) is float:
            if not math.isfinite(value):
                raise InvalidValue(f"{subject}: {value} is not a finite number")
            return value
        case bytes():
            if len(value) > limits.VALUE_BYTES_MAX:
                raise LimitExceeded(
                    f"value of {subject}", len(value), limits.VALUE_BYTES_MAX, "bytes"
                )
            return bytes(value)
        case datetime():
            return _to_utc(value, subject)
    raise InvalidValue(
        f"{subject}: a {type(value).__name__} is not a value; allowed are JSON values, bytes and "
        "UTC datetimes"
    )


def _to_utc(value: datetime, subject: str) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidValue(f"{subject}: a datetime without a time zone is ambiguous; add UTC")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise InvalidValue(f"{subject}: {value} is not representable in UTC") from None
    return datetime(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second,
        moment.microsecond, UTC,
    )  # fmt: skip


def _pack_opaque(value: object, subject: str) -> bytes:
    return pack(_checked_copy(value, subject, 1))


def _checked_copy(value: object, subject: str, depth: int) -> object:
    if depth > limits.VALUE_DEPTH_MAX:
        raise LimitExceeded(f"nesting of {subject}", depth, limits.VALUE_DEPTH_MAX, "levels")
    if type(value) is list:
        return [_checked_copy(item, subject, depth + 1) for item in value]
    if type(value) is dict:
        return _checked_map(value, subject, depth)
    if type(value) is str:
        _check_text(value, subject)
        return value
    return _check_scalar(value, subject)


def _checked_map(value: Mapping[object, object], subject: str, depth: int) -> dict[str, object]:
    copy: dict[str, object] = {}
    for key, item in value.items():
        if type(key) is not str:
            raise InvalidValue(f"{subject}: a map key is a {type(key).__name__}, not text")
        _check_text(key, subject)
        copy[key] = _checked_copy(item, subject, depth + 1)
    return copy
