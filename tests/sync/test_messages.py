"""Messages: byte for byte what the vectors say; any other bytes are refused, cheaply."""

import contextlib
import hashlib
import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import FrameCorrupt, MessageInvalid, ProtocolError
from crdtstore.sync.frame import space_tag
from crdtstore.sync.messages import (
    PROTOCOL_VERSION,
    Frames,
    Gossip,
    Hello,
    SnapshotChunk,
    SnapshotRequest,
    decode,
    encode,
)
from tests.sync.examples import EU, TAG, messages, stored

NAMES = sorted(messages())


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_those_of_the_vectors(name):
    _, message = messages()[name]
    assert encode(message, TAG) == stored()[name]
    assert decode(stored()[name], TAG) == message


def test_there_is_a_vector_for_every_kind():
    kinds = {stored()[name][0] for name in NAMES}
    assert kinds == set(range(1, 19))


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_refused(name):
    data = stored()[name]
    for size in range(len(data)):
        if name == "frames" and size in (1, 1 + len(stored()["frame-first"])):
            continue
        with pytest.raises(ProtocolError):
            decode(data[:size], TAG)


@pytest.mark.parametrize("name", NAMES)
def test_a_trailing_byte_is_refused(name):
    with pytest.raises(ProtocolError):
        decode(stored()[name] + b"\0", TAG)


def test_every_flipped_byte_of_a_snapshot_chunk_is_refused():
    data = stored()["snapshot-chunk"]
    for place in range(1, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x41
        with pytest.raises(FrameCorrupt):
            decode(bytes(damaged), TAG)


def test_a_snapshot_chunk_of_another_space_is_refused():
    with pytest.raises(FrameCorrupt, match="another space"):
        decode(stored()["snapshot-chunk"], space_tag("other"))


def test_another_version_is_read_as_far_as_to_say_so():

    data = b"\x01" + msgpack.packb([9, "unknown", ["fields"]])
    hello = decode(data, TAG)
    assert isinstance(hello, Hello)
    assert hello.version == 9


@pytest.mark.parametrize("size", [0, limits.MESSAGE_BYTES_MAX + 1])
def test_a_message_of_a_wrong_size_is_refused(size):
    with pytest.raises(MessageInvalid):
        decode(b"\x02" * size, TAG)


@pytest.mark.parametrize("kind", [0, 19, 67, 255])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(MessageInvalid, match="unknown kind"):
        decode(bytes((kind,)) + b"\x90", TAG)


def hello_fields(**changes):
    fields = {
        "version": PROTOCOL_VERSION, "space": "default", "name": "eu", "origin": EU, "nonce": 7,
        "schema": "", "clock_ms": 1, "profiles": 0, "heads": [], "floor": [], "names": [],
        "removed": [], "resting": 0, "resting_digest": bytes(16),
    }  # fmt: skip
    return b"\x01" + msgpack.packb(list({**fields, **changes}.values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": -1},
        {"version": "1"},
        {"space": ""},
        {"space": "a\nb"},
        {"space": "x" * 65},
        {"name": b"eu"},
        {"name": None},
        {"origin": 0},
        {"origin": -1},
        {"origin": 1 << 63},
        {"origin": 1.0},
        {"origin": True},
        {"nonce": None},
        {"schema": 1},
        {"clock_ms": -1},
        {"profiles": 1.5},
        {"heads": [1, 2]},
        {"heads": [1, 2, b"short"]},
        {"heads": [1, 2, "x" * 16]},
        {"heads": 5},
        {"floor": [1]},
        {"floor": {}},
        {"floor": [1, 1 << 63]},
        {"names": [1, "", 1]},
        {"names": ["a", "b", 1]},
        {"names": [1, "eu"]},
        {"names": [1, "eu", -1]},
        {"resting": -1},
        {"resting_digest": bytes(15)},
        {"resting_digest": 0},
        {"removed": [""]},
        {"removed": "old"},
        {"removed": ["old"] * (2 * limits.REMOVED_REPLICAS_MAX + 1)},
    ],
)
def test_a_hello_with_a_wrong_field_is_refused(changes):
    decode(hello_fields(), TAG)
    with pytest.raises(MessageInvalid):
        decode(hello_fields(**changes), TAG)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (3, []),
        (3, [[], 0]),
        (3, [[], 0, [], 0]),
        (3, [[1, 2, 3], 0, []]),
        (4, [[[1, 2]]]),
        (4, [1]),
        (5, [["x"]]),
        (5, [[-1]]),
        (6, [-1]),
        (6, [1 << 63]),
        (7, [1]),
        (7, ["x" * (limits.PROFILE_ID_BYTES_MAX + 1)]),
        (7, ["a\x00b"]),
        (7, [" "]),
        (8, [[], [], "many"]),
        (10, [1]),
        (11, [None]),
        (12, ["code"]),
        (12, [1, 2]),
    ],
)
def test_wrong_fields_are_refused(kind, fields):
    with pytest.raises(MessageInvalid):
        decode(bytes((kind,)) + msgpack.packb(fields), TAG)


def chunk_of(fields):
    """A chunk with any content and the right hash, as a hostile peer of the space can make it."""
    honest = encode(SnapshotChunk("a", 1, b""), TAG)
    assert decode(honest, TAG) == SnapshotChunk("a", 1, b"")
    content = fields if isinstance(fields, bytes) else msgpack.packb(fields)
    digest = hashlib.blake2b(content, digest_size=16, person=TAG, salt=b"chunk").digest()
    return b"\x09" + digest + content


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["a", 1],
        ["a", 1, b""],
        ["a", 1, b"", 1, 1],
        ["a", 1, b"", -1],
        [1, 1, b"", 1],
        ["a", -1, b"", 1],
        ["a", 1, "text", 1],
        ["x" * 256, 1, b"", 1],
        ["a\nb", 1, b"", 1],
        {"a": 1, "b": 2, "c": 3},
        "abc",
        7,
        b"\x93" * 50_000,
        b"\xc1",
    ],
)
def test_a_chunk_with_wrong_content_and_a_right_hash_is_refused(fields):
    with pytest.raises(FrameCorrupt):
        decode(chunk_of(fields), TAG)


def test_a_snapshot_is_asked_for_from_the_start_or_after_any_profile_id():
    for after in ("", "ann", "ß" * 127):
        assert decode(encode(SnapshotRequest(after), TAG), TAG) == SnapshotRequest(after)


def test_a_hello_may_name_as_many_origins_as_there_may_be():
    origins = [(1 << 62) + number for number in range(limits.ORIGINS_MAX)]
    hello = Hello(
        space="default", name="eu", origin=EU, nonce=7, schema="", clock_ms=1, profiles=1,
        heads={origin: (1 << 62, bytes(16)) for origin in origins},
        floor=dict.fromkeys(origins, 1 << 62),
        names=dict.fromkeys(origins, ("replica-eu-west-1", 1 << 62)),
        removed=tuple(f"{number:064}" for number in range(2 * limits.REMOVED_REPLICAS_MAX)),
    )  # fmt: skip
    data = encode(hello, TAG)
    assert len(data) < limits.MESSAGE_BYTES_MAX
    assert decode(data, TAG) == hello
    gossip = Gossip(hello.floor, 1, {})
    assert decode(encode(gossip, TAG), TAG) == gossip


def test_a_refusal_is_cut_to_a_readable_length():
    refuse = decode(b"\x0c" + msgpack.packb(["c" * 999, "r" * 9999]), TAG)
    assert (len(refuse.code), len(refuse.reason)) == (100, 1000)


def test_an_empty_frames_message_holds_no_frames():
    assert decode(b"\x02", TAG) == Frames(())


@given(st.integers(0, 20), st.binary(max_size=100))
def test_garbage_raises_protocol_errors_only(kind, garbage):
    with contextlib.suppress(ProtocolError):
        decode(bytes((kind,)) + garbage, TAG)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary() | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9)),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=25,
)  # fmt: skip


@given(st.integers(1, 12), st.lists(ANYTHING, max_size=12))
def test_well_formed_msgpack_of_any_shape_raises_protocol_errors_only(kind, fields):
    packed = msgpack.packb(fields)
    data = chunk_of(packed) if kind == 9 else bytes((kind,)) + packed
    with contextlib.suppress(ProtocolError):
        decode(data, TAG)


@pytest.mark.parametrize("kind", [1, 3, 4, 5, 8, 9, 12])
@pytest.mark.parametrize(
    "unit",
    [b"\x80", b"\x90", b"\x91\x90", b"\x81\xa0\x80", b"\xa0", b"\xdc\x00\x10" + b"\x90" * 16],
)
def test_a_full_message_of_empty_containers_takes_little_memory(kind, unit):
    group = b"\xdc\x40\x00" + unit * 0x4000
    count = (limits.MESSAGE_BYTES_MAX - 64) // len(group)
    packed = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    packed += group * count
    for content in (packed, b"\x93" + b"\xc0" * 2 + packed):
        data = chunk_of(content) if kind == 9 else bytes((kind,)) + content
        assert len(data) <= limits.MESSAGE_BYTES_MAX
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError):
                decode(data, TAG)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 64 * len(data)
