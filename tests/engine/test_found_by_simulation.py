"""Faults of the store that the simulator found: the shortest history that shows each."""

from crdtstore import Settings, Store
from crdtstore.engine.ledger import frame_header
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import Frame, decode_body
from tests.engine.stores import open_store, send


def dependencies_of_last_frame(store):
    _, record = store.ledger.records_after(store.ledger.position - 1, 1)[0]
    header = frame_header(record)
    return decode_body(Frame(header.origin, header.sequence, 0, b"", b"", record))[0]


def test_after_a_restart_the_first_frame_names_what_was_there_before_it():
    """Or a third replica would show the effect without its cause."""
    us = open_store(MemoryStorage(), name="us")
    us.write("ann", {"email": "ann@example.com"}, source="crm")
    us.commit()
    storage = MemoryStorage()
    send(us, open_store(storage, name="eu"))
    eu = open_store(storage.reopen(), name="eu")
    eu.write("ann", {"email": None, "seen": True}, source="crm")
    eu.commit()
    assert dependencies_of_last_frame(eu) == {us.replication.identity.origin: 1}


def test_what_the_worker_thread_has_made_durable_is_not_served_before_the_store_is_told():
    """Or a peer would tell of frames that this replica does not know of: a rollback, it seems."""
    storage = MemoryStorage()
    store = open_store(storage, name="eu")
    store.write("ann", {"x": 1}, source="crm")
    store.commit()
    store = open_store(storage.reopen(), name="eu")
    store.write("bob", {"x": 1}, source="crm")
    commit = store.begin_commit()
    commit.persist(store.storage)
    assert [position for position, _ in store.ledger.records_after(0, 1 << 20)] == [1]
    assert [change.id for change in store.changes()] == ["ann"]
    store.finish_commit(commit)
    assert [change.id for change in store.changes()] == ["ann", "bob"]


def test_a_document_that_rests_already_is_not_brought_to_rest_again():
    """Or it is dropped from the cache under way, and what is written to its successor is lost."""
    storage = MemoryStorage()
    store = Store.open(
        storage, name="eu", settings=Settings(cache_bytes=10_000),
        now_ms=lambda: 1_700_000_000_000, random_bits=lambda bits: 7,
    )  # fmt: skip
    store.write("ann", {"x": 1}, source="crm")
    store.commit(checkpoint=True)
    store.replication.healing.rest(["ann"])
    store._drafting.draft.resting.append("ann")
    commit = store.begin_commit()
    for number in range(20):
        store.write(f"p{number}", {"about": "x" * 1_000}, source="crm")
    store.write("ann", {"x": 2}, source="crm")
    commit.persist(storage)
    store.finish_commit(commit)
    assert "ann" in store.documents.dirty
    store.commit(checkpoint=True)
    for number in range(20):
        store.write(f"p{number}", {"about": "y" * 1_000}, source="crm")
    assert store.read("ann")["x"] == 2
