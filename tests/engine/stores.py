"""Stores for the engine's tests: a virtual clock, seeded randomness, memory or a real directory."""

import random
from typing import Any

from crdtstore.errors import StorageError
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation import copy_storage

WALL_MS = 1_700_000_000_000


class Clock:
    """Unix milliseconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.ms = WALL_MS

    def __call__(self) -> int:
        return self.ms


def open_store(where: Any = None, name: str = "eu", **options: Any) -> Store:
    """Open a store on a new MemoryStorage, or on what is given."""
    options.setdefault("now_ms", Clock())
    options.setdefault("random_bits", random.Random(options.pop("seed", name)).getrandbits)
    return Store.open(MemoryStorage() if where is None else where, name=name, **options)


def reopened(store: Store, **options: Any) -> Store:
    """Open a copy of a store's MemoryStorage, as it would be after a crash at this moment."""
    assert isinstance(store.storage, MemoryStorage)
    options.setdefault("name", store.replication.identity.name)
    options.setdefault("now_ms", store.now_ms)
    options.setdefault("random_bits", store.random_bits)
    return Store.open(copy_storage(store.storage), **options)


def journal(store: Store) -> list[bytes]:
    """Return all records of a store's journal."""
    return [record for _, record in store.storage.journal(0, limit=10**6, bytes_max=10**12)]


def frames(store: Store) -> list[bytes]:
    """Return all frames of a store's journal."""
    return [record for record in journal(store) if record[:2] == b"CF"]


def send(source: Store, target: Store) -> int:
    """Give a store all frames that another has; return how many it applied, made durable."""
    now_ms = target.now_ms()
    applied = target.replication.receive_frames(frames(source), now_ms)
    target.commit()
    return applied


def from_scratch(store: Store) -> str:
    """Return the digest of a store that got everything of another one by frames."""
    fresh = open_store(name="fresh", now_ms=store.now_ms)
    send(store, fresh)
    return fresh.digest().digest


def fail(store: Store, error: StorageError) -> None:
    """Let the next commit of a store's MemoryStorage fail."""
    assert isinstance(store.storage, MemoryStorage)
    store.storage.fail_next_commit(error)


def state(store: Store) -> dict[str, Any]:
    """Return all living profiles, by id."""
    return {profile.id: dict(profile) for profile in store.profiles(limit=1_000)}


def acquaint(*stores: Store) -> None:
    """Tell stores what the others have made durable, as their links would."""
    for store in stores:
        for other in stores:
            if other is not store:
                identity = other.replication.identity
                vector = dict(other.replication.vector)
                now_ms = store.now_ms()
                store.retention.known.heard(identity.name, identity.origin, vector, now_ms)


def exchange(*stores: Store) -> None:
    """Have stores send each other all they have, until nothing is left to say."""
    is_news = True
    while is_news:
        acquaint(*stores)
        before = [store.digest() for store in stores]
        for source in stores:
            for target in stores:
                if source is not target:
                    target.replication.receive_frames(frames(source), target.now_ms())
                    target.erasures.settle()
                    target.commit()
        acquaint(*stores)
        for store in stores:
            store.commit()
        is_news = before != [store.digest() for store in stores]
