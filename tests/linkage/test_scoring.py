"""Scores: those who are one person score high, the fields are told, and chance plays no part."""

from functools import cache
from typing import Any

import pytest

from crdtstore import limits
from crdtstore.errors import LimitExceeded
from crdtstore.linkage import LinkageRules, Suggestion, scored_pairs
from tests.linkage.people import PERSONS, RULES, is_right, people


@cache
def scored() -> list[Suggestion]:
    """Return the pairs of people, scored once for several tests."""
    return scored_pairs(people(), RULES)


def test_most_persons_are_found_and_hardly_any_wrongly() -> None:
    pairs = scored()
    right = [pair for pair in pairs if is_right(pair.profile_id, pair.other_id)]
    assert len(right) > 0.85 * PERSONS
    assert len(pairs) - len(right) <= 2
    assert [pair.score for pair in pairs] == sorted((p.score for p in pairs), reverse=True)
    assert all(RULES.score_min <= pair.score <= 1 for pair in pairs)
    assert all(pair.profile_id < pair.other_id for pair in pairs)


def test_each_field_agrees_is_alike_or_differs() -> None:
    for pair in scored():
        one, other = people()[pair.profile_id], people()[pair.other_id]
        told = (*pair.agrees, *pair.alike, *pair.differs)
        assert sorted(told) == sorted(
            name for name in RULES.compare if name in one and name in other
        )
        assert all(one[name] == other[name] for name in pair.agrees)
        assert all(one[name] != other[name] for name in (*pair.alike, *pair.differs))


def test_the_same_records_in_another_order_score_the_same() -> None:
    turned = dict(reversed(people().items()))
    assert scored_pairs(turned, RULES) == scored()


def test_case_and_spaces_and_the_type_of_a_number_do_not_matter() -> None:
    plain = scored()
    written: dict[str, dict[str, Any]] = {
        each: {
            name: int(value) if name == "street_number" and str(int(value)) == value
            else f" {value.upper()}  "
            for name, value in record.items()
            if name != "street_number" or value.isdecimal()
        }
        for each, record in people().items()
        if record.get("street_number", "1").isdecimal()
    }  # fmt: skip
    assert set(written) == set(people())
    assert scored_pairs(written, RULES) == plain


def test_a_block_that_gives_too_many_pairs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINKAGE_PAIRS_MAX", 10)
    with pytest.raises(LimitExceeded, match="the block date_of_birth"):
        scored_pairs(people(), RULES)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 12])
def test_few_profiles_or_equal_ones_are_no_error(number: int) -> None:
    same = {str(each): {"name": "ann", "born": "19800101"} for each in range(number)}
    rules = LinkageRules({"name": "name", "born": "code"}, (("born",), ("name",)), (("born",),))
    assert all(pair.agrees == ("name", "born") for pair in scored_pairs(same, rules))
    assert scored_pairs({each: {"town": "bonn"} for each in same}, rules) == []
    assert scored_pairs({each: {"name": "ann"} for each in same}, rules) == []
