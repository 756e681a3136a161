"""Suggestions: what a steward is asked, and is not asked again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtstore import Store, add
from crdtstore.errors import InvalidInput
from crdtstore.linkage import Suggestion, suggest
from crdtstore.linkage.suggestions import Standing, unanswered
from tests.linkage.people import RULES, is_right, people


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of both sides, where those with an equal number of a card are one person."""
    with Store.open(tmp_path / "store", name="eu") as opened:
        for profile_id, record in people().items():
            identifiers = [f"card:{text}"] if (text := record.get("soc_sec_id")) else []
            opened.write(profile_id, {**record, "identifiers": add(*identifiers)}, source="crm")
        opened.commit()
        yield opened


def ends(pairs: list[Suggestion]) -> list[tuple[str, str]]:
    return [(pair.profile_id, pair.other_id) for pair in pairs]


def test_who_is_one_person_already_is_not_suggested(store: Store) -> None:
    pairs = suggest(store, RULES, limit=100)
    assert 3 <= len(pairs) <= 30
    assert sum(is_right(*pair) for pair in ends(pairs)) >= len(pairs) - 2
    for one, other in ends(pairs):
        assert other not in store.persons.read(one).profiles


def test_accepted_and_declined_pairs_are_not_suggested_again(store: Store) -> None:
    first, second, *rest = ends(suggest(store, RULES, limit=100))
    assert ends(suggest(store, RULES, limit=1)) == [first]
    store.persons.merge(*first)
    store.persons.not_match(*second)
    assert ends(suggest(store, RULES, limit=100)) == rest
    store.persons.unmerge(*first)
    assert ends(suggest(store, RULES, limit=100)) == [first, *rest]


def test_what_was_said_of_a_profile_holds_for_its_person(store: Store) -> None:
    """Another profile of a person that was declined is not suggested in its place."""
    one, other = ends(suggest(store, RULES, limit=1))[0]
    store.write("double", people()[one], source="crm")
    store.persons.merge("double", one)
    store.persons.not_match(one, other)
    asked = ends(suggest(store, RULES, limit=100))
    assert not any({"double", one} & set(pair) and other in pair for pair in asked)


def test_two_persons_are_suggested_once(store: Store) -> None:
    one, other = ends(suggest(store, RULES, limit=1))[0]
    store.write("double", people()[one], source="crm")
    store.persons.merge("double", one)
    asked = ends(suggest(store, RULES, limit=100))
    assert len([pair for pair in asked if other in pair]) == 1


def test_a_profile_that_is_gone_by_now_is_left_out() -> None:
    class Nobody:
        def standing(self, profile_id: str) -> Standing | None:
            return None if profile_id < "b" else Standing(frozenset({profile_id}), frozenset())

    assert unanswered(people(), RULES, Nobody(), 100) == []


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_limit_out_of_bounds_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit is from 1 to 1,000"):
        suggest(store, RULES, limit=limit)
