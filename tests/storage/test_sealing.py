"""Sealing: a record is what was written at its place, or damaged."""

import pytest

from crdtstore.errors import StorageCorrupt
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.storage.sealing import meta_place, sealed, unsealed, waypoint_place


@pytest.mark.parametrize("value", [b"", b"x", bytes(100)])
def test_a_record_comes_back_from_its_place_only(value):
    place = meta_place("identity")
    record = sealed(place, value)
    assert unsealed(place, record) == value
    for other in (meta_place("names"), waypoint_place(1), b""):
        with pytest.raises(StorageCorrupt, match="does not match its checksum"):
            unsealed(other, record)


def test_every_flipped_bit_and_every_truncation_is_found():
    place = waypoint_place(7)
    record = sealed(place, b"some value")
    changed = [record[:size] for size in range(len(record))]
    for position in range(len(record)):
        for bit in range(8):
            damaged = bytearray(record)
            damaged[position] ^= 1 << bit
            changed.append(bytes(damaged))
    for damaged in changed:
        with pytest.raises(StorageCorrupt):
            unsealed(place, damaged)


def test_a_storage_in_memory_finds_damaged_records():
    storage = MemoryStorage()
    storage.commit(Batch(meta={"a": b"1", "b": b"2"}, waypoints=[(3, b"w")]))
    tables = storage._tables
    tables.meta["a"] = tables.meta["b"]
    tables.waypoints[3] = tables.waypoints[3][:-1]
    assert storage.meta("b") == b"2"
    for read in (lambda: storage.meta("a"), lambda: storage.metas(""), storage.waypoints):
        with pytest.raises(StorageCorrupt):
            read()


def test_a_storage_on_disk_finds_damaged_records(tmp_path):
    with_damage = LmdbStorage.open(tmp_path / "data")
    with_damage.commit(Batch(meta={"a": b"1", "b": b"2"}, waypoints=[(3, b"w")]))
    with with_damage._environment.begin(write=True) as transaction:
        transaction.put(
            b"a", transaction.get(b"b", db=with_damage._tables.meta), db=with_damage._tables.meta
        )
        transaction.put((3).to_bytes(8, "big"), b"w", db=with_damage._tables.waypoints)
    assert with_damage.meta("b") == b"2"
    for read in (
        lambda: with_damage.meta("a"), lambda: with_damage.metas(""), with_damage.waypoints,
    ):  # fmt: skip
        with pytest.raises(StorageCorrupt):
            read()
    with_damage.close()
