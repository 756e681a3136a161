"""Copies of a storage: of one moment, while commits go on, and ended when the map must move."""

import random
import threading
from pathlib import Path

import pytest

from crdtstore.errors import StorageFailed
from crdtstore.storage.contract import Batch, CopyInterrupted, Storage
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.memory_storage import MemoryStorage

RECORDS = 300


@pytest.fixture(params=["memory", "lmdb"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    made = MemoryStorage() if request.param == "memory" else LmdbStorage.open(tmp_path / "data")
    for number in range(RECORDS):
        key, value = b"%05d" % number, random.Random(number).randbytes(20_000)
        made.commit(Batch(journal=[(number + 1, b"")], documents=[(key, value)], meta={"m": key}))
    return made


def opened(storage: Storage, data: bytes, path: Path) -> Storage:
    """Return the storage that the bytes of a copy are."""
    if isinstance(storage, MemoryStorage):
        return MemoryStorage.of_copy(data)
    LmdbStorage.open(path).close()
    (path / "data.mdb").write_bytes(data)
    return LmdbStorage.open(path)


def documents(storage: Storage) -> list[tuple[bytes, bytes]]:
    return storage.documents(b"", limit=10**6, bytes_max=10**12)


def test_a_copy_is_of_the_moment_at_which_it_was_pinned(storage: Storage, tmp_path: Path) -> None:
    before = documents(storage)
    copy = storage.pinned_copy()
    chunks = copy.chunks()
    data = [next(chunks)]
    for number in range(200):
        storage.commit(
            Batch(
                journal=[(RECORDS + 1 + number, b"later")],
                documents=[(b"%05d" % number, b"overwritten"), (b"%05d" % (number + 1), None)],
                meta={"m": b"later"},
            )
        )
    data += chunks
    copy.close()
    found = opened(storage, b"".join(data), tmp_path / "copy")
    assert documents(found) == before
    assert found.journal_bounds() == (1, RECORDS)
    assert found.meta("m") == b"%05d" % (RECORDS - 1)
    assert documents(storage) != before
    found.close()
    storage.close()


def test_a_copy_may_be_taken_in_another_thread(storage: Storage, tmp_path: Path) -> None:
    before, data = documents(storage), []
    copy = storage.pinned_copy()
    thread = threading.Thread(target=lambda: data.extend(copy.chunks()))
    thread.start()
    while thread.is_alive():
        storage.commit(Batch(meta={"m": random.randbytes(5_000)}))
    found = opened(storage, b"".join(data), tmp_path / "copy")
    assert documents(found) == before


def test_a_copy_that_was_closed_is_not_taken(storage: Storage) -> None:
    copy = storage.pinned_copy()
    copy.close()
    copy.close()
    with pytest.raises(CopyInterrupted):
        list(copy.chunks())


def test_a_closed_storage_pins_nothing(storage: Storage) -> None:
    pinned = storage.pinned_copy()
    storage.close()
    with pytest.raises(StorageFailed):
        storage.pinned_copy()
    if isinstance(storage, LmdbStorage):
        with pytest.raises(CopyInterrupted):
            list(pinned.chunks())


def lmdb_storage(path: Path) -> LmdbStorage:
    made = LmdbStorage.open(path, map_bytes_initial=16 * 2**20, map_bytes_max=32 * 2**20)
    made.commit(Batch(documents=[(b"%d" % n, bytes(90_000)) for n in range(100)]))
    return made


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_map_that_must_grow_ends_the_copy(tmp_path: Path, is_begun: bool) -> None:
    storage = lmdb_storage(tmp_path / "data")
    copy = storage.pinned_copy()
    chunks = copy.chunks()
    if is_begun:
        next(chunks)
    assert storage.grow()
    assert copy.has_ended
    with pytest.raises(CopyInterrupted):
        list(chunks)
    storage.commit(Batch(documents=[(b"later", bytes(90_000))]))
    assert len(b"".join(storage.pinned_copy().chunks())) > 9_000_000
    storage.close()


def test_a_map_at_its_maximum_gets_its_pages_back(tmp_path: Path) -> None:
    """The pages that a copy held are worth another try of the same batch, once."""
    storage = lmdb_storage(tmp_path / "data")
    assert storage.grow()
    assert not storage.grow()
    storage.pinned_copy()
    assert storage.grow()
    assert not storage.grow()
    storage.close()


def test_closing_ends_a_copy_that_nobody_reads_on(tmp_path: Path) -> None:
    storage = lmdb_storage(tmp_path / "data")
    chunks = storage.pinned_copy().chunks()
    next(chunks)
    storage.close()
    with pytest.raises(CopyInterrupted):
        list(chunks)
    LmdbStorage.open(tmp_path / "data").close()


def test_freed_pages_stay_behind(tmp_path: Path) -> None:
    storage = lmdb_storage(tmp_path / "data")
    storage.commit(Batch(documents=[(b"person", b"SECRET" * 5_000)]))
    assert b"SECRET" in b"".join(storage.pinned_copy().chunks())
    storage.commit(Batch(documents=[(b"person", None)]))
    storage.commit(Batch(documents=[(b"%d" % n, None) for n in range(90)]))
    assert b"SECRET" in (tmp_path / "data" / "data.mdb").read_bytes(), "or this shows nothing"
    data = b"".join(storage.pinned_copy().chunks())
    assert b"SECRET" not in data
    assert len(data) < 2_000_000
    storage.close()
