"""A closed directory has its documents packed and its pages full, and holds what it held."""

import random
from pathlib import Path

import lmdb
import pytest

from crdtstore import limits
from crdtstore.storage.compacting import ALL_PACKED
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.lmdb_writing import PLAIN_FROM
from tests.storage.test_document_packing import PARTS, record_of

DOCUMENTS = 3_000


def key(number: int) -> bytes:
    return b"%06d" % number


def records(numbers: range) -> list[tuple[bytes, bytes]]:
    return [(key(number), record_of(number)) for number in numbers]


def leaf_pages(directory: Path, table: bytes = b"documents") -> int:
    with lmdb.open(str(directory), max_dbs=8, lock=False, readonly=True) as environment:
        handle = environment.open_db(table)
        with environment.begin() as transaction:
            return int(transaction.stat(handle)["leaf_pages"])


def first_bytes(directory: Path) -> set[int]:
    """Return the first bytes with which documents rest."""
    with lmdb.open(str(directory), max_dbs=8, lock=False, readonly=True) as environment:
        table = environment.open_db(b"documents")
        with environment.begin(db=table) as transaction:
            return {value[0] for _, value in transaction.cursor()}


def filled(directory: Path) -> LmdbStorage:
    """Write plain documents, in the order of their keys, and what they share."""
    storage = LmdbStorage.open(directory)
    for start in range(0, DOCUMENTS, 500):
        storage.commit(Batch(documents=list(records(range(start, start + 500)))))
    storage.packing.learn(PARTS)
    return storage


def check(directory: Path) -> None:
    storage = LmdbStorage.open(directory)
    found = storage.documents(b"", limit=2 * DOCUMENTS, bytes_max=10**9)
    storage.close()
    assert found == records(range(DOCUMENTS))


def test_documents_that_rest_plain_are_packed_and_fill_their_pages(tmp_path: Path) -> None:
    storage = filled(tmp_path)
    packed_bytes = sum(
        len(storage.packing.packed(record)) for _, record in records(range(DOCUMENTS))
    )
    assert storage.meta(PLAIN_FROM) is None
    storage.close()
    assert first_bytes(tmp_path) == {0x11}
    assert leaf_pages(tmp_path) < (packed_bytes + DOCUMENTS * 16) / 4_080 * 1.1
    check(tmp_path)
    storage = LmdbStorage.open(tmp_path)
    assert storage.meta(PLAIN_FROM) == ALL_PACKED
    storage.commit(Batch(documents=records(range(7, 8))))
    assert storage.meta(PLAIN_FROM) == key(7)
    storage.close()
    assert first_bytes(tmp_path) == {0x11}
    check(tmp_path)


def test_a_large_directory_is_packed_a_part_at_each_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMPACTED_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(limits, "COMPACTED_PAGES_MAX", 100)
    filled(tmp_path).close()
    places = []
    while first_bytes(tmp_path) != {0x11}:
        storage = LmdbStorage.open(tmp_path)
        places.append(storage.meta(PLAIN_FROM))
        storage.close()
    assert len(places) >= 1
    assert places == sorted(set(places))
    check(tmp_path)


def test_pages_with_gaps_are_filled_and_full_ones_left(tmp_path: Path) -> None:
    chance = random.Random(5)
    storage = LmdbStorage.open(tmp_path / "data")
    names = [f"conflict/{number:05d}" for number in range(DOCUMENTS)]
    chance.shuffle(names)
    for start in range(0, DOCUMENTS, 100):
        part = dict.fromkeys(names[start : start + 100], b"x" * 100)
        storage.commit(Batch(meta=dict(part), index=[(name.encode(), True) for name in part]))
    with storage._environment.begin() as transaction:
        before = transaction.stat(storage._tables.meta)["leaf_pages"]
        keys_before = transaction.stat(storage._tables.indexes)["leaf_pages"]
    storage.close()
    assert leaf_pages(tmp_path / "data", b"meta") < before * 0.85
    assert leaf_pages(tmp_path / "data", b"index") == keys_before < limits.COMPACTED_PAGES_MIN
    storage = LmdbStorage.open(tmp_path / "data")
    assert storage.metas("conflict/") == dict.fromkeys(sorted(names), b"x" * 100)
    assert storage.index(b"conflict/", b"", limit=9_999) == sorted(map(str.encode, names))
    number = storage._environment.info()["last_txnid"]
    storage.close()
    storage = LmdbStorage.open(tmp_path / "data")
    assert storage._environment.info()["last_txnid"] == number, "there is nothing left to do"
    storage.close()


def test_a_disk_that_is_short_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHORT_DISK_BYTES", 10**18)
    filled(tmp_path).close()
    assert first_bytes(tmp_path) == {0x01}
    check(tmp_path)


def test_a_map_without_room_is_left_alone(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path, map_bytes_initial=4 << 20, map_bytes_max=4 << 20)
    for start in range(0, DOCUMENTS, 500):
        storage.commit(Batch(documents=list(records(range(start, start + 500)))))
    storage.packing.learn(PARTS)
    storage.close()
    check(tmp_path)
