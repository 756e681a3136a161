"""Group commit: nobody is answered before what they wrote is durable."""

import asyncio

import pytest

from crdtstore import Replica, Settings, limits
from crdtstore.errors import StorageFull
from crdtstore.testing.simulation import copy_storage
from tests.engine.stores import open_store, state


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
