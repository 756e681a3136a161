"""Values: every value comes back exactly; what is no value is refused by name."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum

import msgpack
import pytest
from hypothesis import given

from crdtstore import limits
from crdtstore.errors import InvalidValue, LimitExceeded
from crdtstore.model.values import (
    OPAQUE_EXT_CODE,
    check_cell_value,
    from_cell_value,
    pack,
    same_cell_value,
    to_cell_value,
)
from crdtstore.testing import strategies


def round_trip(value):
    return from_cell_value(to_cell_value(value, "field 'x'"))


def packed_round_trip(value):
    """Return the value after a journey through a document's bytes."""
    cell_value = to_cell_value(value, "field 'x'")
    travelled = msgpack.unpackb(pack(cell_value), timestamp=3)
    check_cell_value(travelled)
    return from_cell_value(travelled)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


EXACT = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    0.0,
    -0.0,
    5e-324,
    limits.INTEGER_MAX,
    limits.INTEGER_MIN,
    2**53 + 1,
    "",
    "\x00",
    "👩‍👩‍👧 e\u0301",
    b"",
    b"\xff\x00",
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    [],
    {},
    [[], {}, ""],
    {"": {"a": [1, 1.0, True, None, b"x", datetime(2026, 11, 21, tzinfo=UTC)]}},
]


@pytest.mark.parametrize("value", EXACT, ids=repr)
def test_a_value_comes_back_with_its_type(value):
    for back in (round_trip(value), packed_round_trip(value)):
        assert type(back) is type(value)
        assert repr(back) == repr(value)


@given(strategies.values())
def test_any_value_comes_back_with_its_types_at_every_depth(value):
    assert repr(round_trip(value)) == repr(value)
    assert repr(packed_round_trip(value)) == repr(value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (float("-inf"), "not a finite number"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        ("\ud800", "lone surrogate"),
        ("a\udfffb", "lone surrogate"),
        (datetime(2026, 1, 1), "without a time zone"),
        ((1, 2), "a tuple is not a value"),
        ({1, 2}, "a set is not a value"),
        (frozenset(), "a frozenset is not a value"),
        (1j, "a complex is not a value"),
        (bytearray(b"a"), "a bytearray is not a value"),
        (object(), "a object is not a value"),
        (type("Money", (), {})(), "a Money is not a value"),
        (IntEnum("Level", "LOW")(1), "a Level is not a value"),
        (type("Text", (str,), {})("a"), "a Text is not a value"),
        (OrderedDict(a=1), "a OrderedDict is not a value"),
        (msgpack.ExtType(1, b"\x90"), "a ExtType is not a value"),
    ],
    ids=lambda part: repr(part).split(" at 0x")[0],
)
@pytest.mark.parametrize(
    "wrap",
    [lambda v: v, lambda v: [v], lambda v: {"a": [0, {"b": v}]}],
    ids=["bare", "list", "map"],
)
def test_what_is_no_value_is_refused_at_any_depth(value, fault, wrap):
    with pytest.raises(InvalidValue, match=fault) as caught:
        to_cell_value(wrap(value), "field 'email'")
    assert "field 'email'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "fault"), [("\ud800", "lone surrogate"), (1, "a map key is a int"), (None, "map key")]
)
def test_a_map_key_that_is_no_text_is_refused(key, fault):
    with pytest.raises(InvalidValue, match=fault):
        to_cell_value({"outer": {key: 1}}, "field 'x'")


def test_a_datetime_is_brought_to_utc():
    east = timezone(timedelta(hours=5, minutes=30))
    back = round_trip(datetime(2026, 1, 1, 5, 30, tzinfo=east))
    assert repr(back) == repr(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_datetime_beyond_utc_is_refused():
    east = timezone(timedelta(hours=1))
    with pytest.raises(InvalidValue, match="not representable in UTC"):
        to_cell_value(datetime(1, 1, 1, tzinfo=east), "field 'x'")


@pytest.mark.parametrize("unit", ["x", "é", "😀"])
def test_text_is_limited_in_bytes(unit):
    count = limits.VALUE_BYTES_MAX // len(unit.encode())
    to_cell_value(unit * count, "field 'x'")
    with pytest.raises(
        LimitExceeded, match=r"value of field 'x' has .* bytes; the limit is 65,536"
    ):
        to_cell_value(unit * (count + 1), "field 'x'")


def test_bytes_lists_and_maps_are_limited_in_bytes():
    for value in (b"x" * 65_537, [b"x" * 65_535], {"a": b"x" * 65_535}):
        with pytest.raises(LimitExceeded):
            to_cell_value(value, "field 'x'")
    to_cell_value([b"x" * 65_530], "field 'x'")


def test_nesting_is_limited():
    deepest = nested(limits.VALUE_DEPTH_MAX)
    assert round_trip(deepest) == deepest
    with pytest.raises(LimitExceeded, match="nesting"):
        to_cell_value(nested(limits.VALUE_DEPTH_MAX + 1), "field 'x'")


def test_a_list_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(LimitExceeded, match="nesting"):
        to_cell_value(endless, "field 'x'")


def test_a_cell_value_does_not_follow_its_writer_or_its_reader():
    written = {"tags": ["a"]}
    cell_value = to_cell_value(written, "field 'x'")
    written["tags"].append("b")
    first = from_cell_value(cell_value)
    first["tags"].append("c")
    assert from_cell_value(cell_value) == {"tags": ["a"]}


def test_values_of_two_types_are_two_values():
    values = [0, 0.0, -0.0, False, "", b"", None]
    for one in values:
        for other in values:
            assert same_cell_value(one, other) is (one is other)


def opaque(data, code=OPAQUE_EXT_CODE):
    return msgpack.ExtType(code, data)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "holds a list"),
        ((), "holds a tuple"),
        ({}, "holds a dict"),
        (2**63, "beyond 64 bits"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (opaque(b"\x90", code=2), "no opaque value"),
        (opaque(b"\xc6\x00\x01\x00\x00" + b"x" * 65_536), "no opaque value"),
        (opaque(b""), "malformed"),
        (opaque(b"\x91"), "malformed"),
        (opaque(b"\x90\x90"), "malformed"),
        (opaque(b"\xc1"), "malformed"),
        (opaque(b"\x91\xa1\xff"), "malformed"),
        (opaque(b"\x81\x01\x01"), "malformed"),
        (opaque(b"\x91\xd4\x01\x90"), "not a value"),
        (opaque(b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "malformed|finite"),
        (opaque(b"\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "64 bits"),
        (opaque(b"\x01"), "not canonical"),
        (opaque(b"\x91\xcc\x01"), "not canonical"),
        (opaque(b"\xdc\x00\x00"), "not canonical"),
        (opaque(b"\x82\xa1a\x01\xa1a\x01"), "not canonical"),
        (opaque(b"\x91" * 40 + b"\x90"), "nesting|malformed"),
        (opaque(b"\x91" * 2000 + b"\x90"), "malformed"),
        (opaque(b"\x91\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "malformed|canonical"),
    ],
    ids=lambda case: repr(case)[:40],
)
def test_a_foreign_cell_value_that_no_writer_makes_is_refused(value, fault):
    with pytest.raises(InvalidValue, match=fault):
        check_cell_value(value)
