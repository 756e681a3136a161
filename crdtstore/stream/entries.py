"""Entries: one write as it travels on a stream.

    [0, profile id, source, fields]              write what a source says
    [0, profile id, source, fields, version]     ... if the profile is at that version
    [1, profile id] or [1, profile id, version]  erase
    [2, profile id] or [2, profile id, version]  revive

With 4 added to the first number the result tells the profile's version. A field's value is itself;
operations look as in JSON, ``{"add": [...]}``, and a map that could be taken for one is wrapped as
``{"set": {...}}``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgpack

from crdtstore.errors import InvalidInput, InvalidName, InvalidValue, LimitExceeded
from crdtstore.model.operations import (
    OPERATION_NAMES,
    EditList,
    EditSet,
    EditText,
    FoldIn,
    Grant,
    Increment,
    Revoke,
    SetValue,
    from_json,
)
from crdtstore.model.values import to_cell_value
from crdtstore.stream import bounds

WRITE: Final = 0
ERASE: Final = 1
REVIVE: Final = 2
TELL: Final = 4

_TEXT: Final = frozenset({str})
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes, datetime})

_pack: Callable[[Any], bytes] = msgpack.Packer(datetime=True, strict_types=True).pack


class UnansweredWrite(NamedTuple):
    """A write that was submitted and whose result is not known.

    ``operation`` is "write", "erase" or "revive"; the latter two have no source and no fields.
    ``was_sent`` says whether the replica may have it.
    """

    operation: str
    id: str
    source: str
    fields: Mapping[str, Any]
    if_version: str | None
    was_sent: bool


def pack_write(
    profile_id: str, source: str, fields: Mapping[str, Any], if_version: str | None, *, tell: bool
) -> bytes:
    """Return the bytes of a write; raises InvalidInput for what cannot travel."""
    _check_texts(profile_id, source, "" if if_version is None else if_version)
    if not _TEXT.issuperset(map(type, fields)):
        raise InvalidName(f"the write to profile {profile_id!r:.80}: field names are text")
    if not _SCALARS.issuperset(map(type, fields.values())):
        fields = {field: _to_wire(field, value) for field, value in fields.items()}
    elif type(fields) is not dict:
        fields = dict(fields)
    entry = [TELL if tell else WRITE, profile_id, source, fields]
    if if_version is not None:
        entry.append(if_version)
    return _packed(entry)


def pack_epoch(kind: int, profile_id: str, if_version: str | None) -> bytes:
    """Return the bytes of an erasure or a revival, whose version is told."""
    _check_texts(profile_id, "" if if_version is None else if_version)
    return _packed([kind | TELL, profile_id, *([] if if_version is None else [if_version])])


def _check_texts(*texts: object) -> None:
    for text in texts:
        if type(text) is not str:
            raise InvalidName(
                f"profile ids, sources and versions are text, not a {type(text).__name__}"
            )


def _packed(entry: list[Any]) -> bytes:
    try:
        packed = _pack(entry)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(
            f"the write to profile {entry[1]!r:.80} cannot be sent: {error}"
        ) from error
    if len(packed) > bounds.STREAM_WRITE_BYTES_MAX:
        subject = f"the write to profile {entry[1]!r:.80}"
        raise LimitExceeded(subject, len(packed), bounds.STREAM_WRITE_BYTES_MAX, "bytes")
    return packed


def _to_wire(field: str, value: Any) -> Any:
    """Return a value or an operation as it travels; raises InvalidValue or LimitExceeded."""
    match value:
        case Increment(amount):
            return {"increment": amount}
        case EditSet(added, removed):
            return {"add": list(added), "remove": list(removed)}
        case FoldIn(fold, payload, options, version):
            body = {"fold": fold, "payload": payload, "options": options, "version": version}
            return {"fold_in": body}
        case Grant():
            return {"grant": True}
        case Revoke():
            return {"revoke": True}
        case EditText(delta, unit):
            return {"edit_text": list(delta), "unit": unit}
        case EditList(steps):
            return {"edit_list": list(steps)}
        case SetValue(inner):
            to_cell_value(inner, f"field {field!r}")
            return {"set": inner}
    to_cell_value(value, f"field {field!r}")
    if type(value) is dict and value and OPERATION_NAMES.issuperset(value):
        return {"set": value}
    return value


def read_entry(entry: Any) -> tuple[int, str, str, dict[str, Any], str | None]:
    """Return kind, profile id, source, fields and version of a received entry.

    The names are unchecked. Raises InvalidInput.
    """
    size = len(entry) if type(entry) is list else 0
    kind = entry[0] if size > 1 and type(entry[0]) is int else -1
    if kind & ~TELL == WRITE and 4 <= size <= 5:
        kind, profile_id, source, fields = entry if size == 4 else entry[:4]
        if_version = None if size == 4 else entry[4]
        if type(fields) is not dict:
            raise InvalidInput("the fields of a write are a map")
        for field, value in fields.items():
            if type(value) is dict:
                fields[field] = from_json(field, value)
    elif kind & ~TELL in (ERASE, REVIVE) and size <= 3:
        profile_id, source, fields = entry[1], "", {}
        if_version = None if size == 2 else entry[2]
    else:
        raise InvalidInput("an entry is a write, an erasure or a revival; this is none")
    if type(if_version) is not str and if_version is not None:
        raise InvalidInput("a version is text")
    return kind, profile_id, source, fields, if_version


def unanswered_write(entry: bytes, *, was_sent: bool) -> UnansweredWrite:
    """Return what an entry of our own making means."""
    kind, profile_id, *rest = msgpack.unpackb(entry, timestamp=3)
    operation = ("write", "erase", "revive")[kind & ~TELL]
    source, fields, *rest = rest if operation == "write" else ("", {}, *rest)
    fields = {field: from_json(field, value) for field, value in fields.items()}
    if_version = rest[0] if rest else None
    return UnansweredWrite(operation, profile_id, source, fields, if_version, was_sent)


def profile_id_of(entry: bytes) -> str:
    """Return the profile that an entry of our own making is about."""
    return str(msgpack.unpackb(entry, timestamp=3)[1])
