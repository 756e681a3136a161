"""Edits by position: from characters or UTF-16 units to the bytes that native code counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore.errors import InvalidOperation, InvalidValue, LimitExceeded
from crdtstore.model.edits import plan_list, plan_text
from crdtstore.model.texts import Text, client_of
from crdtstore.model.updates import decode_update

CLIENT = client_of(1, 0)
PIECES = st.text(alphabet="aé日😀\n", min_size=1, max_size=5)


def made(kind, steps, text=None):
    text = text or Text(kind)
    raw = text.edit(steps, CLIENT)
    text.take(raw, decode_update(raw, kind))
    return text


def text_with(content):
    return made("text", plan_text([], [{"insert": content}], "character", "it"))


@given(st.text(alphabet="aé日😀", max_size=12), st.data(), PIECES)
def test_an_edit_does_to_the_text_what_it_does_to_a_python_string(content, data, piece):
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    text = text_with(content) if content else Text("text")
    delta = [{"retain": start}] if start else []
    delta += [{"delete": end - start}] if end > start else []
    delta.append({"insert": piece})
    steps = plan_text(text.runs, delta, "character", "it")
    assert made("text", steps, text).value == content[:start] + piece + content[end:]


@given(st.text(alphabet="aé😀", max_size=10), st.integers(0, 25), PIECES)
def test_utf_16_units_go_where_javascript_says_or_nowhere(content, units, piece):
    text = text_with(content) if content else Text("text")
    halves = content.encode("utf-16-le")
    delta = [{"retain": units}, {"insert": piece}] if units else [{"insert": piece}]
    try:
        head = halves[: 2 * units].decode("utf-16-le")
    except UnicodeDecodeError:
        with pytest.raises(InvalidOperation, match="cuts a character"):
            plan_text(text.runs, delta, "utf-16", "it")
        return
    if 2 * units > len(halves):
        with pytest.raises(InvalidOperation, match="beyond the end"):
            plan_text(text.runs, delta, "utf-16", "it")
        return
    steps = plan_text(text.runs, delta, "utf-16", "it")
    assert made("text", steps, text).value == head + piece + content[len(head) :]


@given(st.lists(st.sampled_from(["bold", "link", "size"]), max_size=3, unique=True), PIECES)
def test_what_is_inserted_has_just_its_attributes(names, piece):
    text = made("text", plan_text([], [
        {"insert": "ab", "attributes": {"bold": True, "link": "x"}}, {"insert": "cd"},
    ], "character", "it"))  # fmt: skip
    for at in (1, 2, 3):
        attributes = {name: name for name in names}
        delta = [{"retain": at}, {"insert": piece, "attributes": attributes}]
        copy = Text("text")
        copy.take_whole(text.encode(), decode_update(text.encode(), "text"), ())
        made("text", plan_text(copy.runs, delta, "character", "it"), copy)
        assert (piece, attributes or None) in split_at(copy.runs, at, len(piece))
        assert copy.value == "abcd"[:at] + piece + "abcd"[at:]


def split_at(runs, at, length):
    """Return the one run that covers a piece, cut to it."""
    found, place = [], 0
    for run, attributes in runs:
        start, end = max(at - place, 0), min(at + length - place, len(run))
        if start < end:
            found.append((run[start:end], attributes))
        place += len(run)
    return found


def test_the_same_edit_has_the_same_bytes_each_time():
    def edited():
        text = text_with("some words")
        attributes = dict.fromkeys("abcdefgh", True)
        delta = [{"retain": 4, "attributes": attributes}, {"insert": "x", "attributes": attributes}]
        return made("text", plan_text(text.runs, delta, "character", "it"), text).parts

    assert all(edited() == edited() for _ in range(5))


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ({"insert": "x", "delete": 1}, InvalidOperation),
        ({}, InvalidOperation),
        ({"insert": 1}, InvalidOperation),
        ({"insert": {}}, InvalidValue),
        ({"insert": {"image": float("nan")}}, InvalidValue),
        ({"insert": {"image": {1: 2}}}, InvalidValue),
        ({"insert": "\ud800"}, InvalidValue),
        ({"insert": "x", "attributes": []}, InvalidOperation),
        ({"insert": "x", "attributes": {"": True}}, InvalidValue),
        ({"insert": "x", "attributes": {"k": 2**60}}, InvalidValue),
        ({"insert": "x", "attributes": {"k": "v" * 3_000}}, InvalidValue),
        ({"insert": "x" * 300_000}, LimitExceeded),
        ({"delete": 1, "attributes": {"k": 1}}, InvalidOperation),
        ({"delete": True}, InvalidOperation),
        ({"retain": 1.0}, InvalidOperation),
        ({"delete": 9}, InvalidOperation),
    ],
    ids=str,
)
def test_an_operation_that_is_none_is_refused(operation, error):
    with pytest.raises(error, match="field 'notes'"):
        plan_text([("abc", None)], [operation], "character", "field 'notes'")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda v: not v.is_integer())
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_steps_do_to_a_list_what_they_do_to_a_python_list(insertions, data):
    text, expected = Text("list"), []
    for items in insertions:
        at = data.draw(st.integers(0, len(expected)))
        steps = [{"at": at, "insert": items}]
        expected[at:at] = items
        at, to = (data.draw(st.integers(0, len(expected) - 1)) for _ in range(2))
        steps.append({"at": at, "move": to})
        expected.insert(to, expected.pop(at))
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(expected) - 1))
            steps.append({"at": at, "delete": 1})
            del expected[at]
        made("list", plan_list(text.value, steps, "it"), text)
    assert text.value == expected
    assert [type(one) for one in text.value] == [type(one) for one in expected]


@pytest.mark.parametrize(
    "step",
    [
        {"at": 0},
        {"insert": [1]},
        {"at": 0, "insert": []},
        {"at": 0, "insert": [2**53]},
        {"at": 0, "insert": [float("inf")]},
        {"at": 0, "insert": [{1: 2}]},
        {"at": 0, "insert": ["\ud800"]},
        {"at": 0, "insert": [{1, 2}]},
        {"at": 3, "insert": [1]},
        {"at": -1, "delete": 1},
        {"at": 1, "delete": 2},
        {"at": 0, "move": 2},
        {"at": 0, "set": 1},
        [0, 1],
    ],
    ids=str,
)
def test_a_step_that_is_none_is_refused(step):
    with pytest.raises((InvalidOperation, InvalidValue), match="field 'tasks'"):
        plan_list(["a", "b"], [step], "field 'tasks'")


def test_an_item_is_nested_to_a_limit():
    nested = 1
    for _ in range(7):
        nested = [nested]
    plan_list([], [{"at": 0, "insert": [nested]}], "it")
    with pytest.raises(LimitExceeded, match="levels"):
        plan_list([], [{"at": 0, "insert": [[nested]]}], "it")
