"""Stores for the targets: made anew for each input, read in every way that a user can read them."""

import random
from collections.abc import Callable
from typing import Any

from crdtstore.errors import ProfileErased
from crdtstore.schema import Schema
from crdtstore.server.forms import JSON, MSGPACK
from crdtstore.server.profiles import candidate_document, profile_document
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation.disk import copy_storage
from tests.fuzzing.target import Broken
from tests.sync.examples import WALL_MS

SCHEMA = Schema.from_toml(
    """
    [fields.email]
    policy = "source_priority"
    sources = ["crm"]
    [fields.least]
    policy = "minimum"
    [fields.most]
    policy = "maximum"
    [fields.text]
    policy = "longest"
    [fields.title]
    policy = "trust_decay"
    trust.crm = { start = 90, floor = 40, decay_days = 365 }
    [fields.often]
    policy = "frequency"
    [fields.tags]
    kind = "set"
    [fields.logins]
    kind = "counter"
    [fields.spent]
    kind = "trait"
    [fields.mail]
    kind = "consent"
    [groups.address]
    fields = ["city", "street"]
    """
)


def open_store(
    storage: MemoryStorage | None = None,
    now_ms: Callable[[], int] = lambda: WALL_MS + 1_000,
    seed: int = 1,
) -> Store:
    """Open a store of the space ``default``, whose present is a second after the examples'."""
    return Store.open(
        MemoryStorage() if storage is None else storage, name="here", schema=SCHEMA,
        now_ms=now_ms, random_bits=random.Random(seed).getrandbits,
    )  # fmt: skip


def read_everything(store: Store) -> dict[str, Any]:
    """Read all profiles in every form; return them as JSON bytes by id."""
    found = {}
    for profile in store.profiles(limit=1_000):
        candidates = store.explain(profile.id)
        for form in (JSON, MSGPACK):
            document = profile_document(profile, form)
            if form.parse(form.encode(document)) != document:
                raise Broken(f"{profile.id!r} does not come back from {form.media_type}")
            form.encode([candidate_document(candidate, form) for candidate in candidates])
        found[profile.id] = JSON.encode(profile_document(profile, JSON))
    return found


def check_sound(store: Store) -> None:
    """Make a store durable, and check that it is whole, readable, and opens again as it is."""
    store.commit(checkpoint=True)
    if not store.verify().is_sound:
        raise Broken("a store is not sound")
    before, digest = read_everything(store), store.digest()
    for change in store.changes(limit=1_000):
        try:
            store.documents.get(change.id)
        except ProfileErased:
            continue
    assert isinstance(store.storage, MemoryStorage)
    again = open_store(copy_storage(store.storage))
    if again.digest() != digest or read_everything(again) != before:
        raise Broken("a store opens as another one than it was")
