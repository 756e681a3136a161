"""plan_write: wrong input and every limit, refused with a reason and nothing changed."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import (
    InvalidInput,
    InvalidName,
    InvalidOperation,
    InvalidValue,
    LimitExceeded,
)
from crdtstore.model.cells import (
    counter_key,
)
from crdtstore.model.operations import (
    EditSet,
    Increment,
    add,
    edit_set,
    increment,
    remove,
    set_value,
)
from tests.model.author import EU, US, Author

# --- what is no input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"": 1}, InvalidName, "field name"),
        ({" ": 1}, InvalidName, "field name"),
        ({"a\x1fb": 1}, InvalidName, "control"),
        ({"f" * 129: 1}, InvalidName, "128"),
        ({"\ud800": 1}, InvalidName, "surrogate"),
        ({1: 1}, InvalidName, "int"),
        ({"": add("x")}, InvalidName, "field name"),
        ({"f" * 129: increment()}, InvalidName, "128"),
        ({"x": float("nan")}, InvalidValue, "'x'.*finite"),
        ({"x": float("-inf")}, InvalidValue, "'x'.*finite"),
        ({"x": [1, float("nan")]}, InvalidValue, "finite"),
        ({"x": 2**63}, InvalidValue, "64 bits"),
        ({"x": -(2**63) - 1}, InvalidValue, "64 bits"),
        ({"x": {"a": 2**64}}, InvalidValue, "64 bits"),
        ({"x": "\ud800"}, InvalidValue, "surrogate"),
        ({"x": {"\ud800": 1}}, InvalidValue, "surrogate"),
        ({"x": {1: 1}}, InvalidValue, "map key"),
        ({"x": object()}, InvalidValue, "object is not a value"),
        ({"x": (1,)}, InvalidValue, "tuple is not a value"),
        ({"x": {1}}, InvalidValue, "set is not a value"),
        ({"x": datetime(2024, 1, 1)}, InvalidValue, "time zone"),
        ({"x": set_value(add("x"))}, InvalidValue, "EditSet is not a value"),
        ({"n": Increment("1")}, InvalidOperation, "str"),
        ({"n": Increment(True)}, InvalidOperation, "bool"),
        ({"n": Increment(None)}, InvalidOperation, "NoneType"),
        ({"n": Increment(2**63)}, InvalidValue, "64 bits"),
        ({"n": Increment(float("nan"))}, InvalidValue, "finite"),
        ({"t": add(None)}, InvalidValue, "element"),
        ({"t": add([1])}, InvalidValue, "not a list"),
        ({"t": remove({"a": 1})}, InvalidValue, "not a dict"),
        ({"t": add(object())}, InvalidValue, "element"),
        ({"t": add(float("nan"))}, InvalidValue, "element"),
        ({"t": add("\ud800")}, InvalidValue, "surrogate"),
        ({"t": edit_set(add=("a",), remove=("a",))}, InvalidOperation, "both"),
        ({"t": EditSet(add="vip")}, InvalidOperation, "tuple"),
        ({"t": EditSet(remove=5)}, InvalidOperation, "tuple"),
        ({"t": EditSet(add={"a": 1})}, InvalidOperation, "tuple"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(fields, error, reason):
    author = Author()
    author.refuses(error, {"good": 1, **fields}, reason)
    assert author.document.is_absent


@given(
    st.dictionaries(
        st.text(max_size=5) | st.integers(),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
            | st.builds(EditSet, st.lists(st.none() | st.text() | st.floats()), st.just(()))
            | st.builds(Increment, st.integers() | st.floats() | st.text()),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_input_is_planned_or_refused_as_invalid(fields):
    author = Author()
    try:
        author.write(fields)
    except InvalidInput:
        assert author.document.is_absent


# --- limits ---------------------------------------------------------------------------------------


def test_a_value_at_its_limit_is_taken_and_one_byte_more_is_not():
    author = Author()
    size = limits.VALUE_BYTES_MAX
    for value in ("x" * size, b"x" * size, ["x" * (size - 4)]):
        author.write({"x": value})
        longer = value + value[:1] if type(value) is not list else [value[0] + "x"]
        author.refuses(LimitExceeded, {"x": longer}, "'x' has 65,537 bytes; the limit is 65,536")


def test_a_value_is_nested_so_deep_and_no_deeper():
    def nested(depth):
        return [nested(depth - 1)] if depth else 1

    author = Author()
    author.write({"x": nested(limits.VALUE_DEPTH_MAX - 1)})
    author.refuses(LimitExceeded, {"x": nested(limits.VALUE_DEPTH_MAX)}, "33 levels")


def test_an_element_is_so_long_and_no_longer():
    author = Author()
    author.write({"tags": add("x" * (limits.ELEMENT_BYTES_MAX - 3))})
    author.refuses(
        LimitExceeded, {"tags": add("x" * (limits.ELEMENT_BYTES_MAX - 2))}, "513 bytes.*512"
    )


def test_a_set_has_so_many_elements_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "ELEMENTS_PER_SET_MAX", 4)
    author = Author()
    author.refuses(LimitExceeded, {"tags": add(*"abcde")}, "'tags' has 5 elements.* 4")
    author.write({"tags": add(*"abcd")})
    author.refuses(LimitExceeded, {"tags": add("e")}, "5 elements")
    assert author.write({"tags": add("a")}, source="cdp") == ("tags",), "it has that one already"
    assert author.write({"other": add(*"abcd")}) == ("other",)
    assert author.write({"tags": edit_set(add=("e",), remove=("a",))}) == ("tags",)
    author.refuses(LimitExceeded, {"tags": add("a")}, "5 elements")


def test_a_set_that_grew_too_large_by_a_join_can_be_made_smaller(monkeypatch):
    monkeypatch.setattr(limits, "ELEMENTS_PER_SET_MAX", 3)
    eu, us = Author(EU), Author(US)
    eu.write({"tags": add(*"abc")})
    us.write({"tags": add(*"def")})
    eu.hear(us)
    eu.refuses(LimitExceeded, {"tags": add("g")}, "7 elements")
    assert eu.write({"tags": remove("a")}) == ("tags",)


def test_fields_of_a_profile_are_counted(monkeypatch):
    author = Author()
    author.write({f"f{number}": 1 for number in range(limits.FIELDS_PER_DOCUMENT_MAX)})
    author.refuses(LimitExceeded, {"new": 1}, "1,001 fields; the limit is 1,000")
    assert author.write({"f0": 2}) == ("f0",)
    assert author.write({"f0": 2}, source="cdp") == ("f0",)
    Author().refuses(LimitExceeded, {f"f{number}": 1 for number in range(1001)}, "1,001 fields")


def test_sources_of_a_profile_are_counted():
    author = Author()
    for number in range(limits.SOURCES_PER_DOCUMENT_MAX):
        author.write({"x": 1, "tags": add("a")}, source=f"s{number}")
    author.refuses(LimitExceeded, {"x": 1}, "65 sources; the limit is 64", source="new")
    author.refuses(LimitExceeded, {"tags": add("b")}, "sources", source="new")
    assert author.write({"x": 2}, source="s0") == ("x",)
    assert author.write({"tags": remove("a")}, source="new") == ("tags",), "it brings no source in"


@pytest.mark.parametrize(("start", "amount"), [(2**63 - 1, 1), (-(2**63), -1), (1e308, 1e308)])
def test_a_counter_does_not_overflow(start, amount):
    author = Author()
    author.write({"n": Increment(start)})
    author.refuses(InvalidValue, {"n": Increment(amount)}, "'n': the counter would overflow")
    assert author.document.cells[counter_key("n", "crm", EU)][2] == start
