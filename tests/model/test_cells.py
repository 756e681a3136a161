"""Cells from elsewhere: every key and every cell that no writer makes is refused."""

import msgpack
import pytest

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.cells import (
    KIND_OF_LETTER,
    NEWEST_KINDS,
    SLOT_PARTS,
    check_cells,
    counter_key,
    decode_element,
    denial_key,
    encode_element,
    grant_key,
    parse_key,
    register_key,
    set_key,
    stamp_change,
)

ORIGIN = "00000000000000ff"
LATEST = 1_000


def test_every_letter_has_a_kind_and_a_slot():
    assert set(KIND_OF_LETTER) == set(SLOT_PARTS)
    assert set(SLOT_PARTS) > NEWEST_KINDS


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (register_key("email", "crm"), ("r", "email", "crm", 0, "")),
        (counter_key("visits", "cdp", 255), ("c", "visits", "cdp", 255, "")),
        (set_key("tags", "cdp", 255, "tvip"), ("s", "tags", "cdp", 255, "tvip")),
        (set_key("tags", "cdp", 255, "ta\x1fb"), ("s", "tags", "cdp", 255, "ta\x1fb")),
        (set_key("tags", "cdp", 255, "t"), ("s", "tags", "cdp", 255, "t")),
        (denial_key("mail", "crm", 255), ("d", "mail", "crm", 255, "")),
        (grant_key("größe", "c r m"), ("g", "größe", "c r m", 0, "")),
        (register_key("f" * 128, "s" * 64), ("r", "f" * 128, "s" * 64, 0, "")),
    ],
)
def test_a_key_gives_its_parts_back(key, parts):
    assert tuple(parse_key(key))[:5] == parts
    assert parse_key(key).number % 2 == 1


@pytest.mark.parametrize(
    "key",
    [
        "",
        "r",
        "x",
        "xemail\x1fcrm",
        "Remail\x1fcrm",
        "remail",
        "remail\x1f",
        "r\x1fcrm",
        "r \x1fcrm",
        "remail\x1f ",
        "remail\x1fcrm\x1fmore",
        "re\nmail\x1fcrm",
        "remail\x1fc\x00rm",
        "remail\x1fcrm\x7f",
        "re\ud800mail\x1fcrm",
        "r" + "f" * 129 + "\x1fcrm",
        "remail\x1f" + "s" * 65,
        "cvisits\x1fcdp",
        "cvisits\x1fcdp\x1f",
        "cvisits\x1fcdp\x1fff",
        "cvisits\x1fcdp\x1f" + "0" * 16,
        "cvisits\x1fcdp\x1f" + "F" * 16,
        "cvisits\x1fcdp\x1f8000000000000000",
        "cvisits\x1fcdp\x1f00000000000000FF",
        "cvisits\x1fcdp\x1f+0000000000000ff",
        "cvisits\x1fcdp\x1f0000_000000000ff",
        "cvisits\x1fcdp\x1f 00000000000000f",
        f"cvisits\x1fcdp\x1f{ORIGIN}\x1fmore",
        f"dmail\x1fcrm\x1f{ORIGIN}\x1f",
        "gmail\x1fcrm\x1f" + ORIGIN,
        f"stags\x1fcdp\x1f{ORIGIN}",
        f"stags\x1fcdp\x1f{ORIGIN}\x1f",
        f"stags\x1fcdp\x1f{ORIGIN}\x1fxvip",
        f"stags\x1fcdp\x1f{ORIGIN}\x1ft\ud800",
        f"stags\x1fcdp\x1f{ORIGIN}\x1fp",
        f"stags\x1fcdp\x1f{ORIGIN}\x1fpzz",
        f"stags\x1fcdp\x1f{ORIGIN}\x1ft" + "x" * 1025,
    ],
    ids=repr,
)
def test_a_key_that_no_writer_makes_is_refused(key):
    with pytest.raises(InvalidValue):
        parse_key(key)
    with pytest.raises(InvalidValue):
        check_cells({key: (1, 1, 1)}, LATEST)


@pytest.mark.parametrize(
    "packed",
    [
        "c0",
        "a161",
        "90",
        "80",
        "d40190",
        "01 ",
        "0101",
        "cc01",
        "CC80",
        "ca3f800000",
        "cb7ff8000000000000",
        "cfffffffffffffffff",
        "d7ffffffffffffffffff",
        "91" * 512,
        "d6ff",
        "c1",
    ],
)
def test_a_packed_element_that_no_writer_makes_is_refused(packed):
    with pytest.raises(InvalidValue):
        decode_element("p" + packed)


def test_elements_that_look_alike_have_different_names():
    values = ["", "p01", "t", 1, 1.0, True, 0.0, -0.0, b"", b"a", "a"]
    names = [encode_element(value) for value in values]
    assert len(set(names)) == len(values)
    assert [repr(decode_element(name)) for name in names] == [repr(value) for value in values]


REGISTER_KEY = register_key("email", "crm")
COUNTER_KEY = counter_key("visits", "cdp", 255)
SET_KEY = set_key("tags", "cdp", 255, "tvip")
DENIAL_KEY = denial_key("mail", "crm", 255)
GRANT_KEY = grant_key("mail", "crm")


@pytest.mark.parametrize(
    ("key", "cell"),
    [
        (REGISTER_KEY, (LATEST, 1, "text")),
        (REGISTER_KEY, (1, (1 << 63) - 1, None)),
        (REGISTER_KEY, (1, 1, msgpack.ExtType(1, b"\x90"))),
        (COUNTER_KEY, (1, 255, -5)),
        (COUNTER_KEY, (1, 255, 0.5)),
        (SET_KEY, (LATEST, 0)),
        (SET_KEY, (0, LATEST)),
        (DENIAL_KEY, (3, 3)),
        (GRANT_KEY, (1, 1, True)),
    ],
)
def test_what_writers_make_is_accepted(key, cell):
    check_cells({key: cell}, LATEST)


@pytest.mark.parametrize(
    ("key", "cell"),
    [
        (REGISTER_KEY, [1, 1, "a"]),
        (REGISTER_KEY, ()),
        (REGISTER_KEY, (1,)),
        (REGISTER_KEY, (1, 1)),
        (REGISTER_KEY, (1, 1, "a", "b")),
        (REGISTER_KEY, "abc"),
        (REGISTER_KEY, None),
        (REGISTER_KEY, (0, 1, "a")),
        (REGISTER_KEY, (-1, 1, "a")),
        (REGISTER_KEY, (LATEST + 1, 1, "a")),
        (REGISTER_KEY, (True, 1, "a")),
        (REGISTER_KEY, (1.0, 1, "a")),
        (REGISTER_KEY, (1, 0, "a")),
        (REGISTER_KEY, (1, -1, "a")),
        (REGISTER_KEY, (1, 1 << 63, "a")),
        (REGISTER_KEY, (1, True, "a")),
        (REGISTER_KEY, (1, 1, ("a",))),
        (REGISTER_KEY, (1, 1, 2**63)),
        (REGISTER_KEY, (1, 1, float("nan"))),
        (REGISTER_KEY, (1, 1, msgpack.ExtType(1, b"\x01"))),
        (COUNTER_KEY, (1, 254, 5)),
        (COUNTER_KEY, (1, 255, "5")),
        (COUNTER_KEY, (1, 255, True)),
        (COUNTER_KEY, (1, 255, None)),
        (COUNTER_KEY, (1, 255, float("inf"))),
        (COUNTER_KEY, (1, 0)),
        (GRANT_KEY, (1, 1, 1)),
        (GRANT_KEY, (1, 1, False)),
        (GRANT_KEY, (1, 1, None)),
        (GRANT_KEY, (1, 1, "true")),
        (SET_KEY, (1, 1, "a")),
        (SET_KEY, (0, 0)),
        (DENIAL_KEY, (0, 0)),
        (SET_KEY, (-1, 0)),
        (SET_KEY, (0, LATEST + 1)),
        (SET_KEY, (LATEST + 1, 0)),
        (SET_KEY, (True, 0)),
        (SET_KEY, (1.0, 0)),
        (DENIAL_KEY, (1, 255, True)),
        (DENIAL_KEY, (None, 0)),
    ],
    ids=repr,
)
def test_a_cell_that_no_writer_makes_is_refused(key, cell):
    with pytest.raises(InvalidValue):
        check_cells({key: cell}, LATEST)


@pytest.mark.parametrize("cells", [None, [], (), "r", 1, [("remail\x1fcrm", (1, 1, "a"))]])
def test_cells_that_are_no_map_are_refused(cells):
    with pytest.raises(InvalidValue, match="not a map"):
        check_cells(cells, LATEST)


@pytest.mark.parametrize("key", [1, None, b"remail\x1fcrm", ("r",)])
def test_a_key_that_is_no_text_is_refused(key):
    with pytest.raises(InvalidValue, match="not text"):
        check_cells({key: (1, 1, "a")}, LATEST)


def test_one_bad_cell_among_good_ones_is_found():
    with pytest.raises(InvalidValue):
        check_cells({REGISTER_KEY: (1, 1, "a"), SET_KEY: (1, 0, 0)}, LATEST)


def test_many_different_keys_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(limits, "PARSED_KEYS_MAX", 10)
    for number in range(100):
        key = register_key(f"field{number}", "crm")
        assert parse_key(key).field == f"field{number}"
        assert stamp_change(key, None, (1, 1, "a")) == stamp_change(key, None, (1, 1, "b"))


def test_the_stamp_of_a_cell_differs_by_key_timestamp_and_origin():
    stamps = {
        stamp_change(REGISTER_KEY, None, (1, 1, "a")),
        stamp_change(REGISTER_KEY, None, (2, 1, "a")),
        stamp_change(REGISTER_KEY, None, (1, 2, "a")),
        stamp_change(GRANT_KEY, None, (1, 1, True)),
    }
    assert len(stamps) == 4
