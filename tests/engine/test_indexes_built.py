"""Indexes are built anew where they do not stand: another schema, damage, crashes, full disks."""

from pathlib import Path
from typing import Any

import pytest

from crdtstore import Field, Group, Schema
from crdtstore.engine.indexes import INDEXES_NOTE
from crdtstore.engine.snapshots import read_chunks
from crdtstore.errors import StorageCorrupt, StorageFull
from crdtstore.query.reading import INDEX_TAG
from crdtstore.replica.backups import restore_backup, write_store_backup
from crdtstore.schema import custom, minimum, oldest, source_priority
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MemoryStorage
from tests.engine.indexed import (
    ALL,
    FIELDS,
    GROUPS,
    IDS,
    PLAIN,
    SCHEMA,
    answered,
    check_keys,
    filled,
    keys_at_rest,
)  # fmt: skip
from tests.engine.stores import open_store, reopened
from tests.query.oracle import everything, wanted


def newest_name(candidates: Any) -> Any:
    """Choose the candidate of the source whose name is last."""
    return max(candidates, key=lambda candidate: candidate.source)


def with_age(field: Field) -> Schema:
    return Schema(fields={**FIELDS, "age": field}, groups=GROUPS)


@pytest.mark.parametrize(
    "schema",
    [
        with_age(Field(indexed=True, policy=oldest())),
        with_age(Field(indexed=True, policy=minimum())),
        with_age(Field(indexed=True, policy=custom("last", newest_name))),
        with_age(Field(indexed=True, policy=custom("last", newest_name, version=2))),
        with_age(Field(policy=source_priority("crm"))),
        Schema(
            fields={"age": Field(indexed=True), "street": Field(indexed=True)},
            groups={"address": Group(("city", "street", "age"), oldest())},
        ),
        Schema(),
    ],
)  # fmt: skip
def test_another_schema_has_its_indexes_when_it_is_opened(schema: Schema, tmp_path: Path) -> None:
    filled(LoggedStorage.open(tmp_path / "data")).close()
    for each in (schema, SCHEMA):
        with open_store(LoggedStorage.open(tmp_path / "data"), schema=each) as store:
            check_keys(store)
            assert store.verify().is_sound
            for where in ("age eq 3", "age gt 80", 'name eq "N3"'):
                assert answered(store, where, "", 9) == wanted(store, where)


def test_only_what_changed_is_built(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "crdtstore.index")
    store = filled()
    caplog.clear()
    again = reopened(store, schema=SCHEMA)
    assert "building" not in caplog.text
    other = reopened(again, schema=with_age(Field(indexed=True)))
    assert "building the index of age\n" in caplog.text
    assert "is built: 14 documents read" in caplog.text
    check_keys(other)


def test_a_policy_that_fails_stops_no_commit() -> None:
    def broken(candidates: Any) -> Any:
        return 1 / 0

    schema = with_age(Field(indexed=True, policy=custom("broken", broken)))
    store = filled(schema=schema)
    check_keys(store)
    assert store.queries.count('tags eq "t1"').count == 5
    for ask in (store.read, lambda _: store.queries.page('tags eq "t1"')):
        with pytest.raises(ZeroDivisionError):
            ask(IDS[0])


def test_what_an_older_crdtstore_wrote_is_found_out() -> None:
    """It changes documents and totals, and knows nothing of these indexes and their note."""
    storage = filled().storage
    assert isinstance(storage, MemoryStorage)
    note, keys = storage.meta(INDEXES_NOTE), storage.index(INDEX_TAG, b"", limit=ALL)
    store = open_store(storage.reopen(), schema=SCHEMA)
    store.write("q", {"age": 77}, source="crm")
    store.commit(checkpoint=True)
    now = store.storage.index(INDEX_TAG, b"", limit=ALL)
    changes = [(key, False) for key in now] + [(key, True) for key in keys]
    store.storage.commit(Batch(index=changes, meta={INDEXES_NOTE: note}))
    again = reopened(store, schema=SCHEMA)
    assert answered(again, "age eq 77", "", 9) == ["q"]
    check_keys(again)


def test_a_crash_while_it_is_built_is_found_out() -> None:
    store = filled(schema=PLAIN)
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    half = next(iter(keys_at_rest(reopened(store, schema=SCHEMA))))
    storage.commit(Batch(index=[(half, True), (b"q" + bytes(9) + b"x", True)]))
    again = open_store(storage.reopen(), schema=SCHEMA)
    check_keys(again)


def test_a_full_disk_leaves_the_index_for_another_start() -> None:
    storage = filled(schema=PLAIN).storage
    assert isinstance(storage, MemoryStorage)
    storage = storage.reopen()
    storage.fail_next_commit(StorageFull("the disk is full"))
    store = open_store(storage, schema=SCHEMA)
    page = store.queries.page("age eq 3")
    assert page.plan.way == "scan"
    assert [each.id for each in page.profiles] == wanted(store, "age eq 3")
    store.write("q", {"age": 3}, source="crm")
    store.commit(checkpoint=True)
    again = reopened(store, schema=SCHEMA)
    assert again.queries.page("age eq 3").plan.way == "index"
    check_keys(again)


@pytest.mark.parametrize("is_there", [True, False])
def test_verify_finds_a_key_too_many_or_too_few_and_a_start_mends_it(is_there: bool) -> None:
    store = filled()
    key = next(iter(keys_at_rest(store)))
    key = key[:-3] + b"nobody" if is_there else key
    store.storage.commit(Batch(index=[(key, is_there)]))
    report = store.verify()
    assert report.index_faults == 1
    assert not report.is_sound
    assert store.verify() == report
    for where in ("age ge 0", 'tags eq "vip"', "visits pr"):
        assert answered(store, where, "", 9) == wanted(store, where)
    store.commit()
    again = reopened(store, schema=SCHEMA)
    assert again.verify().is_sound
    check_keys(again)


def test_a_backup_brings_its_indexes_along(tmp_path: Path, caplog: Any) -> None:
    store = filled(LoggedStorage.open(tmp_path / "data"))
    write_store_backup(store, tmp_path / "eu.backup")
    store.close()
    restore_backup(tmp_path / "eu.backup", tmp_path / "restored", alone=True)
    caplog.set_level("INFO", "crdtstore.index")
    with open_store(LoggedStorage.open(tmp_path / "restored"), schema=SCHEMA) as restored:
        check_keys(restored)
        assert answered(restored, "age eq 3", "", 9) == wanted(restored, "age eq 3")
    assert "building" not in caplog.text


def test_a_snapshot_is_indexed_as_it_comes() -> None:
    source, target = filled(), open_store(name="us", schema=SCHEMA)
    chunks = read_chunks(source.storage, "", None, source.replication.healing.latest_timestamp)
    for chunk in chunks:
        target.replication.healing.join(chunk.entries, chunk.timestamp, target.now_ms(), None)
    assert answered(target, 'tags eq "t1"', "", 3) == wanted(source, 'tags eq "t1"')
    target.commit()
    check_keys(target)
    assert answered(target, 'tags eq "t1"', "-age", 3) == wanted(source, 'tags eq "t1"', "-age")


def test_a_damaged_record_that_is_healed_leaves_no_wrong_answer() -> None:
    """Its old keys may stay until the next start: profiles are looked at till then."""
    store, peer = filled(), filled(name="us")
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    record = bytearray(storage._tables.documents[b"p03"])
    record[-1] ^= 1
    storage._tables.documents[b"p03"] = bytes(record)
    damaged = reopened(store, schema=SCHEMA)
    with pytest.raises(StorageCorrupt):
        damaged.queries.page("age ge 0 and name pr", order="street")
    peer.write("p03", {"age": 60, "name": "Zoe"}, source="crm")
    peer.commit(checkpoint=True)
    chunks = read_chunks(peer.storage, "", None, peer.replication.healing.latest_timestamp)
    for chunk in chunks:
        damaged.replication.healing.join(chunk.entries, chunk.timestamp, damaged.now_ms(), None)
    damaged.commit()
    for where in ("age eq 3", "age eq 60", 'name sw "N"'):
        for order in ("", "age", "-name"):
            assert answered(damaged, where, order, 2) == wanted(damaged, where, order)
        assert damaged.queries.count(where).count == len(wanted(damaged, where))
    assert damaged.verify().is_sound
    again = reopened(damaged, schema=SCHEMA)
    check_keys(again)
    assert len(everything(again)) == len(IDS)


def test_a_record_that_is_damaged_under_a_document_in_memory_leaves_no_wrong_answer() -> None:
    """The document is written anew, and what its old record had in the indexes is not known."""
    store = filled()
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    store.write("p03", {"age": 60}, source="crm")
    record = bytearray(storage._tables.documents[b"p03"])
    record[-1] ^= 1
    storage._tables.documents[b"p03"] = bytes(record)
    store.commit(checkpoint=True)
    assert answered(store, "age eq 60", "", 9) == wanted(store, "age eq 60") != []
    for where in ("age eq 3", "age eq 60", "age pr", "age ge 0"):
        assert store.queries.count(where).count == len(wanted(store, where))
    assert store.verify().is_sound
    check_keys(reopened(store, schema=SCHEMA))
