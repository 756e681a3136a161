"""Places sort as values do, end where they say, and fit into a key."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.query import bounds
from crdtstore.query.places import (
    ABSENT,
    BEYOND_IDS,
    COMPOSITES,
    ELEMENT,
    END_OF_PLACES,
    after_prefix,
    element_places,
    is_exact_number,
    is_short,
    place_end,
    place_of,
    profile_of,
    text_place,
    text_prefix,
)
from crdtstore.query.reading import PREFIX_BYTES
from tests.query.oracle import compared

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "",
        "a",
        "ab",
        "ab\x00",
        "ab\x00c",
        "\x00",
        "\x00\x00",
        "é",
        "\U0010ffff",
        "x" * 235,
        "x" * 240,
    ]
)
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, 2.0**63, -(2**63), 1, 1.0])
)
SCALARS = (
    st.booleans()
    | NUMBERS
    | TEXTS
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC))
    | st.none()
)
IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
LONG = 10**6


@given(SCALARS, SCALARS)
@example(2**53 + 1, 2.0**53)
@example(1, True)
@example("ab", "ab\x00")
@example(b"\x00", b"")
@example(0.0, -0.0)
def test_places_sort_as_values(one: Any, two: Any) -> None:
    order = compared(one, two)
    places = place_of(one), place_of(two)
    if order == 0:
        assert places[0] == places[1]
    elif all(not isinstance(each, str) or is_short(each) for each in (one, two)):
        assert (places[0] < places[1]) == (order < 0)
        assert places[0] != places[1]
    else:
        assert (places[0] <= places[1]) if order < 0 else (places[0] >= places[1])


@given(st.text(st.sampled_from("ab\x00"), max_size=260), st.text(st.sampled_from("ab\x00")))
@example("\x00" * 130, "\x00" * 118)
@example("x" * 235 + "\x00", "x" * 235)
@example("x" * 400, "x" * 234)
def test_texts_that_are_cut_off_keep_their_order_and_their_prefixes(one: str, two: str) -> None:
    if one <= two:
        assert text_place(one) <= text_place(two)
    else:
        assert text_place(one) >= text_place(two)
    prefix = text_prefix(two)
    if one.startswith(two):
        assert text_place(one).startswith(prefix)
    elif is_short(two):
        assert not text_place(one).startswith(prefix)


@given(SCALARS, IDS, st.booleans())
def test_a_key_leads_back_to_its_profile(value: Any, profile_id: str, is_element: bool) -> None:
    place = (ELEMENT if is_element else b"") + place_of(value)
    key = place + profile_id.encode()
    assert key[: place_end(key, 0)] == place
    assert profile_of(b"123" + key, 3) == profile_id
    assert place <= key < place + BEYOND_IDS
    assert place_of(value) < END_OF_PLACES


def test_the_longest_key_fits() -> None:
    size = max(len(place_of(text)) for text in ("x" * LONG, "\x00" * LONG, "é" * LONG))
    assert size <= bounds.PLACE_TEXT_BYTES_MAX + 2
    assert PREFIX_BYTES + 1 + size + limits.PROFILE_ID_BYTES_MAX <= limits.DOCUMENT_KEY_BYTES_MAX


def test_lists_and_maps_have_one_place_and_elements_theirs() -> None:
    assert place_of([1]) == place_of({}) == COMPOSITES
    assert element_places([1, 1.0, "a", None, [1], {}]) == {place_of(1), place_of("a")}
    assert element_places({"a": 1}) == element_places("a") == set()
    assert place_of(None) == ABSENT
    assert place_of(datetime(1, 1, 1, tzinfo=UTC)) < place_of(datetime(1970, 1, 1, tzinfo=UTC))


def test_huge_numbers_share_places_and_say_so() -> None:
    assert not is_exact_number(2**90)
    assert is_exact_number(2**79)
    assert is_exact_number(1e300)
    assert place_of(10**400) > place_of(1.7e308)
    assert place_of(-(10**400)) < place_of(-1.7e308)


def test_what_comes_after_a_prefix() -> None:
    assert after_prefix(b"ab") == b"ac"
    assert after_prefix(b"a\xff\xff") == b"b"
