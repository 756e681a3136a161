"""Packing: bytes must hold what they claim, before anything is made of them."""

import tracemalloc

import msgpack
import pytest

from crdtstore.errors import FrameCorrupt, InvalidValue
from crdtstore.model.values import check_cell_value
from crdtstore.packing import check_claims
from crdtstore.server.forms import MalformedBody, parse_msgpack
from crdtstore.sync.frame import decode_packed

BOMBS = [
    b"\xdc\x3a\x98" * 1_000,
    b"\xdd\x00\x00\x3a\x98" * 600,
    b"\x91" * 500 + b"\xdc\x3a\x98",
    b"\xdc\x00\xf0" * 85,
    b"\xdc\x01\xf0" * 170,
]


@pytest.mark.parametrize("tree", [None, 1, "ä", [], [[1], {"a": [b"x"]}], {"a": {"b": [1.5]}}])
def test_what_was_packed_holds_what_it_claims(tree):
    packed = msgpack.packb(tree)
    check_claims(packed)
    for size in range(len(packed)):
        with pytest.raises(ValueError, match="it ends before"):
            check_claims(packed[:size])
    with pytest.raises(ValueError, match="1 bytes follow"):
        check_claims(packed + b"\0")


@pytest.mark.parametrize("packed", [b"\xc1", b"\x92\x01\xc1", b"\x91" * 5_000 + b"\x01"])
def test_what_is_no_msgpack_is_refused(packed):
    with pytest.raises(ValueError, match="it is no msgpack"):
        check_claims(packed)


@pytest.mark.parametrize("bomb", BOMBS)
def test_arrays_that_claim_more_than_there_is_take_no_memory(bomb):
    def opaque(data):
        check_cell_value(msgpack.ExtType(1, data))

    tracemalloc.start()
    try:
        for decode, error in (
            (decode_packed, FrameCorrupt), (parse_msgpack, MalformedBody), (opaque, InvalidValue),
        ):  # fmt: skip
            tracemalloc.reset_peak()
            with pytest.raises(error):
                decode(bomb)
            assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
