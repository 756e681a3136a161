"""Stores with a few persons, for the tests of persons."""

from typing import Any

from crdtstore import Field, Group, Schema, add
from crdtstore.schema import frequency, source_priority
from crdtstore.store import Store
from tests.engine.stores import open_store

SCHEMA = Schema(
    fields={
        "name": Field(policy=source_priority("crm", "cdp")),
        "title": Field(policy=frequency()),
        "visits": Field("counter"),
        "tags": Field("set"),
        "news": Field("consent"),
    },
    groups={"address": Group(("city", "street"))},
)
"""Fields of every kind, and a group."""


def family(**options: Any) -> Store:
    """Return a store with two profiles of Ann, one of Bob, and one of nobody known."""
    store = open_store(**options)
    ann = {"identifiers": add("email:ann@example.com", "user_id:1"), "name": "Ann"}
    store.write("a1", ann, source="crm")
    store.write("a2", {"identifiers": add("email:ann@example.com"), "name": "A."}, source="cdp")
    bob = {"identifiers": add("user_id:2", "phone:+4930901820"), "name": "Bob"}
    store.write("b1", bob, source="crm")
    store.write("x", {"name": "X"}, source="crm")
    store.commit()
    return store


def seen(store: Store, *profile_ids: str) -> list[tuple[Any, ...]]:
    """Return all that a reader sees of some persons, but for versions."""
    persons = [store.persons.read(profile_id) for profile_id in profile_ids]
    return [(p.id, p.profiles, list(p.record.items()), p.dropped) for p in persons]
