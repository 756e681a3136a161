"""Tagged values: bytes and datetimes in JSON, which has neither.

Inside the value of a field, and only there,

    {"$bytes": "aGVsbG8="}                     is bytes, in base64
    {"$datetime": "2026-11-20T10:00:00Z"}      is a moment, in ISO 8601 with its offset

A map of a user that looks like one of these is escaped by one more ``$``: the map
``{"$bytes": 1}`` is written ``{"$$bytes": 1}``, that one ``{"$$$bytes": 1}``, and so on. Only maps
with exactly one key, of dollars and ``bytes`` or ``datetime``, are ever touched, so every value
comes back as it went in. In msgpack both types are native and nothing is escaped.
"""

import base64
import binascii
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import InvalidValue, LimitExceeded

BYTES_TAG: Final = "$bytes"
DATETIME_TAG: Final = "$datetime"
_TAG_NAMES: Final = ("bytes", "datetime")


def to_tagged(value: Any) -> Any:
    """Return a value in the form that JSON can carry."""
    kind = type(value)
    if kind is dict:
        if len(value) == 1 and _is_tag(next(iter(value))):
            return {"$" + key: to_tagged(item) for key, item in value.items()}
        return {key: to_tagged(item) for key, item in value.items()}
    if kind is list:
        return [to_tagged(item) for item in value]
    if kind is bytes:
        return {BYTES_TAG: base64.b64encode(value).decode()}
    if kind is datetime:
        return {DATETIME_TAG: value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    return value


def from_tagged(value: Any, depth: int = 0) -> Any:
    """Return the value that a JSON form means; raises InvalidValue for a malformed tag."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return value
    if depth > limits.VALUE_DEPTH_MAX + 3:  # an operation and a tag are no part of the value
        raise LimitExceeded("nesting of a value", depth, limits.VALUE_DEPTH_MAX, "levels")
    if kind is list:
        return [from_tagged(item, depth + 1) for item in value]
    if len(value) == 1:
        (key,) = value
        if _is_tag(key):
            return _from_tag(key, value[key], depth)
    return {key: from_tagged(item, depth + 1) for key, item in value.items()}


def _is_tag(key: object) -> bool:
    return type(key) is str and key[:1] == "$" and key.lstrip("$") in _TAG_NAMES


def _from_tag(key: str, content: Any, depth: int) -> Any:
    if key == BYTES_TAG:
        return _bytes_of(content)
    if key == DATETIME_TAG:
        return _datetime_of(content)
    return {key[1:]: from_tagged(content, depth + 1)}


def _bytes_of(content: Any) -> bytes:
    if type(content) is str:
        try:
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise InvalidValue(
        '{"$bytes": ...} takes base64 text; to store such a map itself, write {"$$bytes": ...}'
    )


def _datetime_of(content: Any) -> datetime:
    moment = None
    if type(content) is str:
        with suppress(ValueError):
            moment = datetime.fromisoformat(content)
    if moment is None or moment.tzinfo is None:
        raise InvalidValue(
            '{"$datetime": ...} takes ISO 8601 with an offset, as in "2026-11-20T10:00:00Z"; '
            'to store such a map itself, write {"$$datetime": ...}'
        )
    return moment
