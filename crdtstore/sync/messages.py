"""Messages: what two replicas say on a link, one websocket binary message each.

The first byte is the kind; the rest is msgpack, except FRAMES, which is frames end to end. Maps of
origin to number travel as flat arrays. ``docs/protocol.md`` shows every message byte by byte.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.errors import FrameCorrupt, MessageInvalid
from crdtstore.sync.checks import (
    checked_bytes,
    checked_digest,
    checked_flag,
    checked_heads,
    checked_name,
    checked_names,
    checked_number,
    checked_place,
    checked_removed,
    checked_text,
    checked_vector,
    flat,
    flat_pairs,
    groups,
)
from crdtstore.sync.frame import HASH_BYTES, decode_packed, refuse_map, split_frames
from crdtstore.sync.presence import Presence, presence_fields, presence_of
from crdtstore.sync.repair_messages import (
    REPAIR_DECODERS,
    Compare,
    Differences,
    Documents,
    Fetch,
    checked_documents,
    repair_fields_of,
)
from crdtstore.sync.vector import Heads, Names, Vector

PROTOCOL_VERSION: Final = 2

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of both ends: who we are, what we have, what we can still serve.

    ``heads`` says what we have of every origin, of the receiver's too. ``floor`` is the vector
    below which our journal was trimmed: a peer that does not cover it needs a snapshot. ``nonce``
    is drawn at each start. ``clock_ms`` is our wall clock. ``removed`` are the names of replicas
    that were removed for good. ``heads``, ``floor`` and ``names`` leave out the origins at rest:
    ``resting`` is their number, and the digest that of their heads.
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
    names: Names
    removed: tuple[str, ...] = ()
    resting: int = 0
    resting_digest: bytes = bytes(HASH_BYTES)
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Frames:
    """Whole frames, in an order in which each follows what it depends on."""

    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Gossip:
    """What the sender has made durable; an acknowledgement and an advertisement at once.

    All but ``clock_ms`` is what is new since HELLO and the last one.
    """

    vector: Vector
    clock_ms: int
    names: Names = field(default_factory=dict)
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resting:
    """Origins at rest at the sender: it has these heads of them, and their frames no longer.

    Several messages make the whole of them; the last says so.
    """

    heads: Heads
    names: Names
    is_last: bool


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
    """I no longer have the frames that you want, or a snapshot is shorter: ask for that."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Send me your documents, in the order of profile ids, after this one."""

    after: str


@dataclass(frozen=True, slots=True)
class SnapshotBegin:
    """The documents that follow contain at least these heads, and those at rest told before."""

    heads: Heads
    names: Names
    profiles: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Documents, or parts of large ones, as a packed array of [profile id, epoch, cells].

    All documents up to ``last_id`` have now been sent. No cell is newer than ``timestamp``.
    ``number`` counts the chunks of this snapshot from 1: one out of its turn is refused.
    """

    last_id: str
    timestamp: int
    entries: bytes
    number: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The last document was sent, with the last of so many chunks."""

    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """I close this link, for this reason (an error's code and sentence)."""

    code: str
    reason: str


Message: TypeAlias = (
    Hello | Frames | Gossip | Resting | Want | Prune | Credit | Trimmed | SnapshotRequest
    | SnapshotBegin | SnapshotChunk | SnapshotEnd | Refuse | Compare | Differences | Fetch
    | Documents | Presence
)  # fmt: skip


def encode(message: Message, tag: bytes) -> bytes:
    """Return the bytes of a message; ``tag`` is the space's."""
    match message:
        case Frames(frames):
            return b"\x02" + b"".join(frames)
        case SnapshotChunk(last_id, timestamp, entries, number):
            content = _pack([last_id, timestamp, entries, number])
            return b"\x09" + _chunk_hash(content, tag) + content
        case Documents(role, timestamp, entries):
            content = _pack([role, timestamp, entries])
            return b"\x10" + _chunk_hash(content, tag) + content
    kind, fields = _fields_of(message)
    return bytes((kind,)) + _pack(fields)


def _fields_of(message: Message) -> tuple[int, list[Any]]:
    match message:
        case Hello() as hello:
            return 1, [
                hello.version, hello.space, hello.name, hello.origin, hello.nonce, hello.schema,
                hello.clock_ms, hello.profiles, flat_pairs(hello.heads), flat(hello.floor),
                flat_pairs(hello.names), sorted(hello.removed),
                hello.resting, hello.resting_digest,
            ]  # fmt: skip
        case Gossip(vector, clock_ms, names, removed):
            return 3, [flat(vector), clock_ms, flat_pairs(names), sorted(removed)]
        case Resting(heads, names, is_last):
            return 17, [flat_pairs(heads), flat_pairs(names), is_last]
        case Want(after):
            return 4, [flat(after)]
        case Prune(origins):
            return 5, [list(origins)]
        case Credit(granted_bytes):
            return 6, [granted_bytes]
        case Trimmed():
            return 10, []
        case SnapshotRequest(after):
            return 7, [after]
        case SnapshotBegin(heads, names, profiles):
            return 8, [flat_pairs(heads), flat_pairs(names), profiles]
        case SnapshotEnd(chunks):
            return 11, [chunks]
        case Refuse(code, reason):
            return 12, [code, reason]
        case Presence():
            return 18, presence_fields(message)
        case Compare() | Differences() | Fetch():
            return repair_fields_of(message)
    raise AssertionError(message)


def decode(data: bytes, tag: bytes) -> Message:
    """Return the message that some bytes are; raises MessageInvalid or FrameCorrupt."""
    if not data or len(data) > limits.MESSAGE_BYTES_MAX:
        raise MessageInvalid(f"a message has {len(data):,} bytes")
    if data[0] == 2:
        return Frames(tuple(split_frames(data[1:])))
    if data[0] in (9, 16):
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


def _decode_chunk(data: bytes, tag: bytes) -> SnapshotChunk | Documents:
    content = data[1 + HASH_BYTES :]
    what = "a snapshot chunk" if data[0] == 9 else "a message of documents"
    if _chunk_hash(content, tag) != data[1 : 1 + HASH_BYTES]:
        raise FrameCorrupt(f"{what} does not match its hash: damaged, or of another space")
    try:
        fields = msgpack.unpackb(content, use_list=False, max_array_len=4, object_hook=refuse_map)
        if data[0] == 16:
            return checked_documents(*fields)
        last_id, timestamp, entries, number = fields
        return SnapshotChunk(
            checked_place(last_id),
            checked_number(timestamp),
            checked_bytes(entries),
            checked_number(number),
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise FrameCorrupt(f"{what} cannot be read: {error}") from error


def _chunk_hash(content: bytes, tag: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES, person=tag, salt=b"chunk").digest()


def _decode_hello(version: object, *rest: Any) -> Hello:
    if version != PROTOCOL_VERSION:
        return Hello("?", "?", 1, 0, "", 0, 0, {}, {}, {}, version=checked_number(version))
    space, name, origin, nonce, schema, clock_ms, profiles, heads, floor, names, *more = rest
    removed, resting, resting_digest = more
    if not checked_number(origin):
        raise ValueError("an origin is 0")
    return Hello(
        checked_name(space), checked_name(name), origin, checked_number(nonce),
        checked_text(schema), checked_number(clock_ms), checked_number(profiles),
        checked_heads(heads), checked_vector(floor), checked_names(names),
        checked_removed(removed), checked_number(resting), checked_digest(resting_digest),
    )  # fmt: skip


_DECODERS: Final[dict[int, Callable[..., Message]]] = {
    **REPAIR_DECODERS,
    1: _decode_hello,
    3: lambda vector, clock_ms, names, removed: Gossip(
        checked_vector(vector),
        checked_number(clock_ms),
        checked_names(names),
        checked_removed(removed),
    ),
    4: lambda after: Want(checked_vector(after)),
    5: lambda origins: Prune(tuple(checked_number(origin) for (origin,) in groups(origins, 1))),
    6: lambda granted_bytes: Credit(checked_number(granted_bytes)),
    7: lambda after: SnapshotRequest(checked_place(after)),
    8: lambda heads, names, profiles: SnapshotBegin(
        checked_heads(heads), checked_names(names), checked_number(profiles)
    ),
    17: lambda heads, names, is_last: Resting(
        checked_heads(heads), checked_names(names), checked_flag(is_last)
    ),
    18: presence_of,
    10: lambda: Trimmed(),
    11: lambda chunks: SnapshotEnd(checked_number(chunks)),
    12: lambda code, reason: Refuse(checked_text(code)[:100], checked_text(reason)[:1000]),
}
