"""Filters are read as RFC 7644 has them, and what is wrong is told with its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore.errors import InvalidInput
from crdtstore.query import bounds
from crdtstore.query.filters import (
    Comparison,
    Conjunction,
    Disjunction,
    Negation,
    Presence,
    fields_of,
    parse_filter,
    parse_order,
)
from crdtstore.query.refusals import InvalidFilter


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ('userName eq "bjensen"', Comparison("userName", "eq", "bjensen")),
        ("name.familyName co \"O'Malley\"", Comparison("name.familyName", "co", "O'Malley")),
        ("title pr", Presence("title")),
        ("age GE -1.5e3", Comparison("age", "ge", -1500.0)),
        ("age gt 12345678901234567890", Comparison("age", "gt", 12345678901234567890)),
        ("vip eq true", Comparison("vip", "eq", True)),
        ("vip eq null", Negation(Presence("vip"))),
        ("vip NE null", Presence("vip")),
        ('"first name" eq "a\\u00e9\\"b"', Comparison("first name", "eq", 'aé"b')),
        (
            "a pr or b pr and not (c pr)",
            Disjunction(
                (Presence("a"), Conjunction((Presence("b"), Negation(Presence("c"))))),
            ),
        ),
        ("(a pr or b pr)and c pr", Conjunction((Disjunction((Presence("a"), Presence("b"))),
                                                Presence("c")))),
        ("not pr", None),
        ("Not(not(a pr))", Negation(Negation(Presence("a")))),
    ],
)  # fmt: skip
def test_a_filter_is_read(text: str, parsed: Any) -> None:
    if parsed is None:
        with pytest.raises(InvalidFilter, match=r"'\(' after 'not'"):
            parse_filter(text)
    else:
        assert parse_filter(text) == parsed
        assert parse_filter(f"  {text}\n") == parsed


@pytest.mark.parametrize(
    ("text", "position", "told"),
    [
        ("", 0, "a field"),
        ("age", 3, "an operator"),
        ("age equals 3", 4, "'equals'"),
        ("age eq", 6, "a value"),
        ("age eq Ann", 7, "'Ann'"),
        ("age eq 3 4", 9, "'and', 'or' or the end"),
        ("age gt true", 7, "text or a number after gt"),
        ("age sw 3", 7, "text in double quotes after sw"),
        ('age eq "x', 7, "never ends"),
        ('age eq "\\x"', 7, "as JSON writes it"),
        ('age eq "\\ud800"', 7, "as JSON writes it"),
        ("age eq 1e999", 7, "a float can hold"),
        ("age eq 01", 7, "a value"),
        ("(age pr", 7, "')'"),
        ("age pr)", 6, "'and', 'or' or the end"),
        ('emails[type eq "work"]', 6, "brackets"),
        ("9age pr", 0, "in double quotes"),
        ('"" pr', 0, "the name of a field"),
        ("and pr and", 10, "a field"),
        ("a eq " + "9" * 41, 5, "a value"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, position: int, told: str) -> None:
    with pytest.raises(InvalidFilter, match=r"where|character") as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert told in str(caught.value)


def test_depth_length_and_number_are_bounded() -> None:
    deep = bounds.FILTER_DEPTH_MAX
    assert parse_filter("(" * deep + "a pr" + ")" * deep) == Presence("a")
    with pytest.raises(InvalidFilter, match="parentheses inside one another"):
        parse_filter("(" * (deep + 1) + "a pr" + ")" * (deep + 1))
    terms = bounds.FILTER_TERMS_MAX
    parse_filter(" and ".join(["a pr"] * terms))
    with pytest.raises(InvalidFilter, match="comparisons"):
        parse_filter(" and ".join(["a pr"] * (terms + 1)))
    with pytest.raises(InvalidFilter, match="4,096"):
        parse_filter("é" * 2_049)
    with pytest.raises(InvalidFilter, match="surrogates"):
        parse_filter('a eq "\ud800"')


@pytest.mark.parametrize(
    ("text", "order"),
    [("age", ("age", False)), ("-age", ("age", True)), ('-"-a b"', ("-a b", True)),
     ("first name", ("first name", False))],
)  # fmt: skip
def test_an_order_is_read(text: str, order: tuple[str, bool]) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize("text", ["-", " ", "a\nb", '"', "x" * 200])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_order(text)


def test_the_fields_of_a_filter() -> None:
    assert fields_of(parse_filter("a pr or not (b eq 1 and c pr)")) == {"a", "b", "c"}


@given(st.text(st.sampled_from('ab "()[]\\1e.-andortqpru\n'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert fields_of(parse_filter(text))
    except InvalidFilter as error:
        if not 0 <= error.position <= len(text):
            raise AssertionError(error.position) from error
