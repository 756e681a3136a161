"""A full disk: erasures go on where nothing else does, and leave their room to the next ones."""

from crdtstore import limits
from crdtstore.errors import StorageFull
from crdtstore.storage.memory_storage import MemoryStorage
from tests.engine.stores import open_store, reopened, state

DISK_BYTES = 400_000
BALLAST_BYTES = 20_000


def fill(store, prefix="p"):
    """Write until the disk is full; return the ids of what was acknowledged."""
    kept = []
    for number in range(1_000):
        try:
            store.write(f"{prefix}{number:03d}", {"text": "x" * 2_000}, source="crm")
            store.commit()
        except StorageFull:
            return kept
        kept.append(f"{prefix}{number:03d}")
    raise AssertionError("the disk did not fill up")


def small_store():
    return open_store(MemoryStorage(disk_bytes_max=DISK_BYTES, ballast_bytes=BALLAST_BYTES))


def checkpoint_as_far_as_there_is_room(store):
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    try:
        store.commit(checkpoint=True)
    except StorageFull:
        return
    raise AssertionError("the documents found room on a full disk")


def test_a_checkpoint_takes_no_room_from_the_erasures_that_follow():
    store = small_store()
    kept = fill(store)
    for profile_id in kept[:40]:
        store.erase(profile_id)
        store.commit()
        checkpoint_as_far_as_there_is_room(store)
    assert set(state(reopened(store))) == set(kept[40:])


def test_a_store_that_was_just_opened_erases_on_a_full_disk():
    """It has met no refusal yet that would tell it that the disk is full."""
    store = small_store()
    kept = fill(store)
    for profile_id in kept[:20]:
        store = reopened(store)
        store.erase(profile_id)
        store.commit()
    assert set(state(reopened(store))) == set(kept[20:])


def test_an_erasure_leaves_a_checkpoint_that_is_due_alone_on_a_full_disk():
    store = small_store()
    kept = fill(store)
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    store.erase(kept[0])
    store.commit()
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    store.erase(kept[1])
    store.commit()
    assert set(state(reopened(store))) == set(kept[2:])


def test_writes_of_others_are_refused_while_erasures_go_on():
    store = small_store()
    kept = fill(store)
    for profile_id in kept[:5]:
        store.erase(profile_id)
        store.commit()
        assert fill(store, "late") == []
        store.now_ms.ms += limits.FULL_RETRY_MS
        assert fill(store, "late") == []


def test_the_ballast_is_whole_again_when_there_is_room():
    store = small_store()
    storage = store.storage
    kept = fill(store)
    store.erase(kept[0])
    store.commit()
    storage.disk_bytes_max += DISK_BYTES
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.write("late", {"text": "room again"}, source="crm")
    store.commit()
    free_bytes = storage.size().disk_free_bytes
    assert storage.release_ballast()
    assert storage.size().disk_free_bytes - free_bytes == BALLAST_BYTES


def test_a_map_at_its_maximum_erases_too():
    store = open_store(MemoryStorage(map_bytes_initial=100_000, map_bytes_max=400_000))
    kept = fill(store)
    store = reopened(store)
    for profile_id in kept[:20]:
        store.erase(profile_id)
        store.commit()
    assert set(state(reopened(store))) == set(kept[20:])


def test_documents_are_not_tried_again_before_writes_are(monkeypatch):
    """A commit that must fail would undo the erasure that is written while it is under way."""
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 10)
    store = small_store()
    fill(store)
    store.now_ms.ms += limits.FULL_RETRY_MS
    refused = store.begin_commit()
    assert refused.batch.documents
    store.finish_commit(refused, StorageFull("no room for documents"))
    store.now_ms.ms += limits.FULL_RETRY_MS - 1
    assert store.begin_commit() is None
    store.now_ms.ms += limits.CHECKPOINT_INTERVAL_MS
    assert store.begin_commit().batch.documents
