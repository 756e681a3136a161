"""Group commit: nobody is answered before what they wrote is durable."""

import asyncio
import threading
from typing import Any

import pytest

from crdtstore import Replica, Settings, Write, limits
from crdtstore.errors import StorageFull
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing.simulation import copy_storage
from tests.engine.stores import open_store, state
from tests.patience import PATIENCE_S


def test_a_commit_that_only_makes_room_answers_nobody(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    monkeypatch.setattr(limits, "FULL_RETRY_MS", 0)
    store = open_store()
    for number in range(9):
        store.write("ann", {"x": number}, source="crm")
        store.commit(checkpoint=number == 8)
    storage = copy_storage(store.storage)

    async def run() -> None:
        settings = Settings(journal_bytes_max=600)
        async with Replica.open(storage, name="eu", settings=settings) as replica:
            storage.fail_next_commit(StorageFull("full"))
            with pytest.raises(StorageFull):
                await replica.write("ann", {"x": "lost"}, source="crm")
            first, _ = storage.journal_bounds()
            await replica.write("ann", {"x": "kept"}, source="crm")
            durable = open_store(copy_storage(storage))
            assert state(durable) == {"ann": {"x": "kept"}}
            assert storage.journal_bounds()[0] > first, "it was trimmed to make room"

    asyncio.run(run())


class SlowStorage:
    """A storage whose next commit waits, in its thread, until it is let go, and finds no room."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def commit(self, batch: Batch) -> None:
        if not self.has_begun.is_set():
            self.has_begun.set()
            assert self.may_end.wait(PATIENCE_S)
            raise StorageFull("no room for others")
        self._storage.commit(batch)


@pytest.mark.parametrize("refuses_all", [False, True])
def test_an_erasure_outlives_the_failure_of_a_commit_that_was_under_way(refuses_all):
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    store.commit()
    memory = copy_storage(store.storage)
    storage = SlowStorage(memory)

    async def run() -> None:
        storage.has_begun.set()
        async with Replica.open(storage, name="eu") as replica:
            storage.has_begun.clear()
            writing = asyncio.create_task(replica.write("bob", {"x": 1}, source="crm"))
            await asyncio.to_thread(storage.has_begun.wait, PATIENCE_S)
            erasing = asyncio.create_task(replica.erase("ann"))
            await asyncio.sleep(0)
            if refuses_all:
                memory.disk_bytes_max = 0
            storage.may_end.set()
            with pytest.raises(StorageFull):
                await writing
            if refuses_all:
                with pytest.raises(StorageFull):
                    await erasing
                memory.disk_bytes_max = 10**9
            else:
                await erasing
            kept = {"ann": {"x": 1}} if refuses_all else {}
            assert state(open_store(copy_storage(memory))) == kept

    asyncio.run(run())


def test_writers_are_answered_later_while_far_too_much_is_dirty(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 30)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS_MAX", 30)
    monkeypatch.setattr(limits, "DIRTY_DOCUMENTS_BEFORE_WRITES", 100)
    storage = MemoryStorage()

    async def run() -> None:
        async with Replica.open(storage, name="eu") as replica:
            dirty = replica._store.documents.dirty
            for start in range(0, 2_000, 400):
                writes = [Write(f"p{start + n}", "crm", {"x": n}) for n in range(400)]
                assert len(await replica.write_many(writes)) == 400
                assert len(dirty) <= 100
                assert replica._commits.waiting_writers == 0

    asyncio.run(run())


def test_who_is_answered_later_is_told_of_no_failure_that_came_after_it(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 30)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS_MAX", 30)
    monkeypatch.setattr(limits, "DIRTY_DOCUMENTS_BEFORE_WRITES", 100)
    storage = MemoryStorage()

    async def run() -> None:
        async with Replica.open(storage, name="eu") as replica:
            many = [Write(f"p{number}", "crm", {"x": number}) for number in range(400)]
            writing = asyncio.create_task(replica.write_many(many))
            while not replica._commits._late:
                await asyncio.sleep(0)
            storage.fail_next_commit(StorageFull("full"))
            assert len(await writing) == 400
            durable = open_store(copy_storage(storage))
            assert len(state(durable)) == 400

    asyncio.run(run())
