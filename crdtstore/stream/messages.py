"""Messages: what a client and its replica say on a write stream, one websocket message each.

The first byte is the kind; the rest is one msgpack array. ``docs/protocol.md`` describes them.
Writes are numbered from 1 by the client. ``handled`` is a number up to which every write was
applied or refused, durably; ``confirmed`` one up to which the client knows all results.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import msgpack

from crdtstore.errors import MessageInvalid
from crdtstore.stream import bounds

SUBPROTOCOL: Final = "crdtstore.stream.v1"
"""Name and version of the protocol, agreed on when the websocket is opened."""

CLIENT_ID_BYTES: Final = 16

Item: TypeAlias = Sequence[Any]
"""A result: [number, version] of a write that asked for it, or [number, code, text, members]."""

_packer: Final = msgpack.Packer(datetime=True)
_pack: Callable[[Any], bytes] = _packer.pack
_array_header: Callable[[int], bytes] = _packer.pack_array_header


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the client is, and what it knows.

    ``origin`` is the incarnation of the replica that made its session, 0 if none did yet.
    """

    client_id: bytes
    origin: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The replica's answer: its name and incarnation, what it has handled, and the window."""

    replica: str
    origin: int
    handled: int
    window_writes: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes with consecutive numbers from ``first``; the entries are unchecked."""

    first: int
    confirmed: int
    entries: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Results:
    """Every write up to ``handled`` is handled; ``items`` tells what is to be told of them."""

    handled: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Ping:
    """I am here; the replica answers with the like."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The client knows all its results, and does not come back."""

    confirmed: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """I end this stream, for this reason: an error's code and sentence."""

    code: str
    text: str


Message: TypeAlias = Hello | Welcome | Writes | Results | Ping | Bye | Refuse


def encode(message: Message) -> bytes:
    """Return the bytes of a message; writes are encoded by ``encode_writes``."""
    match message:
        case Hello(client_id, origin, confirmed):
            return b"\x01" + _pack([client_id, origin, confirmed])
        case Welcome(replica, origin, handled, window_writes, window_bytes):
            return b"\x02" + _pack([replica, origin, handled, window_writes, window_bytes])
        case Results(handled, items):
            return b"\x04" + _pack([handled, items])
        case Ping():
            return b"\x05\x90"
        case Bye(confirmed):
            return b"\x06" + _pack([confirmed])
        case Refuse(code, text):
            return b"\x07" + _pack([code, text])
    raise AssertionError(message)


def encode_writes(first: int, confirmed: int, entries: Sequence[bytes]) -> bytes:
    """Return the bytes of a message of writes that are packed already."""
    head = b"\x03\x93" + _pack(first) + _pack(confirmed) + _array_header(len(entries))
    return head + b"".join(entries)


def decode(data: bytes) -> Message:
    """Return the message that some bytes are; raises MessageInvalid."""
    if not data or len(data) > bounds.STREAM_MESSAGE_BYTES_MAX:
        raise MessageInvalid(f"a message has {len(data):,} bytes")
    decoder = _DECODERS.get(data[0])
    if decoder is None:
        raise MessageInvalid(f"a message has the unknown kind {data[0]}")
    try:
        fields = msgpack.unpackb(
            memoryview(data)[1:], timestamp=3, strict_map_key=True, ext_hook=_refuse_extension
        )
        if type(fields) is not list:
            raise ValueError("it is not an array")
        return decoder(*fields)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise MessageInvalid(f"a message of kind {data[0]} is malformed: {error}") from None


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"msgpack extension type {code} is not a value")


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("a number is out of range")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("a text is none")
    return value


def _decode_hello(client_id: object, origin: object, confirmed: object) -> Hello:
    if type(client_id) is not bytes or len(client_id) != CLIENT_ID_BYTES:
        raise ValueError(f"a client id has {CLIENT_ID_BYTES} bytes")
    return Hello(client_id, _number(origin), _number(confirmed))


def _decode_writes(first: object, confirmed: object, entries: object) -> Writes:
    if type(entries) is not list or not 0 < len(entries) <= bounds.STREAM_BATCH_WRITES_MAX:
        raise ValueError(f"writes are an array of 1 to {bounds.STREAM_BATCH_WRITES_MAX}")
    if not 0 <= _number(confirmed) < _number(first):
        raise ValueError("writes are numbered from 1, above what was confirmed")
    return Writes(_number(first), _number(confirmed), entries)


def _decode_results(handled: object, items: object) -> Results:
    if type(items) is not list:
        raise ValueError("items are an array")
    for item in items:
        if type(item) is not list or len(item) not in (2, 4) or type(item[1]) is not str:
            raise ValueError("an item is [number, version] or [number, code, text, members]")
        if len(item) == 4 and (type(item[2]) is not str or type(item[3]) is not dict):
            raise ValueError("a refusal is [number, code, text, members]")
        _number(item[0])
    return Results(_number(handled), items)


_DECODERS: Final[dict[int, Callable[..., Message]]] = {
    1: _decode_hello,
    2: lambda replica, origin, handled, window_writes, window_bytes: Welcome(
        _text(replica), _number(origin), _number(handled),
        _number(window_writes) or 1, _number(window_bytes) or 1,
    ),
    3: _decode_writes,
    4: _decode_results,
    5: lambda: Ping(),
    6: lambda confirmed: Bye(_number(confirmed)),
    7: lambda code, text: Refuse(_text(code)[:100], _text(text)[:1000]),
}  # fmt: skip
