"""Frame: what one group commit at one origin wrote.

Its bytes are packed once and are the journal record, the wire frame and the bus message; a relay
passes them on untouched. All integers are big-endian.

    offset  bytes
    0       2      magic "CF"
    2       1      format, 1
    3       1      length of the signature: 0 or 64
    4       8      origin
    12      8      sequence, from 1, without gaps
    20      8      timestamp: at or above every timestamp inside, and every one the origin had seen
    28      16     hash of the origin's previous frame; zeros before the first
    44      4      length of the body
    48      n      body: msgpack [dependencies, writes]
    48+n    16     hash: BLAKE2b-128 of all before it, personalised with the space
    64+n    0, 64  place for the origin's signature of the hash

``dependencies`` is a flat array origin, sequence, … of what the origin had applied since its
previous frame; ``writes`` is an array of [profile id, epoch, cells], opaque to this module.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.errors import FrameCorrupt
from crdtstore.packing import check_claims, extension
from crdtstore.sync.vector import Head

MAGIC: Final = b"CF"
FRAME_FORMAT: Final = 1
HASH_BYTES: Final = 16
NO_HASH: Final = bytes(HASH_BYTES)
SIGNATURE_BYTES: Final = 64

_HEADER: Final = struct.Struct(">2sBBQQQ16sI")
HEADER_BYTES: Final = _HEADER.size

_pack: Callable[[Any], bytes] = msgpack.Packer().pack
_array_header: Callable[[int], bytes] = msgpack.Packer().pack_array_header


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, its header parsed, its body still packed.

    ``head`` is (sequence, hash): what the origin's vector entry becomes.
    """

    origin: int
    sequence: int
    timestamp: int
    previous_hash: bytes
    hash: bytes
    raw: bytes

    @property
    def head(self) -> Head:
        """The head that applying this frame gives its origin."""
        return self.sequence, self.hash


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The part of a frame that says whose it is and how long."""

    signature_bytes: int
    origin: int
    sequence: int
    timestamp: int
    previous_hash: bytes
    body_bytes: int

    @property
    def frame_bytes(self) -> int:
        """Length of the whole frame."""
        return HEADER_BYTES + self.body_bytes + HASH_BYTES + self.signature_bytes


def space_tag(space: str) -> bytes:
    """Return the 16 bytes that bind hashes to a space."""
    return hashlib.blake2b(space.encode(), digest_size=16, person=b"crdtstore.space").digest()


def frame_hash(content: bytes, tag: bytes) -> bytes:
    """Return the hash of a frame's header and body."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES, person=tag).digest()


def seal(
    *,
    origin: int,
    previous: Head,
    timestamp: int,
    dependencies: Mapping[int, int],
    entries: Sequence[bytes],
    tag: bytes,
) -> Frame:
    """Return the origin's next frame, made of packed writes."""
    flat = [part for pair in sorted(dependencies.items()) for part in pair]
    body = b"".join((b"\x92", _pack(flat), _array_header(len(entries)), *entries))
    sequence, previous_hash = previous[0] + 1, previous[1]
    header = _HEADER.pack(
        MAGIC, FRAME_FORMAT, 0, origin, sequence, timestamp, previous_hash, len(body)
    )
    content = header + body
    digest = frame_hash(content, tag)
    raw = content + digest
    assert len(raw) <= limits.FRAME_BYTES_MAX, len(raw)
    return Frame(origin, sequence, timestamp, previous_hash, digest, raw)


def parse_header(raw: bytes) -> FrameHeader:
    """Return the header at the start of some bytes; raises FrameCorrupt."""
    if len(raw) < HEADER_BYTES:
        raise FrameCorrupt(f"a frame of {len(raw)} bytes is shorter than its header")
    magic, version, signature_bytes, origin, sequence, timestamp, previous_hash, body_bytes = (
        _HEADER.unpack_from(raw)
    )
    if magic != MAGIC:
        raise FrameCorrupt("a frame does not start with its magic bytes")
    if version != FRAME_FORMAT:
        raise FrameCorrupt(f"a frame has format {version}; this replica knows {FRAME_FORMAT}")
    if signature_bytes not in (0, SIGNATURE_BYTES):
        raise FrameCorrupt(f"a frame has a signature of {signature_bytes} bytes")
    if not 0 < origin < 1 << 63 or not 0 < sequence < 1 << 63:
        raise FrameCorrupt("a frame has an origin or sequence out of range")
    if not 0 < timestamp <= limits.TIMESTAMP_MAX:
        raise FrameCorrupt("a frame has a timestamp out of range")
    header = FrameHeader(signature_bytes, origin, sequence, timestamp, previous_hash, body_bytes)
    if header.frame_bytes > limits.FRAME_BYTES_MAX:
        raise FrameCorrupt(
            f"a frame claims {header.frame_bytes:,} bytes; the limit is {limits.FRAME_BYTES_MAX:,}"
        )
    return header


def parse(raw: bytes, tag: bytes) -> Frame:
    """Return the frame that some bytes are, its hash checked; raises FrameCorrupt."""
    header = parse_header(raw)
    if len(raw) != header.frame_bytes:
        raise FrameCorrupt(
            f"a frame of {len(raw):,} bytes should have {header.frame_bytes:,} by its header"
        )
    content_bytes = HEADER_BYTES + header.body_bytes
    digest = raw[content_bytes : content_bytes + HASH_BYTES]
    if frame_hash(raw[:content_bytes], tag) != digest:
        raise FrameCorrupt("a frame does not match its hash: damaged, or of another space")
    return Frame(
        header.origin, header.sequence, header.timestamp, header.previous_hash, digest, raw
    )


def split_frames(data: bytes) -> list[bytes]:
    """Return the frames that were joined into one message; raises FrameCorrupt."""
    frames = []
    start = 0
    while start < len(data):
        end = start + parse_header(data[start : start + HEADER_BYTES]).frame_bytes
        if end > len(data):
            raise FrameCorrupt("a message ends inside a frame")
        frames.append(data[start:end])
        start = end
    return frames


def decode_body(frame: Frame) -> tuple[dict[int, int], tuple[Any, ...]]:
    """Return dependencies and writes of a frame; raises FrameCorrupt. The writes are unchecked."""
    body_end = len(frame.raw) - HASH_BYTES
    if frame.raw[3]:
        body_end -= SIGNATURE_BYTES
    body = decode_packed(frame.raw[HEADER_BYTES:body_end])
    if type(body) is not tuple or len(body) != 2:
        raise FrameCorrupt("a frame's body is not a pair")
    flat, writes = body
    if type(flat) is not tuple or len(flat) % 2 or type(writes) is not tuple:
        raise FrameCorrupt("a frame's dependencies or writes are not arrays")
    if len(flat) > 2 * limits.ORIGINS_MAX:
        raise FrameCorrupt(f"a frame depends on {len(flat) // 2:,} origins")
    if len(writes) > limits.WRITES_PER_FRAME_MAX:
        raise FrameCorrupt(f"a frame has {len(writes):,} writes")
    for number in flat:
        if type(number) is not int or not 0 < number < 1 << 63:
            raise FrameCorrupt("a frame has a dependency out of range")
    return dict(zip(flat[::2], flat[1::2], strict=True)), writes


def refuse_map(_: object) -> Any:
    """Refuse a map where none belongs, by ValueError: an empty one takes 64 bytes for its one."""
    raise ValueError("there is a map where none belongs")


def decode_packed(packed: bytes, *, holds_maps: bool = True) -> Any:
    """Unpack bytes from elsewhere with every bound set; raises FrameCorrupt."""
    try:
        check_claims(packed)
        return msgpack.unpackb(
            packed,
            use_list=False,
            timestamp=3,
            strict_map_key=True,
            max_str_len=limits.VALUE_BYTES_MAX,
            max_bin_len=limits.FRAME_BYTES_MAX,
            max_ext_len=limits.VALUE_BYTES_MAX,
            max_array_len=3 * limits.ORIGINS_MAX,
            max_map_len=2 * limits.ELEMENTS_PER_SET_MAX,
            object_hook=None if holds_maps else refuse_map,
            ext_hook=extension,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise FrameCorrupt(f"packed data cannot be read: {error}") from error
