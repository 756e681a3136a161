"""Accept headers, and values in the form of JSON."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore.server.forms import JSON, MSGPACK
from crdtstore.server.negotiation import choose
from crdtstore.server.tagged import from_tagged, to_tagged

OFFERED = ("application/json", "application/msgpack")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, OFFERED[0]),
        ("", OFFERED[0]),
        ("*/*", OFFERED[0]),
        ("application/*", OFFERED[0]),
        ("application/msgpack", OFFERED[1]),
        ("APPLICATION/MSGPACK", OFFERED[1]),
        ("application/msgpack, application/json", OFFERED[0]),
        ("application/json;q=0.5, application/msgpack", OFFERED[1]),
        ("application/json;q=0, */*;q=0.1", OFFERED[1]),
        ("application/json; charset=utf-8", OFFERED[0]),
        ("text/html, */*;q=0.8", OFFERED[0]),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=nonsense", None),
        ("*/*;q=0", None),
    ],
)
def test_the_best_type_on_offer_is_chosen(accept: str | None, chosen: str | None) -> None:
    assert choose(accept, OFFERED) == chosen


@given(st.text(max_size=60))
def test_any_accept_header_is_understood_or_not_but_never_an_error(accept: str) -> None:
    assert choose(accept, OFFERED) in (*OFFERED, None)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0))
)
KEYS = st.text(max_size=4) | st.sampled_from(
    ["$bytes", "$datetime", "$$bytes", "$$$datetime", "bytes", "$", "$$", "$set", "add"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(VALUES)
def test_every_value_comes_back_through_either_form(value: Any) -> None:
    for form in (JSON, MSGPACK):
        carried = form.parse(form.encode({"x": form.value_out(value)}))["x"]
        assert repr(form.value_in(carried)) == repr(value)


@given(VALUES)
def test_what_json_carries_has_no_bytes_and_no_datetime(value: Any) -> None:
    def check(tagged: Any) -> None:
        assert not isinstance(tagged, bytes | datetime)
        for inner in tagged.values() if isinstance(tagged, dict) else ():
            check(inner)
        for inner in tagged if isinstance(tagged, list) else ():
            check(inner)

    check(to_tagged(value))


def test_a_sum_beyond_64_bits_is_answered_in_both_forms() -> None:
    assert JSON.parse(JSON.encode(2**64)) == 2**64
    assert MSGPACK.parse(MSGPACK.encode([2**64, -(2**70)])) == [float(2**64), -float(2**70)]


def test_a_tag_is_only_a_tag_alone() -> None:
    assert from_tagged({"$bytes": "aGk="}) == b"hi"
    assert from_tagged({"$bytes": "aGk=", "more": 1}) == {"$bytes": "aGk=", "more": 1}
    assert from_tagged({"$$bytes": "aGk="}) == {"$bytes": "aGk="}
    assert to_tagged({"$bytes": "aGk="}) == {"$$bytes": "aGk="}
