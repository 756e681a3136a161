"""Theta sketches: the bytes of Apache DataSketches, and unions equal to its own."""

import random
import struct

import pytest

from crdtstore.errors import InvalidValue
from crdtstore.model.theta import NOTHING, THETA_WHOLE, Theta, check, decode, encode, united

datasketches = pytest.importorskip("datasketches", reason="pip install crdtstore[cdp]")


def checked(packed, hashes_max):
    check(packed, hashes_max)
    return decode(packed)


def sketch_of(values, log2):
    sketch = datasketches.update_theta_sketch(log2)
    for value in values:
        sketch.update(value)
    sketch.trim()
    return sketch.compact()


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 60, 1_000, 20_000])
def test_bytes_of_the_library_come_back_from_this_one(count):
    theirs = sketch_of(range(count), 5)
    mine = checked(theirs.serialize(), 64)
    assert mine.estimate == round(theirs.get_estimate())
    assert encode(mine) == theirs.serialize()
    again = datasketches.compact_theta_sketch.deserialize(encode(mine))
    assert again.get_estimate() == theirs.get_estimate()


def test_an_untrimmed_sketch_is_read_too():
    sketch = datasketches.update_theta_sketch(5)
    for value in range(1_000):
        sketch.update(value)
    assert sketch.num_retained > 32
    assert checked(sketch.compact().serialize(), 64).estimate == round(sketch.get_estimate())


@pytest.mark.parametrize("seed", range(40))
def test_a_union_is_byte_for_byte_the_library_s(seed):
    chance = random.Random(seed)
    sides = [
        sketch_of([chance.randrange(400) for _ in range(chance.choice([0, 1, 5, 30, 500]))], 5)
        for _ in range(2)
    ]
    union = datasketches.theta_union(5)
    for side in sides:
        union.update(side)
    mine = united(*(checked(side.serialize(), 64) for side in sides), 32)
    assert encode(mine) == union.get_result().serialize()


def test_few_values_are_counted_exactly_and_many_nearly():
    assert checked(sketch_of(range(900), 10).serialize(), 2_048).estimate == 900
    estimate = checked(sketch_of(range(100_000), 10).serialize(), 2_048).estimate
    assert abs(estimate - 100_000) < 10_000


SOUND = encode(Theta(THETA_WHOLE - 5, (3, 4, 5)))


@pytest.mark.parametrize(
    "packed",
    [
        None,
        "text",
        b"",
        SOUND[:7],
        SOUND[:-1],
        SOUND + bytes(8),
        b"\x04" + SOUND[1:],
        b"\x00" + SOUND[1:],
        SOUND[:5] + b"\x1e" + SOUND[6:],
        SOUND[:6] + b"\x00\x00" + SOUND[8:],
        SOUND[:8] + struct.pack("<I", 9) + SOUND[12:],
        encode(Theta(THETA_WHOLE - 5, (3, 3, 5))),
        encode(Theta(THETA_WHOLE - 5, (0, 4, 5))),
        encode(Theta(5, (3, 4, 5))),
        encode(Theta(0, ())),
        SOUND[:16] + struct.pack("<QQ", 2**64 - 1, 3),
        encode(Theta(THETA_WHOLE, tuple(range(1, 80)))),
    ],
    ids=repr,
)
def test_bytes_that_no_writer_makes_are_refused(packed):
    with pytest.raises(InvalidValue):
        checked(packed, 64)


def test_the_union_with_nothing_is_the_sketch_itself():
    sketch = checked(SOUND, 64)
    assert united(sketch, NOTHING, 32) == sketch == united(sketch, sketch, 32)
