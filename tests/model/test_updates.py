"""Yjs updates from outside: what an honest client sends passes, all else is refused."""

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.text_history import tally_of
from crdtstore.model.update_parts import normal_form, split_update
from crdtstore.model.updates import (
    Update,
    advance,
    decode_clocks,
    decode_update,
    encode_clocks,
    encode_update,
    fit,
    note_pairs,
)
from tests.fuzzing.update_grammar import REPRODUCERS, nested, number, real_updates

KINDS = ("text", "list")
ROOT = b"\x01\x04text"


def text_of(*updates):
    document = pycrdt.Doc()
    root = document.get("text", type=pycrdt.Text)
    for update in updates:
        document.apply_update(update)
    return str(root)


def blocks(*parts, client=7, clock=0, deleted=b"\x00"):
    """Return an update with blocks of one client."""
    return b"\x01" + number(len(parts)) + number(client) + number(clock) + b"".join(parts) + deleted


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_honest_client_sends_comes_back(kind):
    clocks, pairs = {}, {}
    for raw in real_updates(kind)[:-1]:
        update = decode_update(raw, kind)
        assert decode_update(encode_update(update, kind), kind) == update
        assert len(encode_update(update, kind)) == len(raw)
        assert fit(update, clocks, pairs) == update
        advance(clocks, update)
        note_pairs(pairs, update)
        assert fit(update, clocks, pairs).blocks == {}
    whole = decode_update(real_updates(kind)[-1], kind)
    assert fit(whole, clocks, pairs).blocks == {}
    fresh = {}
    advance(fresh, whole)
    assert fresh == clocks


@pytest.mark.parametrize("name", REPRODUCERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_to_harm_is_refused(name, kind):
    with pytest.raises(InvalidValue):
        fit(decode_update(bytes.fromhex(REPRODUCERS[name]), kind), {}, {})


BAD = {
    "nothing": b"",
    "one byte": b"\x00",
    "trailing byte": b"\x00\x00\x00",
    "long form of a number": b"\x80\x00\x00",
    "number beyond 53 bits": b"\x01\x01" + b"\xff" * 7 + b"\x1f" + b"\x00",
    "number that ends": b"\x01\x01\x80",
    "client twice": b"\x02" + blocks(b"\x04" + ROOT + b"\x01a")[1:-1] * 2 + b"\x00",
    "section of nothing": b"\x01\x00\x07\x00\x00",
    "another root": blocks(b"\x04\x01\x04list\x01a"),
    "a parent": blocks(b"\x04\x00\x01\x00\x01a"),
    "a key": blocks(b"\x24" + ROOT + b"\x01k\x01a"),
    "empty string": blocks(b"\x04" + ROOT + b"\x00"),
    "string that is no UTF-8": blocks(b"\x04" + ROOT + b"\x01\xff"),
    "collected block": blocks(b"\x00\x01"),
    "skip": blocks(b"\x0a\x01"),
    "deleted block of nothing": blocks(b"\x01" + ROOT + b"\x00"),
    "deleted block beyond the clocks": blocks(b"\x01" + ROOT + number(2**31)),
    "nested type": blocks(b"\x07" + ROOT + b"\x02"),
    "subdocument": blocks(b"\x09" + ROOT + b"\x01a\x7e"),
    "move": blocks(b"\x0b" + ROOT + b"\x00"),
    "item in a text": blocks(b"\x08" + ROOT + b"\x01\x7e"),
    "embed that is no map": blocks(b"\x05" + ROOT + b"\x011"),
    "embed with NaN": blocks(b"\x05" + ROOT + b'\x09{"a":NaN}'),
    "attribute with half a character": blocks(b"\x06" + ROOT + b'\x01k\x08"\\ud800"'),
    "attribute without a name": blocks(b"\x06" + ROOT + b"\x00\x041234"),
    "deletes nothing": b"\x00\x01\x07\x01\x00\x00",
    "deletes out of order": b"\x00\x01\x07\x02\x05\x01\x00\x01",
    "deletes of a client twice": b"\x00\x02\x07\x01\x00\x01\x07\x01\x01\x01",
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_what_an_honest_client_never_sends_is_refused(raw):
    with pytest.raises(InvalidValue):
        decode_update(raw, "text")


def items(*packed):
    return blocks(b"\x08\x01\x04list" + number(len(packed)) + b"".join(packed))


@pytest.mark.parametrize(
    "raw",
    [
        items(b"\x7f"),
        items(b"\x7a" + bytes(8)),
        items(b"\x7b\x7f\xf0" + bytes(6)),
        items(b"\x7d\xc0\x00"),
        items(b"\x76\x02\x01k\x7e\x01k\x7e"),
        items(b"\x75\xff\xff\x7f"),
        items(b"\x77\x01\xff"),
        items(b"\x73"),
        items(b"\x77" + number(70_000) + b"a" * 70_000),
        nested(8),
        nested(60_000),
        blocks(b"\x08\x01\x04list\x00"),
        blocks(b"\x08\x01\x04list\xff\x7f\x7e"),
        blocks(b"\x04\x01\x04list\x01a"),
    ],
    ids=range(14),
)
def test_items_that_are_no_plain_values_are_refused(raw):
    assert decode_update(nested(6), "list").blocks
    with pytest.raises(InvalidValue):
        decode_update(raw, "list")


def test_an_update_that_is_too_large_is_refused():
    with pytest.raises(InvalidValue, match="limit is 2,097,152 bytes"):
        decode_update(bytes(limits.UPDATE_BYTES_MAX + 1), "text")
    with pytest.raises(InvalidValue, match="clients"):
        decode_update(number(limits.UPDATE_CLIENTS_MAX + 1) + b"\x00", "text")


HELLO = blocks(b"\x04" + ROOT + b"\x05Hello")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (blocks(b"\x84\x07\x04\x01!", clock=6), "gap"),
        (blocks(b"\x84\x07\x05\x01!", clock=5, client=9), "gap"),
        (blocks(b"\x84\x08\x00\x01!", client=9), "stands beside"),
        (blocks(b"\x84\x09\x05\x01!", client=9), "stands beside"),
        (b"\x00\x01\x07\x01\x04\x02", "nobody has written"),
        (b"\x00\x01\x09\x01\x00\x01", "nobody has written"),
    ],
    ids=range(6),
)
def test_what_would_be_pending_is_refused(raw, reason):
    clocks = {}
    advance(clocks, decode_update(HELLO, "text"))
    with pytest.raises(InvalidValue, match=reason):
        fit(decode_update(raw, "text"), clocks, {})


def test_two_that_wait_for_each_other_are_refused():
    one = b"\x01\x08\x00\x84\x09\x00\x01a"
    other = b"\x01\x09\x00\x84\x08\x00\x01b"
    with pytest.raises(InvalidValue, match="stands beside"):
        fit(decode_update(b"\x02" + one + other + b"\x00", "text"), {}, {})


@given(st.text(min_size=1, max_size=9), st.integers(0, 20))
def test_what_is_known_is_cut_off(content, known):
    """A block may begin within what is known, though never within a character."""
    document = pycrdt.Doc(client_id=7)
    document.get("text", type=pycrdt.Text).insert(0, content)
    raw = bytes(document.get_update())
    update = decode_update(raw, "text")
    halves = content.encode("utf-16-le")
    known = min(known, len(halves) // 2)
    try:
        prefix = halves[: 2 * known].decode("utf-16-le")
    except UnicodeDecodeError:
        with pytest.raises(InvalidValue, match="within a character"):
            fit(update, {7: known}, {})
        return
    fitted = fit(update, {7: known} if known else {}, {})
    start = pycrdt.Doc(client_id=7)
    if prefix:
        start.get("text", type=pycrdt.Text).insert(0, prefix)
    assert text_of(bytes(start.get_update()), encode_update(fitted, "text")) == content
    assert tally_of(fitted) == (len(halves) // 2 - known, 0)


@pytest.mark.parametrize(
    "raw",
    [
        blocks(b"\x84\x07\x01\x01!", client=9),
        blocks(b"\x44\x07\x02\x01!", client=9),
        b"\x00\x01\x07\x01\x01\x01",
        b"\x00\x01\x07\x01\x02\x01",
    ],
    ids=["after a half", "before a half", "deletes the first half", "deletes the second half"],
)
def test_a_character_is_not_cut_in_two(raw):
    smile = decode_update(blocks(b"\x04" + ROOT + b"\x06a\xf0\x9f\x98\x80b"), "text")
    clocks, pairs = {}, {}
    advance(clocks, smile)
    note_pairs(pairs, smile)
    assert pairs == {7: {2}}
    with pytest.raises(InvalidValue, match="character"):
        fit(decode_update(raw, "text"), clocks, pairs)
    both = decode_update(b"\x00\x01\x07\x01\x01\x02", "text")
    note_pairs(pairs, fit(both, clocks, pairs))
    assert pairs == {7: set()}
    fit(decode_update(raw, "text"), clocks, pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bytes_max", [1, 30, 100, 1_000])
def test_parts_of_an_update_are_the_whole(kind, bytes_max):
    whole = real_updates(kind)[-1]
    clocks, pairs = {}, {}
    document = pycrdt.Doc()
    document.get(kind, type=pycrdt.Text if kind == "text" else pycrdt.Array)
    for part in split_update(whole, kind, bytes_max):
        update = decode_update(part, kind)
        assert fit(update, clocks, {}) == update
        advance(clocks, update)
        note_pairs(pairs, update)
        document.apply_update(part)
    assert normal_form(bytes(document.get_update()), kind) == normal_form(whole, kind)


def test_a_long_string_is_cut_between_characters():
    document = pycrdt.Doc(client_id=7)
    document.get("text", type=pycrdt.Text).insert(0, "😀é" * 5_000)
    whole = bytes(document.get_update())
    parts = split_update(whole, "text", 1_000)
    assert max(map(len, parts)) < 1_100
    assert text_of(*parts) == "😀é" * 5_000


def test_one_state_has_one_form_however_it_came_about():
    documents = [pycrdt.Doc(client_id=7), pycrdt.Doc(client_id=8)]
    updates = real_updates("text")[:-1]
    for update in updates:
        documents[0].apply_update(update)
    documents[1].apply_update(pycrdt.merge_updates(*reversed(updates)))
    forms = {normal_form(bytes(document.get_update()), "text") for document in documents}
    assert len(forms) == 1
    assert text_of(*forms) == text_of(*updates)


@pytest.mark.parametrize(
    "raw", [b"", b"\x01", b"\x02\x07\x01\x07\x02", b"\x00\x00", b"\x01\x07" + number(2**31), "x"]
)
def test_a_state_vector_from_outside_is_read_strictly(raw):
    assert decode_clocks(encode_clocks({7: 3, 2**53 - 1: 1})) == {7: 3, 2**53 - 1: 1}
    with pytest.raises(InvalidValue):
        decode_clocks(raw)


def test_nothing_is_an_update_too():
    assert decode_update(b"\x00\x00", "text") == Update({}, {})
    assert decode_update(b"\x00\x00", "text").is_empty
