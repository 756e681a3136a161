"""Messages: what two replicas say on a link, one websocket binary message each.

The first byte is the kind; the rest is msgpack, except FRAMES, which is frames end to end. Maps of
origin to number travel as flat arrays. ``docs/protocol.md`` shows every message byte by byte.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.errors import FrameCorrupt, MessageInvalid
from crdtstore.names import is_profile_id
from crdtstore.sync.frame import HASH_BYTES, decode_packed, refuse_map, split_frames
from crdtstore.sync.vector import Heads, Vector

PROTOCOL_VERSION: Final = 1

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of both ends: who we are, what we have, what we can still serve.

    ``heads`` says what we have of every origin, of the receiver's too. ``floor`` is the vector
    below which our journal was trimmed: a peer that does not cover it needs a snapshot. ``nonce``
    is drawn at each start. ``clock_ms`` is our wall clock.
    """

    space: str
    name: str
    origin: int
    nonce: int
    schema: str
    clock_ms: int
    profiles: int
    heads: Heads
    floor: Vector
    names: dict[int, str]
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Frames:
    """Whole frames, in an order in which each follows what it depends on."""

    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Gossip:
    """What the sender has made durable; an acknowledgement and an advertisement at once."""

    vector: Vector
    clock_ms: int
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Want:
    """Send me the frames of these origins after these sequences, and go on with new ones."""

    after: Vector


@dataclass(frozen=True, slots=True)
class Prune:
    """Send me no more frames of these origins: somebody else does."""

    origins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Credit:
    """You may send this many bytes more."""

    granted_bytes: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """I no longer have the frames that you want; ask for a snapshot."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Send me your documents, in the order of profile ids, after this one."""

    after: str


@dataclass(frozen=True, slots=True)
class SnapshotBegin:
    """The documents that follow contain at least these heads."""

    heads: Heads
    names: dict[int, str]
    profiles: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Documents, or parts of large ones, as a packed array of [profile id, epoch, cells].

    All documents up to ``last_id`` have now been sent. No cell is newer than ``timestamp``.
    """

    last_id: str
    timestamp: int
    entries: bytes


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The last document was sent."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """I close this link, for this reason (an error's code and sentence)."""

    code: str
    reason: str


Message: TypeAlias = (
    Hello | Frames | Gossip | Want | Prune | Credit | Trimmed | SnapshotRequest
    | SnapshotBegin | SnapshotChunk | SnapshotEnd | Refuse
)  # fmt: skip


def encode(message: Message, tag: bytes) -> bytes:
    """Return the bytes of a message; ``tag`` is the space's."""
    match message:
        case Frames(frames):
            return b"\x02" + b"".join(frames)
        case SnapshotChunk(last_id, timestamp, entries):
            content = _pack([last_id, timestamp, entries])
            return b"\x09" + _chunk_hash(content, tag) + content
    kind, fields = _fields_of(message)
    return bytes((kind,)) + _pack(fields)


def _fields_of(message: Message) -> tuple[int, list[Any]]:
    match message:
        case Hello() as hello:
            return 1, [
                hello.version, hello.space, hello.name, hello.origin, hello.nonce, hello.schema,
                hello.clock_ms, hello.profiles, _flat_heads(hello.heads), _flat(hello.floor),
                _flat(hello.names),
            ]  # fmt: skip
        case Gossip(vector, clock_ms, names):
            return 3, [_flat(vector), clock_ms, _flat(names)]
        case Want(after):
            return 4, [_flat(after)]
        case Prune(origins):
            return 5, [list(origins)]
        case Credit(granted_bytes):
            return 6, [granted_bytes]
        case Trimmed():
            return 10, []
        case SnapshotRequest(after):
            return 7, [after]
        case SnapshotBegin(heads, names, profiles):
            return 8, [_flat_heads(heads), _flat(names), profiles]
        case SnapshotEnd():
            return 11, []
        case Refuse(code, reason):
            return 12, [code, reason]
    raise AssertionError(message)


def decode(data: bytes, tag: bytes) -> Message:
    """Return the message that some bytes are; raises MessageInvalid or FrameCorrupt."""
    if not data or len(data) > limits.MESSAGE_BYTES_MAX:
        raise MessageInvalid(f"a message has {len(data):,} bytes")
    if data[0] == 2:
        return Frames(tuple(split_frames(data[1:])))
    if data[0] == 9:
        return _decode_chunk(data, tag)
    decoder = _DECODERS.get(data[0])
    if decoder is None:
        raise MessageInvalid(f"a message has the unknown kind {data[0]}")
    try:
        fields = decode_packed(data[1:], holds_maps=False)
    except FrameCorrupt as error:
        raise MessageInvalid(str(error)) from error
    if type(fields) is not tuple:
        raise MessageInvalid("a message is not an array")
    try:
        return decoder(*fields)
    except (TypeError, ValueError) as error:
        raise MessageInvalid(f"a message of kind {data[0]} is malformed: {error}") from error


def _decode_chunk(data: bytes, tag: bytes) -> SnapshotChunk:
    content = data[1 + HASH_BYTES :]
    if _chunk_hash(content, tag) != data[1 : 1 + HASH_BYTES]:
        raise FrameCorrupt("a snapshot chunk does not match its hash: damaged, or of another space")
    try:
        fields = msgpack.unpackb(content, use_list=False, max_array_len=3, object_hook=refuse_map)
        last_id, timestamp, entries = fields
        return SnapshotChunk(_place(last_id), _number(timestamp), _bytes(entries))
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise FrameCorrupt(f"a snapshot chunk cannot be read: {error}") from error


def _chunk_hash(content: bytes, tag: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES, person=tag, salt=b"chunk").digest()


# --- checked parts of messages: each raises ValueError, which decode turns into MessageInvalid ---


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("a number is out of range")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("a text is none")
    return value


def _name(value: object) -> str:
    text = _text(value)
    if not 0 < len(text.encode()) <= limits.REPLICA_NAME_BYTES_MAX or not text.isprintable():
        raise ValueError("a name is empty, too long or not printable")
    return text


def _place(value: object) -> str:
    """Check a place in the order of profile ids: an id, or "" for the start."""
    text = _text(value)
    if text and not is_profile_id(text):
        raise ValueError("a place is no profile id")
    return text


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise ValueError("bytes are none")
    return value


def _flat(mapping: Mapping[int, Any]) -> list[Any]:
    return [part for pair in sorted(mapping.items()) for part in pair]


def _flat_heads(heads: Heads) -> list[Any]:
    return [part for origin, head in sorted(heads.items()) for part in (origin, *head)]


def _groups(flat: object, size: int) -> Iterable[tuple[Any, ...]]:
    if type(flat) is not tuple or len(flat) % size or len(flat) > size * limits.ORIGINS_MAX:
        raise ValueError("a flat map has a wrong length")
    return zip(*(flat[part::size] for part in range(size)), strict=True)


def _vector(flat: object) -> Vector:
    return {_number(origin): _number(sequence) for origin, sequence in _groups(flat, 2)}


def _names(flat: object) -> dict[int, str]:
    return {_number(origin): _name(name) for origin, name in _groups(flat, 2)}


def _heads(flat: object) -> Heads:
    heads: Heads = {}
    for origin, sequence, digest in _groups(flat, 3):
        if len(_bytes(digest)) != HASH_BYTES:
            raise ValueError("a hash has a wrong length")
        heads[_number(origin)] = (_number(sequence), digest)
    return heads


def _decode_hello(version: object, *rest: Any) -> Hello:
    if version != PROTOCOL_VERSION:
        return Hello("?", "?", 1, 0, "", 0, 0, {}, {}, {}, version=_number(version))
    space, name, origin, nonce, schema, clock_ms, profiles, heads, floor, names = rest
    if not _number(origin):
        raise ValueError("an origin is 0")
    return Hello(
        _name(space), _name(name), origin, _number(nonce), _text(schema), _number(clock_ms),
        _number(profiles), _heads(heads), _vector(floor), _names(names),
    )  # fmt: skip


_DECODERS: Final[dict[int, Callable[..., Message]]] = {
    1: _decode_hello,
    3: lambda vector, clock_ms, names: Gossip(_vector(vector), _number(clock_ms), _names(names)),
    4: lambda after: Want(_vector(after)),
    5: lambda origins: Prune(tuple(_number(origin) for (origin,) in _groups(origins, 1))),
    6: lambda granted_bytes: Credit(_number(granted_bytes)),
    7: lambda after: SnapshotRequest(_place(after)),
    8: lambda heads, names, profiles: SnapshotBegin(
        _heads(heads), _names(names), _number(profiles)
    ),
    10: lambda: Trimmed(),
    11: lambda: SnapshotEnd(),
    12: lambda code, reason: Refuse(_text(code)[:100], _text(reason)[:1000]),
}
