"""Persons of a store: found, read, explained, merged, parted, and restored exactly."""

import pytest

from crdtstore import (
    IdentityRules,
    Schema,
    add,
    grant,
    increment,
    remove,
    revoke,
)  # fmt: skip
from crdtstore.engine.identifiers import INDEX_NOTE
from crdtstore.errors import (
    InvalidInput,
    InvalidValue,
    LimitExceeded,
    MergeRefused,
    PersonNotFound,
    ProfileErased,
    ProfileNotFound,
    ReplicaClosed,
    StorageFull,
    UnknownSource,
)
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from tests.engine.families import SCHEMA, family, seen
from tests.engine.stores import open_store, reopened, send

# --- finding and reading -------------------------------------------------------------------------


def test_a_person_is_found_by_an_identifier_or_any_profile() -> None:
    with family() as store:
        (person,) = store.persons.find("email", " ANN@example.com")
        assert (person.id, person.profiles) == ("a1", ("a1", "a2"))
        assert person.record.id == "a1"
        assert person == store.persons.read("a2") == store.persons.read("a1")
        assert dict(person.record)["name"] == "A."
        assert person.version == person.record.version
        assert store.persons.read("x").profiles == ("x",)
        before = person.version
        store.write("a2", {"name": "Anna"}, source="cdp")
        assert store.persons.read("a1").version != before


def test_who_is_not_there_is_not_found() -> None:
    with family() as store:
        with pytest.raises(PersonNotFound, match="no profile here holds it"):
            store.persons.find("email", "nobody@example.com")
        with pytest.raises(PersonNotFound, match="it is blocked"):
            store.persons.find("email", "noreply@example.com")
        with pytest.raises(InvalidValue):
            store.persons.find("email", "nobody")
        with pytest.raises(ProfileNotFound):
            store.persons.read("nobody")
        store.erase("a1")
        with pytest.raises(ProfileErased):
            store.persons.read("a1")
        assert store.persons.read("a2").profiles == ("a2",)
        assert [person.id for person in store.persons.find("email", "ann@example.com")] == ["a2"]
    with pytest.raises(ReplicaClosed):
        _ = store.persons


def test_several_persons_may_hold_what_a_rule_keeps_apart() -> None:
    with family() as store:
        store.write("b1", {"identifiers": add("email:ann@example.com")}, source="crm")
        found = store.persons.find("email", "ann@example.com")
        assert [person.id for person in found] == ["a1", "b1"]
        assert "values of user_id" in found[1].dropped[0].reason
        assert len(store.persons.find("email", "ann@example.com", limit=1)) == 1


def test_an_identifier_that_too_many_hold_points_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crdtstore.limits.IDENTIFIER_PROFILES_MAX", 2)
    with family() as store:
        assert store.persons.read("a1").profiles == ("a1", "a2")
        store.write("x", {"identifiers": add("email:ann@example.com")}, source="crm")
        person = store.persons.read("a1")
        assert person.profiles == ("a1",)
        assert person.dropped[0].reason == "held by more than 2 profiles"
        with pytest.raises(PersonNotFound, match="more than 2 profiles"):
            store.persons.find("email", "ann@example.com")
        store.write("x", {"identifiers": remove("email:ann@example.com")}, source="crm")
        assert store.persons.read("a1").profiles == ("a1", "a2")


def test_what_hangs_together_too_widely_is_left_apart_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 4)
    with open_store() as store:
        for number in range(5):
            links = add(f"a_id:{number}", f"a_id:{number + 1}")
            store.write(f"p{number}", {"identifiers": links}, source="crm")
        for number in range(5):
            person = store.persons.read(f"p{number}")
            assert person.profiles == (f"p{number}",)
            assert person.dropped[0].reason == "more than 4 profiles hang together"
        assert store.persons.find("a_id", "3")[0].profiles == ("p2",)
        with pytest.raises(LimitExceeded, match="hangs together"):
            store.persons.merge("p0", "p1")


def test_matches_that_made_too_much_hang_together_can_be_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two regions may each make a match, and both together pass the bound."""
    with open_store() as store:
        for number in range(6):
            store.write(f"p{number}", {"name": "Ann"}, source="crm")
        for number in range(5):
            store.persons.merge(f"p{number}", f"p{number + 1}")
        monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 4)
        assert store.persons.read("p0").profiles == ("p0",)
        with pytest.raises(LimitExceeded, match="hangs together"):
            store.persons.merge("p0", "p5")
        assert store.persons.unmerge("p1", "p2").profiles == ("p0", "p1")
        assert store.persons.read("p5").profiles == ("p2", "p3", "p4", "p5")
        monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 3)
        assert store.persons.unmerge("p3").profiles == ("p3",)
        assert store.persons.read("p5").profiles == ("p4", "p5")
        monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 1)
        assert store.persons.not_match("p4", "p5").profiles == ("p4",)
        monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 4)
        assert store.persons.read("p5").profiles == ("p5",)


def test_who_leaves_too_large_a_tangle_is_alone_also_when_it_comes_apart_by_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_store() as store:
        for number in range(5):
            links = add(*(["email:ann@example.com"] if number < 2 else []))
            store.write(f"p{number}", {"name": "Ann", "identifiers": links}, source="crm")
        for number in (0, 2, 3):
            store.persons.merge(f"p{number}", f"p{max(number, 1) + 1}")
        monkeypatch.setattr("crdtstore.limits.COMPONENT_PROFILES_MAX", 4)
        assert store.persons.read("p0").profiles == ("p0",)
        assert store.persons.unmerge("p0").profiles == ("p0",)
        assert store.persons.read("p1").profiles == ("p1",)
        assert store.persons.read("p4").profiles == ("p2", "p3", "p4")


def test_a_store_without_room_for_its_index_says_so() -> None:
    storage = family().storage
    assert isinstance(storage, MemoryStorage)
    storage.commit(Batch(meta={INDEX_NOTE: b"other"}))
    storage = storage.reopen()
    storage.fail_next_commit(StorageFull("the disk is full"))
    store = open_store(storage)
    with pytest.raises(StorageFull, match="no room to build the index"):
        store.persons.read("a1")


# --- the golden record ---------------------------------------------------------------------------


def test_the_candidates_of_all_profiles_compete() -> None:
    with family(schema=SCHEMA) as store:
        address = {"city": "Berlin", "street": "A 1"}
        store.write("a1", {"visits": increment(2), "tags": add("vip"), **address}, source="crm")
        store.write("a1", {"title": "Dr", "news": grant()}, source="crm")
        store.write("a2", {"visits": increment(3), "tags": add("vip", "new")}, source="crm")
        store.write("a2", {"title": "Prof", "news": revoke(), "city": "Bonn"}, source="crm")
        store.write("a2", {"title": "Dr"}, source="cdp")
        person = store.persons.read("a1")
        assert dict(person.record) == {
            "city": "Bonn", "identifiers": ["email:ann@example.com", "user_id:1"], "name": "Ann",
            "news": False, "tags": ["new", "vip"], "title": "Dr", "visits": 5,
        }  # fmt: skip
        names = store.persons.explain("a2", "name")
        assert [(c.profile_id, c.source, c.survives) for c in names] == [
            ("a1", "crm", True), ("a2", "cdp", False),
        ]  # fmt: skip
        cities = store.persons.explain("a2", "city")
        assert [(c.profile_id, c.value, c.survives) for c in cities] == [
            ("a2", "Bonn", True), ("a1", "Berlin", False),
        ]  # fmt: skip
        assert cities[0].rule.startswith("group address: ")
        titles = {c.rule for c in store.persons.explain("a1", "title") if c.survives}
        assert titles == {"frequency: asserted by 2 of 3 sources; newest of 2 such"}
        assert sum(c.value for c in store.persons.explain("a1", "visits")) == 5  # type: ignore[misc]


def test_fields_of_stewards_are_explained_and_not_shown() -> None:
    with family() as store:
        store.persons.merge("a1", "b1")
        for record in (store.read("a1"), store.persons.read("a1").record):
            assert set(record) == {"identifiers", "name"}
        edges = store.persons.explain("a1", "identity.match")
        assert [(c.profile_id, c.value, c.source) for c in edges] == [
            ("b1", "a1", "steward"), ("a1", "b1", "steward"),
        ]  # fmt: skip


# --- merging and parting -------------------------------------------------------------------------


def test_a_merge_is_taken_back_exactly() -> None:
    with family() as store:
        before = seen(store, "a1", "a2", "b1", "x")
        explained = store.persons.explain("a1"), store.persons.explain("b1")
        assert store.persons.merge("a2", "b1").profiles == ("a1", "a2", "b1")
        assert store.persons.merge("b1", "x", source="crm").profiles == ("a1", "a2", "b1", "x")
        assert store.persons.unmerge("x", "a1").profiles == ("x",)
        assert store.persons.read("a1").profiles == ("a1", "a2", "b1")
        assert store.persons.unmerge("a1", "b1").profiles == ("a1", "a2")
        assert seen(store, "a1", "a2", "b1", "x") == before
        both = store.persons.explain("a1"), store.persons.explain("b1")
        for one, other in zip(both, explained, strict=True):
            assert [c for c in one if not c.field.startswith("identity.")] == other
        again = reopened(store)
        assert seen(again, "a1", "a2", "b1", "x") == before


def test_what_an_identifier_links_is_parted_for_good_until_it_is_merged_again() -> None:
    with family() as store:
        assert store.persons.unmerge("a1", "a2").profiles == ("a1",)
        store.write("a2", {"identifiers": add("user_id:1")}, source="cdp")
        assert store.persons.read("a2").profiles == ("a2",)
        assert store.persons.unmerge("a1", "a2").profiles == ("a1",)
        assert store.persons.merge("a2", "a1").profiles == ("a1", "a2")


def test_one_leaves_and_the_others_stay_together() -> None:
    with family() as store:
        store.write("a3", {"identifiers": add("email:ann@example.com")}, source="erp")
        store.persons.merge("a1", "b1")
        assert store.persons.unmerge("a1").profiles == ("a1",)
        assert store.persons.read("a2").profiles == ("a2", "a3")
        assert store.persons.read("b1").profiles == ("b1",)
        assert store.persons.unmerge("a1").profiles == ("a1",)
        store.persons.merge("a3", "a1")
        assert store.persons.read("a1").profiles == ("a1", "a2", "a3")


def test_not_match_is_told_before_they_meet() -> None:
    with family() as store:
        store.persons.not_match("x", "b1")
        store.write("x", {"identifiers": add("phone:+4930901820")}, source="crm")
        assert store.persons.read("x").profiles == ("x",)
        assert store.persons.read("x").dropped[0].reason == "not_match"
        assert store.persons.merge("b1", "x").profiles == ("b1", "x")


def test_a_merge_against_the_rules_is_refused_and_changes_nothing() -> None:
    rules = IdentityRules(profiles_max=2)
    with family(schema=Schema(identity=rules)) as store:
        digest = store.digest()
        with pytest.raises(MergeRefused, match="at most 2 profiles"):
            store.persons.merge("a1", "b1")
        with pytest.raises(InvalidInput, match="name two"):
            store.persons.merge("a1", "a1")
        with pytest.raises(ProfileNotFound):
            store.persons.merge("a1", "nobody")
        assert store.digest() == digest
    with family(schema=Schema(sources=("crm", "cdp"))) as store, pytest.raises(UnknownSource):
        store.persons.merge("a1", "b1")


def test_a_merge_that_would_part_others_is_refused() -> None:
    """A match that comes first, by the ids, would take the room of one that is there already."""
    with open_store(schema=Schema(identity=IdentityRules(profiles_max=3))) as store:
        for name in ("a", "b", "c", "d"):
            store.write(name, {"name": name}, source="crm")
        store.persons.merge("c", "d")
        store.persons.merge("b", "c")
        with pytest.raises(MergeRefused, match="a person has at most 3 profiles"):
            store.persons.merge("a", "b")
        assert store.persons.read("d").profiles == ("b", "c", "d")


def test_who_leaves_is_not_joined_by_those_for_whom_there_was_no_room() -> None:
    with open_store(schema=Schema(identity=IdentityRules(profiles_max=2))) as store:
        for name in ("a", "b", "c", "d"):
            store.write(name, {"identifiers": add("email:ann@example.com")}, source="crm")
        assert store.persons.read("a").profiles == ("a", "b")
        assert store.persons.unmerge("a").profiles == ("a",)
        assert store.persons.read("b").profiles == ("b", "c")


def test_edges_of_an_erased_profile_lead_nowhere() -> None:
    with family() as store:
        store.persons.merge("a1", "b1")
        store.erase("b1")
        assert store.persons.read("a1").profiles == ("a1", "a2")
        store.revive("b1")
        store.write("b1", {"name": "Bob"}, source="crm")
        assert store.persons.read("a1").profiles == ("a1", "a2")


# --- ids -----------------------------------------------------------------------------------------


def test_two_regions_that_meet_a_person_at_once_make_one_profile() -> None:
    with open_store(name="eu") as eu, open_store(name="us") as us:
        for store, texts in (
            (eu, ("email: Ann@example.com", "user_id:7")),
            (us, ("user_id:7", "phone:+4930901820")),
        ):
            profile_id = store.persons.profile_id_for(*texts)
            store.write(profile_id, {"identifiers": add(*texts)}, source="crm")
            store.commit()
        send(us, eu)
        send(eu, us)
        assert eu.profile_count == us.profile_count == 1
        assert eu.digest().digest == us.digest().digest
