"""Group commit: nobody is answered before what they wrote is durable."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from crdtstore import Replica, Settings, Write, limits
from crdtstore.errors import StorageFull
from crdtstore.storage.contract import Batch, MapFull
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


@pytest.fixture
def few_may_be_dirty(monkeypatch):
    """Have a checkpoint start at 40 dirty documents, and writers wait beyond 100."""
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 30)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS_MAX", 30)
    monkeypatch.setattr(limits, "DIRTY_DOCUMENTS_BEFORE_WRITES", 100)


def test_writers_are_answered_later_while_far_too_much_is_dirty(few_may_be_dirty):
    storage = MemoryStorage()

    async def run() -> None:
        async with Replica.open(storage, name="eu") as replica:
            dirty = replica._store.documents.dirty
            for start in range(0, 2_000, 400):
                writes = [Write(f"p{start + n}", "crm", {"x": n}) for n in range(400)]
                assert len(await replica.write_many(writes)) == 400
                assert len(dirty) <= 100
                assert replica._commits.waiting_writers == 0


class Gated:
    """A storage that settles only when it is let, and tells what it was asked to do meanwhile."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.fills_up = 0
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def commit(self, batch: Batch) -> None:
        self.calls.append("commit")
        self._storage.commit(batch)

    def settle(self, batch: Batch) -> None:
        self.calls.append("settle begins")
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE_S)
        if self.fills_up:
            self.fills_up -= 1
            raise MapFull("full")
        self._storage.settle(batch)
        self.calls.append("settle ends")

    def grow(self) -> bool:
        self.calls.append("grow")
        return True

    def pinned_copy(self) -> Any:
        self.calls.append("copy")
        return self._storage.pinned_copy()


@contextlib.asynccontextmanager
async def settling(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Replica, Gated]]:
    """Open a replica whose first checkpoint is on its way to rest, and waits at the gate."""
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 1)
    storage = Gated(MemoryStorage())
    async with Replica.open(storage, name="eu") as replica:
        while not storage.has_begun.is_set():
            await replica.write("ann", {"x": len(storage.calls)}, source="crm")
        storage.calls.clear()
        yield replica, storage
        storage.may_end.set()


def test_a_write_is_durable_while_documents_are_on_their_way_to_rest(monkeypatch):
    async def run() -> None:
        async with settling(monkeypatch) as (replica, storage):
            for number in range(3):
                await replica.write("bob", {"x": number}, source="crm")
            assert storage.calls == ["commit"] * 3
            copy = copy_storage(storage._storage)
            assert state(open_store(copy))["bob"] == {"x": 2}
            storage.may_end.set()
            while "settle ends" not in storage.calls:
                await replica.write("bob", {"x": 3}, source="crm")

    asyncio.run(run())


def test_who_is_answered_later_is_told_of_no_failure_that_came_after_it(few_may_be_dirty):
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


def test_documents_that_shall_rest_wait_without_work_for_those_on_their_way(monkeypatch):
    async def run() -> None:
        async with settling(monkeypatch) as (replica, storage):
            await replica.write("bob", {"x": 1}, source="crm")
            exchange, begun = replica._exchange, []
            begin = exchange.begin_commit
            monkeypatch.setattr(
                exchange, "begin_commit", lambda **how: begun.append(how) or begin(**how)
            )
            exchange.store.replication.healing.rest(["bob"])
            for _ in range(5):
                replica._commits.work.set()
                await asyncio.sleep(0.01)
            assert begun == []
            storage.may_end.set()
            while "bob" in exchange.store.documents.dirty:
                await asyncio.sleep(0.01)

    asyncio.run(run())


def test_the_map_grows_between_commits_when_settling_finds_it_full(monkeypatch):
    async def run() -> None:
        async with settling(monkeypatch) as (replica, storage):
            storage.fills_up = 2
            storage.may_end.set()
            while "settle ends" not in storage.calls:
                await replica.write("bob", {"x": 1}, source="crm")
                await asyncio.sleep(0)
            assert storage.calls.count("grow") == 2
            assert await replica.write("bob", {"x": 2}, source="crm")

    asyncio.run(run())


@pytest.mark.parametrize("needs", ["erasure", "copy"])
def test_what_needs_the_storage_waits_for_what_is_on_its_way_to_rest(monkeypatch, tmp_path, needs):
    async def run() -> None:
        async with settling(monkeypatch) as (replica, storage):
            erasing = needs == "erasure"
            waiting = replica.erase("bob") if erasing else replica.backups.write(tmp_path / "copy")
            task = asyncio.ensure_future(waiting)
            await asyncio.sleep(0.05)
            assert not task.done()
            storage.calls.append("let go")
            storage.may_end.set()
            await task
            assert storage.calls[:2] == ["let go", "settle ends"]
            assert ("copy" in storage.calls) == (not erasing)

    asyncio.run(run())


def test_closing_ends_what_is_on_its_way_to_rest(monkeypatch):
    async def run() -> Gated:
        async with settling(monkeypatch) as (replica, storage):
            await replica.write("bob", {"x": 1}, source="crm")
            asyncio.get_running_loop().call_later(0.05, storage.may_end.set)
            await replica.close()
        return storage

    storage = asyncio.run(run())
    assert storage.calls.count("settle ends") >= 1


class Watched(Gated):
    """A storage that settles slowly, and tells when what was erased is overwritten."""

    def settle(self, batch: Batch) -> None:
        self.calls.append("settle begins")
        time.sleep(0.02)
        self._storage.settle(batch)
        self.calls.append("settle ends")

    def scrub(self) -> Any:
        scrub = self._storage.scrub()
        self.calls.append("scrub")
        return SimpleNamespace(step=self._step, close=scrub.close)

    def _step(self) -> bool:
        self.calls.append("step")
        time.sleep(0.02)
        self.calls.append("stepped")
        return self.calls.count("step") % 3 == 0


def test_nothing_settles_while_what_was_erased_is_overwritten(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 1)
    storage = Watched(MemoryStorage())

    async def run() -> None:
        settings = Settings(erasure_grace_ms=0)
        async with Replica.open(storage, name="eu", settings=settings) as replica:
            await replica.write("ann", {"x": 1}, source="crm")
            await replica.persons.erase("ann", source="dpo")
            async with asyncio.timeout(PATIENCE_S):
                while not storage.calls.count("stepped") >= 3:
                    await replica.write("bob", {"x": len(storage.calls)}, source="crm")
                    await asyncio.sleep(0)

    asyncio.run(run())
    assert storage.calls.count("settle ends") > 3
    is_settling = False
    for call in storage.calls:
        if call.startswith("settle"):
            is_settling = call == "settle begins"
        assert not (is_settling and call in ("scrub", "step", "stepped")), storage.calls
