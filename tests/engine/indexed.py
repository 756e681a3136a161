"""Stores with indexes for the engine's tests: schemas, filters, what may happen, and checks."""

import random
from datetime import UTC, datetime
from typing import Any

from crdtstore import Field, Group, Schema, add, grant, increment, remove, revoke
from crdtstore.model.document import from_record
from crdtstore.query.reading import INDEX_TAG, IndexedReader
from crdtstore.schema import maximum, source_priority
from crdtstore.store import Store
from tests.engine.stores import open_store
from tests.query.oracle import wanted

FIELDS = {
    "age": Field(indexed=True, policy=source_priority("crm")),
    "name": Field(indexed=True, policy=maximum()),
    "tags": Field("set", indexed=True),
    "visits": Field("counter", indexed=True),
    "news": Field("consent", indexed=True),
    "city": Field(indexed=True),
    "other": Field(),
}
GROUPS = {"address": Group(("city", "street"))}
SCHEMA = Schema(fields=FIELDS, groups=GROUPS)
PLAIN = Schema(
    fields={name: Field(field.kind, field.policy) for name, field in FIELDS.items()}, groups=GROUPS
)
IDS = [f"p{number:02}" for number in range(14)]
ALL = 10**6
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
VALUES = [
    1, 1.0, 2, 2.5, -7, 2**53, 2.0**53, True, False, "a", "ab", "abc", "b", "", "ab\x00c",
    "x" * 240, "x" * 240 + "y", None, b"ab", NOON, "2026-11-20T12:00:00Z", ["a", 2, NOON],
    [40, "ab"], {"a": 1},
]  # fmt: skip
FILTERS = [
    "", "age eq 1", "age ge 2", "age gt 1 and age lt 3", "age eq true", "age pr", "not (age pr)",
    "age ne 1", 'name sw "ab"', 'name eq "ab"', 'name gt "a" and name le "b"',
    f'name eq "{"x" * 240}"', f'name gt "{"x" * 240}"', f'name sw "{"x" * 238}"',
    'age gt "2026-11-20T11:00:00+00:00"', 'age eq "2026-11-20T12:00:00Z"',
    'tags eq "vip"', 'tags gt "a" and tags lt "m"', 'tags eq "vip" and age eq 1',
    "visits gt 1", "visits ge 1 and visits le 2 and news eq false", "news eq true",
    'city eq "Lyon" and street pr', 'city eq "Lyon" or tags eq "new"', 'name co "b"', 'name ew "c"',
    'other eq "a"', 'other eq "a" and age ge 1', 'not (tags eq "vip") and age pr',
    'name eq "ab" or other eq "b"', "age gt 1 or age lt 0", "age pr and age gt 1", "age eq null",
    "age pr and age pr", 'age sw "2026"', "age le 9007199254740992",
]  # fmt: skip
ORDERS = ["", "age", "-age", "name", "-visits", "tags", "-other", "street", "-news", "-city"]


def keys_at_rest(store: Store) -> set[bytes]:
    """Return the index keys that the documents at rest ask for."""
    declared = [name for name, field in store.schema.fields.items() if field.indexed]
    reader = IndexedReader(store.schema, declared)
    records = store.storage.documents(b"", limit=ALL, bytes_max=10**12)
    documents = [(key.decode(), from_record(key.decode(), record)) for key, record in records]
    return {
        each for name, found in documents for each in reader.keys(name, found.epoch, found.cells)
    }


def check_keys(store: Store) -> None:
    """Check the indexes at rest to the key."""
    assert set(store.storage.index(INDEX_TAG, b"", limit=ALL)) == keys_at_rest(store)


def answered(store: Store, where: str, order: str, limit: int) -> list[str]:
    """Return the ids of all pages of a query."""
    after: str | None = ""
    ids: list[str] = []
    while after is not None:
        page = store.queries.page(where, order=order, after=after, limit=limit)
        ids += [profile.id for profile in page.profiles]
        after = page.next
    return ids


def check_queries(store: Store, draw: random.Random, number: int = 4) -> None:
    """Check some queries against the plain way."""
    for _ in range(number):
        where, order, limit = draw.choice(FILTERS), draw.choice(ORDERS), draw.choice([1, 3, 100])
        asked = (where, order, limit)
        assert answered(store, where, order, limit) == wanted(store, where, order), asked
        assert store.queries.count(where).count == len(wanted(store, where)), asked


def act(store: Store, draw: random.Random) -> None:
    """Do one thing, anything, to a store."""
    profile_id, source = draw.choice(IDS), draw.choice(["crm", "cdp"])
    match draw.randrange(12):
        case 0 | 1 | 2:
            fields = {draw.choice(["age", "name", "other"]): draw.choice(VALUES) for _ in range(2)}
            store.write(profile_id, fields, source=source)
        case 3 | 4:
            edit = draw.choice([add, remove])
            tags = edit(draw.choice(["vip", "new", 3]), draw.choice(["a", "z"]))
            store.write(profile_id, {"tags": tags}, source=source)
        case 5:
            news = draw.choice([grant(), revoke()])
            store.write(profile_id, {"visits": increment(1), "news": news}, source=source)
        case 6:
            city = draw.choice(["Lyon", "Paris", None])
            store.write(
                profile_id, {"city": city, "street": draw.choice(["x", None])}, source=source
            )
        case 7:
            store.erase(profile_id)
        case 8:
            store.revive(profile_id)
        case 9:
            pinned = draw.choice([4, None])
            store.persons.pin(profile_id, "age", pinned)
        case 10:
            store.commit()
        case 11:
            store.commit(checkpoint=True)


def filled(where: Any = None, schema: Schema = SCHEMA, name: str = "eu") -> Store:
    store = open_store(where, schema=schema, name=name)
    for number, profile_id in enumerate(IDS):
        fields = {"age": number % 5, "name": f"N{number}", "tags": add("vip", f"t{number % 3}")}
        store.write(profile_id, fields, source="crm")
        store.write(profile_id, {"age": 90 - number}, source="cdp")
    store.commit(checkpoint=True)
    return store
