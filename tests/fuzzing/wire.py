"""Targets: what peers send. Packed data, frames, bodies, chunks, messages."""

import hashlib
import random
import struct

import msgpack

from crdtstore import limits
from crdtstore.errors import ClockSkew, FrameCorrupt, MessageInvalid
from crdtstore.sync.frame import (
    HASH_BYTES,
    HEADER_BYTES,
    MAGIC,
    NO_HASH,
    decode_body,
    decode_packed,
    frame_hash,
    parse,
    split_frames,
)
from crdtstore.sync.messages import Frames, decode, encode
from tests.fuzzing.mutation import mutated_bytes, mutated_tree, packed, unpacked
from tests.fuzzing.stores import check_sound, open_store
from tests.fuzzing.target import Broken, Target
from tests.sync import examples
from tests.sync.examples import EU, STAMP, TAG, first_frame, second_frame

_HEADER = struct.Struct(">2sBBQQQ16sI")


def framed(body: bytes, *, origin: int = EU, sequence: int = 1, previous: bytes = NO_HASH) -> bytes:
    """Return a frame whose header and hash are right, around any body."""
    stamp = STAMP + (1 << 16)
    content = _HEADER.pack(MAGIC, 1, 0, origin, sequence, stamp, previous, len(body)) + body
    return content + frame_hash(content, TAG)


def body_of(raw: bytes) -> bytes:
    """Return the body of a frame without a signature."""
    return raw[HEADER_BYTES:-HASH_BYTES]


# --- packed data ----------------------------------------------------------------------------------


def run_packed(data: bytes) -> None:
    """Packed data is read whole, within the limits, or refused."""
    try:
        decode_packed(data)
    except FrameCorrupt:
        return


# --- frames ---------------------------------------------------------------------------------------


def run_frame(data: bytes) -> None:
    """An accepted frame is what its parts say, and is not accepted with a byte changed."""
    try:
        frames = split_frames(data)
    except FrameCorrupt:
        frames = [data]
    if b"".join(frames) != data:
        raise Broken("frames were split into other bytes")
    for raw in frames:
        try:
            frame = parse(raw, TAG)
        except FrameCorrupt:
            continue
        content_bytes = HEADER_BYTES + int.from_bytes(raw[44:48], "big")
        made = _HEADER.pack(
            MAGIC, 1, raw[3], frame.origin, frame.sequence, frame.timestamp, frame.previous_hash,
            content_bytes - HEADER_BYTES,
        )  # fmt: skip
        if made + raw[HEADER_BYTES:content_bytes] + frame.hash != raw[: content_bytes + HASH_BYTES]:
            raise Broken("a frame's parts are not its bytes")
        place = sum(raw[-32:]) % (content_bytes + HASH_BYTES)
        for changed in (raw[:-1], raw + b"\0", _flipped(raw, place)):
            _must_refuse(changed)


def _flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes((raw[place] ^ (1 << place % 8),)) + raw[place + 1 :]


def _must_refuse(raw: bytes) -> None:
    try:
        parse(raw, TAG)
    except FrameCorrupt:
        return
    raise Broken("a changed frame was accepted")


def run_body(data: bytes) -> None:
    """A body in a sound frame is applied whole, and all of it can be read; or nothing changes."""
    raw = framed(data)
    if len(raw) > limits.FRAME_BYTES_MAX:
        return
    store = open_store()
    before = store.digest()
    try:
        applied = store.replication.receive_frames([raw], store.now_ms())
    except (FrameCorrupt, ClockSkew):
        if store.digest() != before or store.replication.quarantine.count != 1:
            raise Broken("a refused frame left something behind, or was not kept") from None
        return
    if applied and decode_body(parse(raw, TAG))[0]:
        raise Broken("a frame was applied before what it depends on")
    if not applied and store.digest() != before:
        raise Broken("a frame that waits has changed something")
    check_sound(store)


def bodies() -> list[bytes]:
    """Bodies of every kind of cell and value, and one that must wait."""
    cells = {
        "rname\x1fcrm": [STAMP, EU, "Ann"],
        "rleast\x1fcdp": [STAMP, EU, -0.0],
        "rmost\x1fcdp": [STAMP, EU, b"\x00\xff"],
        "rtext\x1fcrm": [STAMP, EU, None],
        "rtitle\x1fcrm": [STAMP, EU, msgpack.Timestamp(1_700_000_000, 5_000)],
        "roften\x1fcrm": [STAMP, EU, msgpack.ExtType(1, msgpack.packb({"a": [1, {"b": None}]}))],
        f"clogins\x1fcrm\x1f{EU:016x}": [STAMP, EU, 1e308],
        f"clogins\x1fcdp\x1f{EU:016x}": [STAMP, EU, (1 << 63) - 1],
        f"stags\x1fcrm\x1f{EU:016x}\x1fpcb3ff0000000000000": [STAMP, 0],
        f"stags\x1fcrm\x1f{EU:016x}\x1ft": [STAMP, STAMP],
        f"dmail\x1fcrm\x1f{EU:016x}": [STAMP, 0],
        "gmail\x1fcrm": [STAMP, EU, True],
    }
    made = msgpack.packb([[], [["ann", 0, cells], ["ann", 0, cells], ["bob", 2**31, {}]]])
    waiting = msgpack.packb([[7, 1], []])
    return [body_of(first_frame().raw), body_of(second_frame().raw), made, waiting]


# --- chunks ---------------------------------------------------------------------------------------


def run_documents(data: bytes) -> None:
    """Documents of a peer are joined, and all can be read; or nothing changes."""
    store = open_store()
    before = store.digest()
    try:
        store.replication.healing.join(data, STAMP + (1 << 16), store.now_ms(), None)
    except FrameCorrupt:
        if store.digest() != before:
            raise Broken("refused documents have changed something") from None
        return
    check_sound(store)


def entry_lists() -> list[bytes]:
    """Documents as chunks hold them."""
    return [packed(unpacked(body)[1]) for body in bodies()[:3]]


# --- messages -------------------------------------------------------------------------------------


def run_message(data: bytes) -> None:
    """What is accepted as a message is the same message after it was encoded again."""
    try:
        message = decode(data, TAG)
    except (MessageInvalid, FrameCorrupt):
        return
    again = encode(message, TAG)
    if isinstance(message, Frames) and again != data:
        raise Broken("frames were not carried as they are")
    if decode(again, TAG) != message or encode(decode(again, TAG), TAG) != again:
        raise Broken("a message does not come back from its own bytes")


def mutated_message(data: bytes, chance: random.Random) -> bytes:
    """Change a message: its tree, or that of a chunk, made to match its hash again."""
    if data[:1] in (b"\x09", b"\x10") and chance.random() < 0.8:
        content = mutated_tree(data[17:], chance)
        return data[:1] + chunk_hash(content) + content
    if data[:1] == b"\x02" or chance.random() < 0.1:
        return mutated_bytes(data, chance)
    return data[:1] + mutated_tree(data[1:], chance)


def chunk_hash(content: bytes) -> bytes:
    """Return the hash of the content of a SNAPSHOT_CHUNK or of DOCUMENTS."""
    return hashlib.blake2b(content, digest_size=16, person=TAG, salt=b"chunk").digest()


def messages() -> list[bytes]:
    """One message of each kind."""
    return [encode(message, TAG) for _, message in examples.messages().values()]


def vectors() -> list[bytes]:
    """Frames and what looks like frames."""
    first, second = first_frame().raw, second_frame().raw
    return [first, first + second, second[:60]]


PACKED = Target("packed", run_packed, bodies, mutated_tree, input_bytes_max=65_536)
FRAME = Target("frame", run_frame, vectors)
BODY = Target("body", run_body, bodies, mutated_tree)
DOCUMENTS = Target("documents", run_documents, entry_lists, mutated_tree)
MESSAGE = Target("message", run_message, messages, mutated_message)
