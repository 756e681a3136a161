"""Frames: byte for byte what the vectors say, and nothing that differs in one byte is one."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import FrameCorrupt, ProtocolError
from crdtstore.sync.frame import (
    HASH_BYTES,
    HEADER_BYTES,
    NO_HASH,
    Frame,
    decode_body,
    decode_packed,
    frame_hash,
    parse,
    parse_header,
    seal,
    space_tag,
    split_frames,
)
from tests.sync.examples import EU, STAMP, TAG, US, first_frame, second_frame, stored


def sealed(entries=(), dependencies=None, **changes):
    parts = {"origin": EU, "previous": (0, NO_HASH), "timestamp": STAMP, "tag": TAG, **changes}
    return seal(dependencies=dependencies or {}, entries=list(entries), **parts)


def with_body(body):
    """A frame whose hash is right and whose body is any bytes."""
    header = sealed().raw[: HEADER_BYTES - 4] + len(body).to_bytes(4, "big")
    raw = header + body + frame_hash(header + body, TAG)
    return parse(raw, TAG)


def rehashed(raw, **changes):
    """A frame with some header bytes replaced, at ``at``, and its hash made right again."""
    content = bytearray(raw[:-HASH_BYTES])
    content[changes["at"] : changes["at"] + len(changes["by"])] = changes["by"]
    return bytes(content) + frame_hash(bytes(content), TAG)


def test_the_bytes_are_those_of_the_vectors():
    assert stored()["space-tag"] == TAG
    assert stored()["frame-first"] == first_frame().raw
    assert stored()["frame-second"] == second_frame().raw


def test_a_header_lies_where_the_layout_says():
    raw = stored()["frame-second"]
    assert raw[0:4] == b"CF\x01\x00"
    assert int.from_bytes(raw[4:12], "big") == EU
    assert int.from_bytes(raw[12:20], "big") == 2
    assert int.from_bytes(raw[20:28], "big") == STAMP + 2
    assert raw[28:44] == stored()["frame-first"][-16:]
    assert int.from_bytes(raw[44:48], "big") == len(raw) - 48 - 16


def test_parsing_gives_back_what_was_sealed():
    frame = parse(second_frame().raw, TAG)
    assert frame == second_frame()
    assert frame.head == (2, frame.hash)
    dependencies, writes = decode_body(frame)
    assert dependencies == {US: 2}
    [(profile_id, epoch, cells)] = writes
    assert (profile_id, epoch) == ("zoë", 2)
    assert cells["gnews\x1fcrm"] == (STAMP + 2, EU, True)
    assert cells["raddress\x1fcrm"][2] == msgpack.ExtType(1, msgpack.packb(["Bonn"]))


@pytest.mark.parametrize("name", ["frame-first", "frame-second"])
def test_every_flipped_bit_is_refused(name):
    raw = stored()[name]
    for place in range(len(raw)):
        for bit in range(8):
            damaged = bytearray(raw)
            damaged[place] ^= 1 << bit
            with pytest.raises(FrameCorrupt):
                parse(bytes(damaged), TAG)


def test_every_truncation_and_every_addition_is_refused():
    raw = first_frame().raw
    for size in range(len(raw)):
        with pytest.raises(FrameCorrupt):
            parse(raw[:size], TAG)
    with pytest.raises(FrameCorrupt):
        parse(raw + b"\0", TAG)


def test_a_frame_of_another_space_does_not_match_its_hash():
    with pytest.raises(FrameCorrupt, match="another space"):
        parse(first_frame().raw, space_tag("other"))


@pytest.mark.parametrize(
    ("at", "by", "reason"),
    [
        (0, b"CX", "magic"),
        (2, b"\x02", "format 2"),
        (3, b"\x01", "signature of 1"),
        (4, bytes(8), "origin"),
        (4, b"\xff" * 8, "origin"),
        (12, bytes(8), "sequence"),
        (12, b"\x80" + bytes(7), "sequence"),
        (20, bytes(8), "timestamp"),
        (20, b"\xff" * 8, "timestamp"),
        (44, b"\x00\x00\x00\x00", "should have"),
        (44, b"\xff\xff\xff\xff", "claims 4,294,967,359 bytes"),
    ],
)
def test_a_header_out_of_range_is_refused_though_its_hash_is_right(at, by, reason):
    with pytest.raises(FrameCorrupt, match=reason):
        parse(rehashed(first_frame().raw, at=at, by=by), TAG)


def test_a_signature_has_a_place_behind_the_hash():
    raw = rehashed(first_frame().raw, at=3, by=b"\x40") + bytes(64)
    frame = parse(raw, TAG)
    assert frame.hash == raw[-80:-64]
    assert decode_body(frame) == decode_body(first_frame())


def test_the_largest_frame_is_taken_and_one_byte_more_is_not():
    room = limits.FRAME_BYTES_MAX - HEADER_BYTES - HASH_BYTES
    assert parse_header(rehashed(first_frame().raw, at=44, by=room.to_bytes(4, "big")))
    with pytest.raises(FrameCorrupt, match="the limit is 262,144"):
        parse_header(rehashed(first_frame().raw, at=44, by=(room + 1).to_bytes(4, "big")))


def test_joined_frames_are_split_again():
    one, two = first_frame().raw, second_frame().raw
    assert split_frames(one + two + one) == [one, two, one]
    assert split_frames(b"") == []
    with pytest.raises(FrameCorrupt, match="inside a frame"):
        split_frames(one + two[:-1])
    with pytest.raises(FrameCorrupt):
        split_frames(one + b"x")


@pytest.mark.parametrize(
    "body",
    [
        [],
        [[]],
        [[], [], []],
        {"a": 1},
        [{}, []],
        [[], {}],
        [[1], []],
        [[1, 2, 3], []],
        [[0, 1], []],
        [[1, 0], []],
        [[1, -1], []],
        [[1, 1 << 63], []],
        [[1, True], []],
        [[1.0, 1], []],
        [["a", 1], []],
        [[], [0] * (limits.WRITES_PER_FRAME_MAX + 1)],
    ],
)
def test_a_body_of_another_form_is_refused(body):
    with pytest.raises(FrameCorrupt):
        decode_body(with_body(msgpack.packb(body)))


def test_a_frame_may_depend_on_as_many_origins_as_there_may_be():
    dependencies = {(1 << 62) + number: 1 << 62 for number in range(limits.ORIGINS_MAX)}
    assert decode_body(sealed(dependencies=dependencies))[0] == dependencies


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(garbage):
    with pytest.raises(FrameCorrupt):
        parse(garbage, TAG)
    try:
        decode_body(with_body(garbage))
    except ProtocolError:
        pass
    else:
        assert garbage[:1] == b"\x92"


@given(st.recursive(st.integers() | st.text() | st.binary() | st.none(), st.lists, max_leaves=20))
def test_well_formed_msgpack_of_any_shape_is_refused_or_read(shape):
    try:
        packed = msgpack.packb(shape)
    except OverflowError:
        return
    try:
        dependencies, writes = decode_body(with_body(packed))
    except ProtocolError:
        return
    assert type(dependencies) is dict
    assert type(writes) is tuple


@pytest.mark.parametrize(
    "packed",
    [
        b"\x91" * 100_000,
        b"\x81\xa0" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xc1",
        b"",
        b"\x90\x90",
        b"\xd6\xff\xff\xff\xff",
        b"\xc7\x0c\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x81\x01\x01",
        b"\x81\x90\x01",
        msgpack.packb([0] * (3 * limits.ORIGINS_MAX + 1)),
        msgpack.packb("x" * (limits.VALUE_BYTES_MAX + 1)),
        msgpack.packb(b"x" * (limits.FRAME_BYTES_MAX + 1)),
    ],
)
def test_hostile_msgpack_is_refused(packed):
    with pytest.raises(FrameCorrupt):
        decode_packed(packed)


def test_a_frame_is_immutable():
    with pytest.raises(AttributeError):
        first_frame().sequence = 2
    assert isinstance(first_frame(), Frame)
