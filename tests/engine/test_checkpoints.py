"""Checkpoints: documents come to rest in slices, in key order, however they change meanwhile."""

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.engine.documents import is_living
from crdtstore.errors import StorageFull
from tests.engine.stores import from_scratch, open_store, reopened, send, state


def fill(store, count, start=0):
    for number in range(start, start + count):
        store.write(f"p{number:04d}", {"n": number}, source="crm")


def persist(store, commit):
    """Make a commit durable, as the worker thread of a replica does."""
    persist_growing(commit, store.storage)
    store.finish_commit(commit)


def test_a_checkpoint_hurries_when_documents_come_in_faster_than_they_rest(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 2)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 30)
    store = open_store()
    rested = []
    for number in range(0, 200, 20):
        fill(store, 20, start=number)
        commit = store.begin_commit()
        persist(store, commit)
        rested.append(len(commit.settlement.rested))
        assert len(store.documents.dirty) < 80
    assert rested[:2] == [0, 2]
    assert max(rested) == 30


def test_a_checkpoint_takes_as_long_whether_commits_are_quick_or_slow(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 2)
    monkeypatch.setattr(limits, "CHECKPOINT_MS", 100)
    store = open_store()
    fill(store, 400)
    store.commit()
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    rested = []
    for elapsed_ms in (0, 1, 5, 1_000):
        store.now_ms.ms += elapsed_ms
        dirty = len(store.documents.dirty)
        commit = store.begin_commit()
        persist(store, commit)
        rested.append((dirty, len(commit.settlement.rested)))
    assert rested == [(400, 40), (360, 3), (357, 17), (340, 34)]


def test_a_checkpoint_comes_in_slices_in_key_order(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 10)
    store = open_store()
    fill(store, 35)
    store.commit()
    assert store.storage.documents(b"", limit=9, bytes_max=10**6) == []
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    for rested in (10, 20, 30, 35):
        store.write("zoe", {"n": rested}, source="crm")
        store.commit()
        found = store.storage.documents(b"", limit=99, bytes_max=10**6)
        keys = [key for key, _ in found if key != b"zoe"]
        assert keys == [f"p{number:04d}".encode() for number in range(rested)]
        assert state(reopened(store)) == state(store)
        assert store.counters["checkpoints"] == (1 if rested == 35 else 0)


def test_what_was_packed_ahead_and_changed_rests_as_it_is_when_the_commit_begins(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 3)
    monkeypatch.setattr(limits, "PACKED_AHEAD_AT_ONCE", 2)
    monkeypatch.setattr(limits, "PACKED_AHEAD_MAX", 4)
    store = open_store()
    fill(store, 9)
    store.commit()
    assert not store.commits.can_prepare, "no checkpoint is under way"
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    commit = store.begin_commit()
    prepared = 0
    while store.commits.can_prepare:
        store.commits.prepare()
        prepared += 1
    assert prepared == 2
    persist(store, commit)
    store.write("p0004", {"n": "newer"}, source="crm")
    store.erase("p0005")
    slices = []
    while store.counters["checkpoints"] == 0:
        commit = store.begin_commit()
        persist(store, commit)
        slices.append([rested.profile_id for rested in commit.settlement.rested])
    assert slices == [["p0003", "p0004", "p0005"], ["p0006", "p0007", "p0008"]]
    assert not store.documents.dirty
    assert store.verify().is_sound
    assert store.digest().digest == from_scratch(store)
    assert state(reopened(store)) == state(store)
    assert reopened(store).read("p0004")["n"] == "newer"


def test_documents_that_must_rest_are_packed_ahead_once(monkeypatch):
    monkeypatch.setattr(limits, "PACKED_AHEAD_AT_ONCE", 3)
    store = open_store()
    fill(store, 8)
    store.commit()
    store.replication.healing.rest([f"p{number:04d}" for number in range(8)])
    for _ in range(3):
        assert store.commits.can_prepare
        store.commits.prepare()
    assert not store.commits.can_prepare
    assert store._drafting.draft.packed_ahead >= 8
    store.commit()
    assert not store.documents.dirty
    assert store.verify().is_sound


def test_ids_are_sorted_a_part_a_commit_unless_all_must_rest(monkeypatch):
    monkeypatch.setattr(limits, "SORTED_IDS", 4)
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 100)
    store = open_store()
    fill(store, 10)
    store.commit()
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    rested = []
    for _ in range(3):
        commit = store.begin_commit()
        persist(store, commit)
        rested.append(len(commit.settlement.rested))
    assert rested == [0, 0, 10]
    fill(store, 20)
    store.commit(checkpoint=True)
    assert not store.documents.dirty


def test_the_number_of_living_profiles_follows_all_that_is_written_and_undone():
    store = open_store()
    fill(store, 6)
    store.commit(checkpoint=True)

    def is_right():
        living = sum(is_living(store.documents.get(f"p{number:04d}")) for number in range(9))
        return store.commits.living() == living

    store.erase("p0001")
    store.write("p0007", {"n": 1}, source="crm")
    store.write("p0002", {"n": "newer"}, source="crm")
    assert is_right()
    commit = store.begin_commit(checkpoint=True)
    store.revive("p0001")
    store.erase("p0002")
    store.erase("p0008")
    assert is_right()
    persist(store, commit)
    assert is_right()
    commit = store.begin_commit()
    store.revive("p0008")
    store.finish_commit(commit, StorageFull("full"))
    assert is_right()
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.commit(checkpoint=True)
    assert is_right()
    assert reopened(store).commits.living() == store.commits.living()


def test_documents_that_change_during_a_checkpoint_stay_dirty(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 2)
    store = open_store()
    fill(store, 4)
    store.commit()
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    persist(store, store.begin_commit())
    assert sorted(store.documents.dirty) == ["p0002", "p0003"]
    commit = store.begin_commit()
    store.write("p0003", {"n": "newer"}, source="crm")
    persist(store, commit)
    assert store.counters["checkpoints"] == 1
    assert list(store.documents.dirty) == ["p0003"]
    store.commit()
    assert store.digest().digest == from_scratch(store)


def test_a_whole_checkpoint_rests_more_than_one_batch_holds(monkeypatch):
    monkeypatch.setattr(limits, "BATCH_DOCUMENTS_MAX", 20)
    store = open_store()
    fill(store, 101)
    store.commit(checkpoint=True)
    assert not store.documents.dirty
    assert store.verify().documents == 101
    assert store.verify().is_sound


def test_a_whole_checkpoint_leaves_nothing_dirty_even_if_one_is_under_way(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 1)
    store = open_store()
    fill(store, 5)
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    store.commit()
    fill(store, 5, start=10)
    store.commit(checkpoint=True)
    assert not store.documents.dirty
    assert store.commits.mark.position == store.ledger.position


def test_a_journal_that_grew_is_checkpointed_though_nothing_is_dirty(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_JOURNAL_BYTES", 100)
    store, other = open_store(), open_store(name="us")
    other.erase("ann")
    other.commit()
    store.erase("ann")
    store.erase("bob")
    store.commit(checkpoint=True)
    position = store.commits.mark.position
    send(other, store)
    assert not store.documents.dirty
    other.write("bob", {"x": "y" * 100}, source="crm")
    other.erase("bob")
    other.commit()
    send(other, store)
    assert not store.documents.dirty
    store.commit()
    assert store.commits.mark.position > position


def test_a_hurried_commit_carries_no_more_than_memory_is_planned_for(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 10)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS_MAX", 60)
    store = open_store()
    rested = []
    fill(store, 300)
    while store.documents.dirty:
        store.commits.prepare()
        commit = store.begin_commit()
        persist(store, commit)
        rested.append(len(commit.settlement.rested))
    assert rested[:5] == [60, 60, 60, 60, 10]
