"""Settlements apart: documents come to rest beside commits, as they were when they were taken."""

import pytest

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from tests.engine.stores import from_scratch, open_store, reopened, state


def begun(store, *, count=4):
    """Return a settlement under way of a store whose documents a checkpoint brings to rest."""
    for number in range(count):
        store.write(f"p{number}", {"n": number}, source="crm")
    store.commit()
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    return committed(store).settlement


def committed(store):
    """Return a commit that was made durable; what it has to settle is under way."""
    commit = store.begin_commit(apart=True)
    persist_growing(commit, store.storage)
    store.finish_commit(commit)
    return commit


def settle(store, settlement):
    settlement.settle_growing(store.storage)
    store.finish_commit(settlement)


def at_rest(store):
    return [key.decode() for key, _ in store.storage.documents(b"", limit=99, bytes_max=10**6)]


def test_documents_rest_when_the_settlement_has_ended_and_are_durable_before():
    store = open_store()
    settlement = begun(store)
    assert at_rest(store) == []
    assert len(store.documents.dirty) == 4
    assert state(reopened(store)) == state(store)
    settle(store, settlement)
    assert at_rest(store) == ["p0", "p1", "p2", "p3"]
    assert not store.documents.dirty
    assert store.counters["checkpoints"] == 1
    assert store.verify().is_sound
    assert state(reopened(store)) == state(store)


def test_what_is_written_meanwhile_is_durable_first_and_rests_later():
    store = open_store()
    settlement = begun(store)
    store.write("p1", {"n": "newer"}, source="crm")
    store.write("zoe", {"n": 1}, source="crm")
    commit = committed(store)
    assert commit.settlement is None, "one at a time"
    assert reopened(store).read("p1")["n"] == "newer"
    settle(store, settlement)
    assert set(store.documents.dirty) == {"p1", "zoe"}
    again = reopened(store)
    assert (state(again), again.digest()) == (state(store), store.digest())
    assert store.verify().is_sound
    assert store.digest().digest == from_scratch(store)


def test_nothing_of_a_write_that_is_not_durable_comes_to_rest():
    store = open_store()
    settlement = begun(store)
    store.write("p1", {"n": "lost"}, source="crm")
    settle(store, settlement)
    assert reopened(store).read("p1")["n"] == 1
    store.finish_commit(store.begin_commit(apart=True), StorageFull("full"))
    assert store.read("p1")["n"] == 1
    assert store.verify().is_sound
    assert store.digest() == reopened(store).digest()


@pytest.mark.parametrize("settles_first", [False, True])
def test_a_commit_that_fails_beside_a_settlement_takes_nothing_of_it_back(settles_first):
    store = open_store()
    settlement = begun(store)
    before = state(store)
    store.write("p1", {"n": "lost"}, source="crm")
    commit = store.begin_commit(apart=True)
    if settles_first:
        settle(store, settlement)
    store.finish_commit(commit, StorageFull("full"))
    if not settles_first:
        settle(store, settlement)
    assert state(store) == before == state(reopened(store))
    assert store.verify().is_sound
    store.commit(checkpoint=True)
    assert not store.documents.dirty
    assert store.digest().digest == from_scratch(store)


def test_what_could_not_rest_stays_dirty_and_rests_later():
    store = open_store()
    settlement = begun(store)
    store.replication.healing.rest(["p2"])
    store.finish_commit(settlement, StorageFull("full"))
    assert store.commits.settling is None
    assert len(store.documents.dirty) == 4
    assert state(store) == state(reopened(store))
    store.now_ms.ms += limits.FULL_RETRY_MS
    settle(store, committed(store).settlement)
    assert not store.documents.dirty
    assert store.counters["checkpoints"] == 1, "it is still owed"
    assert store.verify().is_sound


def test_a_failure_while_settling_ends_all_writing():
    store = open_store()
    settlement = begun(store)
    store.finish_commit(settlement, StorageFailed("the disk is ill"))
    with pytest.raises(StorageFailed, match="the disk is ill"):
        store.write("ann", {"x": 1}, source="crm")


def test_documents_that_somebody_waits_for_are_not_forgotten():
    store = open_store()
    settlement = begun(store, count=3)
    store.write("zoe", {"n": 1}, source="crm")
    committed(store)
    store.replication.healing.rest(["zoe"])
    assert store.begin_commit(apart=True) is None, "they wait for the settlement under way"
    store.write("yves", {"n": 1}, source="crm")
    committed(store)
    settle(store, settlement)
    assert "zoe" not in at_rest(store)
    again = committed(store).settlement
    assert again.wanted == ["zoe"]
    store.finish_commit(again, StorageFull("full"))
    store.now_ms.ms += limits.FULL_RETRY_MS
    settle(store, committed(store).settlement)
    assert "zoe" in at_rest(store)


def test_documents_of_a_peer_rest_with_their_commit():
    source = open_store(name="us")
    source.write("peer", {"x": 1}, source="crm")
    source.commit(checkpoint=True)
    store = open_store()
    settlement = begun(store)
    resting, begin = source.replication.snapshot_begin()
    assert isinstance(begin, SnapshotBegin)
    store.replication.snapshot_begun(resting, begin)
    for chunk in source.replication.snapshot_chunks(""):
        assert isinstance(chunk, SnapshotChunk)
        store.replication.snapshot_chunk(chunk, store.now_ms())
    assert store.commits.waits_for_settlement
    settle(store, settlement)
    assert not store.commits.waits_for_settlement
    commit = committed(store)
    assert not commit.is_apart
    assert "peer" in at_rest(store)
    assert reopened(store).read("peer")["x"] == 1


def test_the_journal_is_trimmed_with_a_settlement(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    storage = MemoryStorage()
    store = open_store(storage)
    for number in range(9):
        store.write("ann", {"x": number}, source="crm")
        store.commit(checkpoint=number == 8)
    store = open_store(storage.reopen(), settings=Settings(journal_bytes_max=300))
    first, _ = store.storage.journal_bounds()
    store.write("ann", {"x": "last"}, source="crm")
    commit = store.begin_commit(apart=True)
    assert not commit.batch.trim_before
    persist_growing(commit, store.storage)
    store.finish_commit(commit)
    assert store.storage.journal_bounds()[0] == first
    settle(store, commit.settlement)
    assert store.storage.journal_bounds()[0] > first
    assert store.ledger.first_position == store.storage.journal_bounds()[0]
    assert state(reopened(store)) == state(store)


def test_what_was_erased_is_overwritten_only_when_nothing_is_settling(monkeypatch):
    store = open_store(settings=Settings(erasure_grace_ms=0))
    store.write("ann", {"x": 1}, source="crm")
    store.commit(checkpoint=True)
    scrub = store.storage.scrub
    begun_scrubs = []

    def failing():
        raise StorageFull("not now")

    def counted():
        begun_scrubs.append(store.commits.settling)
        return scrub()

    monkeypatch.setattr(store.storage, "scrub", failing)
    store.persons.erase("ann")
    store.commit()
    monkeypatch.setattr(store.storage, "scrub", counted)
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 1)
    store.write("bob", {"x": 1}, source="crm")
    settlement = committed(store).settlement
    assert settlement.rested
    store.now_ms.ms += limits.SCRUB_RETRY_MS
    store.write("bob", {"x": 2}, source="crm")
    committed(store)
    assert begun_scrubs == []
    settle(store, settlement)
    store.commit()
    assert begun_scrubs == [None]
