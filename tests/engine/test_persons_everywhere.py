"""Persons are the same from the index and from scratch, and on every replica."""

import random
from typing import Any

import pytest

from crdtstore import (
    IdentityRules,
    Schema,
    TypeRules,
    add,
    remove,
)  # fmt: skip
from crdtstore.engine.persons import Person
from crdtstore.errors import (
    InvalidInput,
    Refused,
)
from crdtstore.model.identity import identity_of
from crdtstore.model.persons import persons_of
from crdtstore.store import Store
from tests.engine.stores import open_store, send

IDS = [f"p{number}" for number in range(9)]
RULES = IdentityRules(limit=2, profiles_max=4, types={"user_id": TypeRules(1)})
TEXTS = ["user_id:1", "user_id:2", "email:a@b.c", "email:d@e.f", "email:g@h.i", "phone:+4930901820"]


def decide(store: Store, draw: random.Random) -> None:
    """Write, erase or decide anything."""
    one, other, text = draw.choice(IDS), draw.choice(IDS), draw.choice(TEXTS)
    persons = store.persons
    actions = [
        lambda: store.write(one, {"identifiers": add(text), "n": draw.random()}, source="crm"),
        lambda: store.write(one, {"identifiers": add(text)}, source="cdp"),
        lambda: store.write(one, {"identifiers": remove(text)}, source="crm"),
        lambda: persons.merge(one, other),
        lambda: persons.unmerge(one, other),
        lambda: persons.unmerge(one),
        lambda: persons.not_match(one, other),
        lambda: persons.pin(one, "n", draw.random()),
        lambda: store.erase(one),
        lambda: store.revive(one),
        lambda: store.commit(checkpoint=True),
    ]
    draw.choice(actions)()


def from_scratch(store: Store) -> dict[str, tuple[Any, ...]]:
    """Return the persons of all documents, with no index: by each profile's id."""
    living = [(pid, store.documents.get(pid)) for pid in IDS]
    identities = [
        identity_of(profile_id, document.cells)
        for profile_id, document in living
        if not (document.is_absent or document.is_erased)
    ]
    groups = persons_of(identities, RULES)
    return {member: group for group in groups for member in group.profiles}


def as_read(person: Person) -> tuple[Any, ...]:
    return person.id, person.profiles, person.dropped


@pytest.mark.parametrize("seed", range(20))
def test_persons_are_the_same_from_scratch_and_on_every_replica(seed: int) -> None:
    draw = random.Random(seed)
    schema = Schema(identity=RULES)
    stores = [open_store(name=name, schema=schema) for name in ("eu", "us", "ap")]
    for _ in range(60):
        store = draw.choice(stores)
        try:
            decide(store, draw)
        except (Refused, InvalidInput):
            continue
        if draw.random() < 0.15:
            store.commit()
            send(store, draw.choice([each for each in stores if each is not store]))
        for member, group in from_scratch(store).items():
            assert as_read(store.persons.read(member)) == tuple(group), member
    for _ in range(2):
        for one in stores:
            one.commit()
            for other in stores:
                if one is not other:
                    send(one, other)
    persons = [
        {member: store.persons.read(member) for member in from_scratch(store)} for store in stores
    ]
    assert persons[0] == persons[1] == persons[2]
