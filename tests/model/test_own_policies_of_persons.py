"""Policies of one's own in the golden records of persons: all profiles' candidates are shown."""

import pytest

from crdtstore import Candidate, Field, Group, IdentityRules, Schema, Store, add
from crdtstore.errors import PolicyFailed
from crdtstore.schema import Policy, custom
from tests.engine.stores import open_store

WORD = "own policy, version 1, among"


def longest(candidates: tuple[Candidate, ...]) -> Candidate:
    """Keep the longest value, or the map with the most members."""
    return max(candidates, key=lambda one: (len(one.value), one.recency))  # type: ignore[arg-type]


def ann(policy: Policy) -> Store:
    """Return a store with three profiles of Ann; two of them have the same source."""
    store = open_store(
        schema=Schema(
            fields={"name": Field(policy=policy)},
            groups={"address": Group(("city", "street"), policy)},
            identity=IdentityRules(limit=5),
        )
    )
    same = {"identifiers": add("email:ann@example.com")}
    store.write(
        "a1", {**same, "name": "Ann Marie", "city": "Bonn", "street": "Am Hof"}, source="crm"
    )
    store.write("a2", {**same, "name": "A.", "city": "Ulm"}, source="crm")
    store.write("a3", {**same, "name": "Ann M.", "city": "Rom"}, source="cdp")
    return store


def test_a_policy_is_shown_every_source_of_every_profile_newest_first() -> None:
    shown: list[tuple[Candidate, ...]] = []

    def watching(candidates: tuple[Candidate, ...]) -> Candidate:
        shown.append(candidates)
        return longest(candidates)

    with ann(custom("watching", watching)) as store:
        person = store.persons.read("a3")
        assert person.profiles == ("a1", "a2", "a3")
        names = next(each for each in shown if each[0].field == "name")
        assert [(one.profile_id, one.source) for one in names] == [
            ("a3", "cdp"), ("a2", "crm"), ("a1", "crm"),
        ]  # fmt: skip
        assert len({one.recency for one in names}) == 3
        groups = next(each for each in shown if each[0].field == "address")
        assert [one.value for one in groups] == [
            {"city": "Rom"}, {"city": "Ulm"}, {"city": "Bonn", "street": "Am Hof"},
        ]  # fmt: skip


def test_it_chooses_for_the_person_and_for_each_profile_and_explain_tells_it() -> None:
    with ann(custom("longest_one", longest)) as store:
        record = store.persons.read("a2").record
        assert (record["name"], record["city"], record["street"]) == ("Ann Marie", "Bonn", "Am Hof")
        assert store.read("a2")["name"] == "A."
        told = [(c.profile_id, c.survives, c.rule) for c in store.persons.explain("a2", "name")]
        assert told[0] == ("a1", True, f"longest_one: {WORD} 3")
        assert sorted(told[1:]) == [
            ("a2", False, f"longest_one: {WORD} 3"),
            ("a3", False, f"longest_one: {WORD} 3"),
        ]
        first = store.persons.explain("a2", "city")[0]
        rule = f"group address: longest_one: {WORD} 3"
        assert (first.profile_id, first.value, first.rule) == ("a1", "Bonn", rule)


def test_what_stewards_decided_goes_before_it() -> None:
    with ann(custom("longest_one", longest)) as store:
        assert store.persons.ignore("a1", "name", "crm").record["name"] == "Ann M."
        rules = {c.profile_id: c.rule for c in store.persons.explain("a2", "name")}
        assert rules["a1"] == "ignored: a steward left this value out"
        assert rules["a3"] == f"longest_one: {WORD} 2"
        record = store.persons.ignore("a1", "city", "crm").record
        assert (record["city"], record.get("street")) == ("Rom", None), "a1 has one member left"
        assert store.persons.pin("a2", "name", "A").record["name"] == "A"
        told = {c.profile_id: c.rule for c in store.persons.explain("a3", "name") if not c.survives}
        assert told["a3"] == f"longest_one: {WORD} 2; another value is pinned"


def test_one_that_does_not_choose_is_told_with_the_profiles() -> None:
    def lazy(candidates: tuple[Candidate, ...]) -> None:
        return None

    with ann(custom("lazy", lazy)) as store:
        place = "for '(name|address)' of profile 'a1' and 2 more"
        with pytest.raises(PolicyFailed, match=f"policy 'lazy' returned None {place}; it returns"):
            store.persons.read("a3")
        assert store.read("a1")["name"] == "Ann Marie", "one candidate is no question"


def test_one_that_raises_says_for_whom() -> None:
    with ann(custom("strict", lambda candidates: candidates[9])) as store:
        with pytest.raises(IndexError) as caught:
            store.persons.explain("a3", "name")
        assert caught.value.__notes__ == [
            "in policy 'strict', for 'name' of profile 'a1' and 2 more"
        ]
