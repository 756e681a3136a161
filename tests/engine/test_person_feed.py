"""Persons in the change feed: who keeps them as rows by the feed alone has those that there are."""

import random

import pytest

from crdtstore import IdentityRules, Schema, TypeRules, add, limits, remove
from crdtstore.engine.feed import Change
from crdtstore.errors import CrdtstoreError, ProfileErased, ProfileNotFound
from crdtstore.store import Store
from tests.engine.families import family
from tests.engine.stores import open_store, reopened, send

SCHEMA = Schema(identity=IdentityRules(limit=2, types={"user_id": TypeRules(limit=1)}))


class Rows:
    """Persons as a warehouse keeps them: a row for each, and the row of every profile."""

    def __init__(self) -> None:
        self.cursor = ""
        self.rows: dict[str, tuple[tuple[str, ...], str]] = {}
        self.row_of: dict[str, str] = {}
        self.is_complete = True

    def follow(self, store: Store) -> None:
        while changes := store.changes(since=self.cursor, limit=3, persons=True):
            for change in changes:
                self.take(store, change)
            self.cursor = changes[-1].cursor

    def take(self, store: Store, change: Change) -> None:
        self.is_complete &= change.persons_complete
        asked: set[str] = set()
        if not any(change.id in person.profiles for person in change.persons):
            asked = self.forget(change.id)
        for person in change.persons:
            asked |= self.put(person.id, person.profiles, person.version)
        while asked:  # rows of which a profile went elsewhere
            profile_id = asked.pop()
            try:
                found = store.persons.read(profile_id)
            except (ProfileErased, ProfileNotFound):
                asked |= self.forget(profile_id)
            else:
                asked |= self.put(found.id, found.profiles, found.version)

    def put(self, person_id: str, profiles: tuple[str, ...], version: str) -> set[str]:
        left = set(self.rows.get(person_id, ((), ""))[0])
        for profile_id in profiles:
            if self.row_of.get(profile_id, person_id) != person_id:
                left |= self.forget(profile_id)
            self.row_of[profile_id] = person_id
        self.rows[person_id] = (profiles, version)
        left -= set(profiles)
        for profile_id in left:
            self.row_of.pop(profile_id, None)
        return left

    def forget(self, profile_id: str) -> set[str]:
        row = self.row_of.pop(profile_id, None)
        if row is None:
            return set()
        rest = set(self.rows.pop(row, ((), ""))[0]) - {profile_id}
        for other in rest:
            self.row_of.pop(other, None)
        return rest


def expected(store: Store) -> dict[str, tuple[tuple[str, ...], str]]:
    persons = [store.persons.read(profile.id) for profile in store.profiles(limit=1_000)]
    return {person.id: (person.profiles, person.version) for person in persons}


def test_a_merge_and_an_unmerge_name_all_whom_they_touch() -> None:
    store = family()
    since = store.changes()[-1].cursor
    store.persons.merge("a1", "x")
    store.commit()
    changes = store.changes(since=since, persons=True)
    assert {change.id for change in changes} == {"a1", "x"}
    for change in changes:
        assert [person.profiles for person in change.persons] == [("a1", "a2", "x")]
        assert change.persons[0].version == store.persons.read("a2").version
    since = changes[-1].cursor
    store.persons.unmerge("x", "a1")
    store.commit()
    changes = store.changes(since=since, persons=True)
    assert [person.profiles for person in changes[0].persons] == [("a1", "a2"), ("x",)]


def test_an_identifier_that_leaves_names_who_stays_behind() -> None:
    store = family()
    since = store.changes()[-1].cursor
    store.write("a2", {"identifiers": remove("email:ann@example.com")}, source="cdp")
    store.commit()
    (change,) = store.changes(since=since, persons=True)
    assert [person.profiles for person in change.persons] == [("a1",), ("a2",)]


def test_a_plain_field_names_its_person_alone() -> None:
    store = family()
    since = store.changes()[-1].cursor
    store.write("a2", {"title": "Dr"}, source="cdp")
    store.commit()
    (change,) = store.changes(since=since, persons=True)
    assert [person.profiles for person in change.persons] == [("a1", "a2")]
    assert store.changes(since=since)[0].persons == ()


def test_a_page_ends_when_enough_profiles_were_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    store = family()
    monkeypatch.setattr(limits, "FEED_PERSON_PROFILES", 1)
    assert len(store.changes(persons=True)) == 1
    rows = Rows()
    rows.follow(store)
    assert rows.rows == expected(store)


def test_what_cannot_be_told_whole_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store = family()
    monkeypatch.setattr(limits, "IDENTIFIER_PROFILES_MAX", 1)
    assert not store.changes(persons=True)[0].persons_complete
    monkeypatch.undo()
    monkeypatch.setattr(limits, "COMPONENT_PROFILES_MAX", 1)
    assert not store.changes(persons=True)[0].persons_complete


@pytest.mark.parametrize("seed", range(12))
def test_rows_kept_by_the_feed_are_the_persons_there_are(seed: int) -> None:
    chance = random.Random(seed)
    stores = [open_store(name=name, schema=SCHEMA) for name in ("eu", "us")]
    kept = [Rows(), Rows()]
    names = [f"p{number}" for number in range(7)]
    texts = ["email:a@x.org", "email:b@x.org", "email:c@x.org", "user_id:1", "user_id:2"]
    for _ in range(60):
        number = chance.randrange(2)
        store = stores[number]
        one, other = chance.sample(names, 2)
        store.now_ms.ms += 1  # type: ignore[attr-defined]
        try:
            match chance.randrange(12):
                case 0 | 1 | 2 | 3:
                    store.write(one, {"identifiers": add(chance.choice(texts))}, source="crm")
                case 4:
                    store.write(one, {"identifiers": remove(chance.choice(texts))}, source="crm")
                case 5:
                    store.persons.merge(one, other)
                case 6:
                    store.persons.unmerge(one, other)
                case 7:
                    store.persons.not_match(one, other)
                case 8:
                    store.write(one, {"name": str(chance.random())}, source="crm")
                case 9:
                    store.erase(one)
                case 10:
                    store.revive(one)
                case 11:
                    store.commit()
                    send(store, stores[1 - number])
        except CrdtstoreError:
            continue
        store.commit()
        if chance.random() < 0.4:
            kept[number].follow(store)
            assert kept[number].rows == expected(store)
    for store, rows in zip(stores, kept, strict=True):
        rows.follow(reopened(store, schema=SCHEMA))
        assert rows.rows == expected(store)
        assert rows.is_complete
