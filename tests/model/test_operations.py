"""Operations as JSON: a map of operation names is an operation, any other body is a value."""

import pytest

from crdtstore.errors import InvalidOperation
from crdtstore.model.operations import (
    EditSet,
    Grant,
    Increment,
    Revoke,
    SetValue,
    add,
    decrement,
    edit_set,
    from_json,
    grant,
    increment,
    remove,
    revoke,
    set_value,
)


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        ({"add": ["vip", 1]}, EditSet(add=("vip", 1))),
        ({"remove": ["lead"]}, EditSet(remove=("lead",))),
        ({"add": ["vip"], "remove": ["lead"]}, EditSet(("vip",), ("lead",))),
        ({"add": []}, EditSet()),
        ({"increment": 1}, Increment(1)),
        ({"increment": -1.5}, Increment(-1.5)),
        ({"decrement": 2}, Increment(-2)),
        ({"grant": True}, Grant()),
        ({"revoke": True}, Revoke()),
        ({"set": None}, SetValue(None)),
        ({"set": {"add": ["x"]}}, SetValue({"add": ["x"]})),
        ({"set": {"set": 1}}, SetValue({"set": 1})),
    ],
)
def test_a_map_of_operation_names_is_an_operation(body, operation):
    assert from_json("tags", body) == operation


@pytest.mark.parametrize(
    "body",
    [
        None, True, 0, -0.0, "", "add", b"add", [], ["add"], {}, {"street": "x"},
        {"add": ["x"], "street": "y"}, {"Add": ["x"]}, {1: 2}, {"grant": True, "by": "phone"},
    ],
)  # fmt: skip
def test_anything_else_is_a_value_as_it_stands(body):
    assert from_json("tags", body) is body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"add": "vip"}, "add takes a list"),
        ({"add": None}, "add takes a list"),
        ({"add": ["x"], "remove": {"y": 1}}, "remove takes a list"),
        ({"increment": "1"}, "increment takes a number"),
        ({"increment": True}, "increment takes a number"),
        ({"decrement": None}, "decrement takes a number"),
        ({"grant": False}, "grant takes true"),
        ({"grant": 1}, "grant takes true"),
        ({"revoke": "yes"}, "revoke takes true"),
        ({"grant": True, "revoke": True}, "grant and revoke cannot be one operation"),
        ({"add": ["x"], "increment": 1}, "add and increment"),
        ({"set": 1, "add": ["x"]}, "add and set"),
        ({"increment": 1, "decrement": 1}, "decrement and increment"),
    ],
)
def test_a_malformed_operation_is_refused_and_names_its_field(body, reason):
    with pytest.raises(InvalidOperation, match=f"'tags'.*{reason}"):
        from_json("tags", body)


def test_the_functions_make_what_their_names_say():
    assert add("a", "b") == EditSet(add=("a", "b"))
    assert remove("a") == EditSet(remove=("a",))
    assert edit_set(add=("a",), remove=("b",)) == EditSet(("a",), ("b",))
    assert (increment(), decrement(), decrement(2.5)) == (
        Increment(1), Increment(-1), Increment(-2.5)
    )  # fmt: skip
    assert (grant(), revoke(), set_value(1)) == (Grant(), Revoke(), SetValue(1))


@pytest.mark.parametrize("amount", ["1", None, True, [1]])
def test_a_decrement_is_by_a_number(amount):
    with pytest.raises(InvalidOperation):
        decrement(amount)
