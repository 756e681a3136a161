"""What only the storage in memory has: injected failures, a disk of any size, reopening."""

import pytest

from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.storage.contract import Batch, MapFull
from crdtstore.storage.memory_storage import MemoryStorage


def test_injected_failure_keeps_nothing_and_is_final() -> None:
    storage = MemoryStorage()
    storage.commit(Batch(journal=[(1, b"kept")]))
    storage.fail_next_commit(StorageFailed("the disk is gone"))
    with pytest.raises(StorageFailed, match="gone"):
        storage.commit(Batch(journal=[(2, b"lost")]))
    with pytest.raises(StorageFailed, match="earlier"):
        storage.commit(Batch(journal=[(2, b"lost")]))
    assert storage.journal_bounds() == (1, 1)
    reopened = storage.reopen()
    reopened.commit(Batch(journal=[(2, b"kept")]))
    assert reopened.journal_bounds() == (1, 2)
    with pytest.raises(StorageFailed, match="closed"):
        storage.journal_bounds()


@pytest.mark.parametrize("error", [StorageFull("no room"), MapFull("no map")])
def test_injected_fullness_can_be_tried_again(error: StorageFull) -> None:
    storage = MemoryStorage()
    storage.fail_next_commit(error)
    with pytest.raises(StorageFull):
        storage.commit(Batch(meta={"a": b"1"}))
    assert storage.meta("a") is None
    storage.commit(Batch(meta={"a": b"1"}))
    assert storage.meta("a") == b"1"


def test_full_disk_keeps_room_for_an_erasure() -> None:
    storage = MemoryStorage(disk_bytes_max=10_000, ballast_bytes=1_000)
    storage.commit(Batch(documents=[(b"a", bytes(8_500))]))
    erasure = Batch(journal=[(1, bytes(600))])
    with pytest.raises(StorageFull) as caught:
        storage.commit(erasure)
    assert not isinstance(caught.value, MapFull)
    assert storage.size().disk_free_bytes == 499
    assert storage.release_ballast()
    storage.commit(erasure)
    assert not storage.restore_ballast()
    storage.disk_bytes_max = 20_000
    assert storage.restore_ballast()
    storage.commit(Batch(documents=[(b"b", bytes(8_500))]))
