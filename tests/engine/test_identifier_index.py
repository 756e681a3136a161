"""The index of identifiers names every holder, whatever happened, and exactly what rests."""

import random
from pathlib import Path
from typing import Any

import pytest

from crdtstore import add, remove
from crdtstore.engine.identifiers import (
    INDEX_NOTE,
    INDEX_TAG,
    candidates,
    ensure_index,
    index_key,
    profile_of,
)
from crdtstore.engine.snapshots import read_chunks
from crdtstore.errors import Refused, StorageCorrupt, StorageFull
from crdtstore.model.document import from_record
from crdtstore.model.erasure import Traces
from crdtstore.model.identity import identifiers_in
from crdtstore.replica.backups import restore_backup, write_store_backup
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from tests.engine.stores import fail, open_store, reopened, send

TEXTS = [f"email:{name}@example.com" for name in "abc"]
IDS = [f"p{number}" for number in range(12)]
ALL = 10**6


def keys_at_rest(store: Store) -> set[bytes]:
    """Return the index keys that the documents at rest ask for."""
    records = store.storage.documents(b"", limit=ALL, bytes_max=10**12)
    return {
        index_key(store.commits.traces, text, key.decode())
        for key, record in records
        for text in identifiers_in(from_record(key.decode(), record).cells)
    }


def check(store: Store) -> None:
    """Check the index at rest to the key, and that no holder in memory is missed."""
    assert set(store.storage.index(INDEX_TAG, b"", limit=ALL)) == keys_at_rest(store)
    for text in TEXTS:
        named = list(
            candidates(store.storage, store.documents.fresh, store.commits.traces.of(text))
        )
        assert len(named) == len(set(named))
        for profile_id in IDS:
            if text in identifiers_in(store.documents.get(profile_id).cells):
                assert profile_id in named


def act(store: Store, draw: random.Random) -> None:
    """Do one thing, anything, to a store."""
    profile_id, text = draw.choice(IDS), draw.choice(TEXTS)
    match draw.randrange(10):
        case 0 | 1 | 2 | 3:
            fields: dict[str, Any] = {"identifiers": add(text), "n": draw.random()}
            store.write(profile_id, fields, source="crm")
        case 4 | 5:
            store.write(profile_id, {"identifiers": remove(text)}, source="crm")
        case 6:
            store.erase(profile_id)
        case 7:
            store.revive(profile_id)
        case 8:
            store.commit()
        case 9:
            store.commit(checkpoint=True)


@pytest.mark.parametrize("seed", range(25))
def test_the_index_follows_whatever_happens(seed: int) -> None:
    draw = random.Random(seed)
    eu, us = open_store(name="eu"), open_store(name="us")
    for _ in range(80):
        store = draw.choice([eu, us])
        try:
            act(store, draw)
        except Refused:
            continue
        if draw.random() < 0.1:
            send(eu, us)
        if draw.random() < 0.1:
            eu.write("other", {"n": draw.random()}, source="crm")
            fail(eu, StorageFull("the disk is full"))
            with pytest.raises(StorageFull):
                eu.commit(checkpoint=True)
            eu.now_ms.ms += 2_000  # type: ignore[attr-defined]
        if draw.random() < 0.1:
            eu = reopened(eu)
        check(eu)
        check(us)
    assert eu.verify().is_sound
    eu.commit(checkpoint=True)
    assert len(eu.documents.fresh) == 0
    assert eu.verify().index_keys == len(keys_at_rest(eu))


def filled(where: Any = None) -> Store:
    store = open_store(where)
    for profile_id in IDS:
        store.write(profile_id, {"identifiers": add(*TEXTS)}, source="crm")
    store.commit(checkpoint=True)
    return store


def test_a_page_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdtstore.limits.INDEX_PAGE_KEYS", 5)
    store = filled()
    store.write("p9", {"name": "Ann", "identifiers": add("user_id:1")}, source="crm")
    store.write("new", {"identifiers": add(TEXTS[0])}, source="crm")
    named = list(
        candidates(store.storage, store.documents.fresh, store.commits.traces.of(TEXTS[0]))
    )
    assert sorted(named) == sorted([*IDS, "new"])


def test_an_erased_profile_leaves_no_key() -> None:
    store = filled()
    for profile_id in IDS:
        store.erase(profile_id)
    store.commit(checkpoint=True)
    assert store.storage.index(b"", b"", limit=ALL) == []


def without_index(storage: Any) -> Any:
    """Take the index away, as in a directory of an older crdtstore."""
    keys = storage.index(b"", b"", limit=ALL)
    storage.commit(Batch(index=[(key, False) for key in keys], meta={INDEX_NOTE: None}))
    return storage


def test_an_old_directory_gets_its_index_when_it_is_opened(tmp_path: Path) -> None:
    filled(LoggedStorage.open(tmp_path / "data")).close()
    storage = without_index(LoggedStorage.open(tmp_path / "data"))
    store = open_store(storage)
    assert len(storage.index(INDEX_TAG, b"", limit=ALL)) == len(IDS) * len(TEXTS)
    check(store)
    assert store.verify().is_sound
    store.close()
    storage = LoggedStorage.open(tmp_path / "data")
    number = storage._sequence
    assert ensure_index(storage, Traces("default"))
    assert storage._sequence == number, "an index that stands is left alone"
    storage.close()


def test_what_an_older_crdtstore_wrote_is_found_out() -> None:
    """It changes documents and totals, and knows nothing of the index and its note."""
    storage = filled().storage
    assert isinstance(storage, MemoryStorage)
    note, keys = storage.meta(INDEX_NOTE), storage.index(b"", b"", limit=ALL)
    store = open_store(storage.reopen())
    store.erase("p0")
    store.write("q", {"identifiers": add("user_id:1")}, source="crm")
    store.commit(checkpoint=True)
    now = store.storage.index(b"", b"", limit=ALL)
    store.storage.commit(
        Batch(
            index=[(key, False) for key in now] + [(key, True) for key in keys],
            meta={INDEX_NOTE: note},
        )
    )
    again = reopened(store)
    assert {profile_of(key) for key in again.storage.index(b"", b"", limit=ALL)} == {*IDS[1:], "q"}
    check(again)


@pytest.mark.parametrize("is_there", [True, False])
def test_verify_finds_a_key_too_many_or_too_few_and_a_start_mends_it(is_there: bool) -> None:
    store = filled()
    key = index_key(store.commits.traces, TEXTS[0], "nobody" if is_there else "p3")
    store.storage.commit(Batch(index=[(key, is_there)]))
    report = store.verify()
    assert report.index_faults == 1
    assert not report.is_sound
    assert not report.damaged
    store.commit()
    again = reopened(store)
    assert again.verify().is_sound
    check(again)


def test_a_damaged_note_has_the_index_built_anew() -> None:
    store = filled()
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    record = storage._tables.meta[INDEX_NOTE]
    storage._tables.meta[INDEX_NOTE] = bytes((record[0] ^ 1,)) + record[1:]
    with pytest.raises(StorageCorrupt):
        storage.meta(INDEX_NOTE)
    again = open_store(storage.reopen())
    assert again.verify().is_sound
    check(again)


def test_building_goes_on_in_batches_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("crdtstore.limits.BATCH_INDEX_KEYS", 7)
    monkeypatch.setattr("crdtstore.engine.identifiers._PAGE_RECORDS", 2)
    monkeypatch.setattr("crdtstore.engine.identifiers._PROGRESS_DOCUMENTS", 5)
    caplog.set_level("INFO", "crdtstore.index")
    storage = filled().storage
    storage.commit(Batch(meta={INDEX_NOTE: b"other"}, index=[(b"i" + bytes(16) + b"x", True)]))
    assert ensure_index(storage, Traces("default"))
    assert len(storage.index(b"", b"", limit=ALL)) == len(IDS) * len(TEXTS)
    assert "6 documents read" in caplog.text
    assert "is built: 12 documents read" in caplog.text


def test_a_full_disk_leaves_the_index_for_another_start() -> None:
    storage = filled().storage
    without_index(storage)
    assert isinstance(storage, MemoryStorage)
    storage.fail_next_commit(StorageFull("the disk is full"))
    assert not ensure_index(storage, Traces("default"))
    assert ensure_index(storage, Traces("default"))
    assert len(storage.index(b"", b"", limit=ALL)) == len(IDS) * len(TEXTS)


def test_a_checkpoint_takes_few_documents_with_many_identifiers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crdtstore.limits.BATCH_INDEX_KEYS", 10)
    monkeypatch.setattr("crdtstore.limits.CHECKPOINT_SLICE_DOCUMENTS", 2)
    store = open_store()
    for profile_id in IDS:
        store.write(profile_id, {"identifiers": add(*TEXTS)}, source="crm")
    commit = store.begin_commit(checkpoint=True)
    assert commit is not None
    assert len(commit.batch.documents) == 4
    commit.persist(store.storage)
    store.finish_commit(commit)
    store.commit(checkpoint=True)
    check(store)
    assert not store.documents.dirty
    assert reopened(store).digest() == store.digest()


def test_a_backup_brings_its_index_along(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = filled(LoggedStorage.open(tmp_path / "data"))
    write_store_backup(store, tmp_path / "eu.backup")
    store.close()
    restore_backup(tmp_path / "eu.backup", tmp_path / "restored", alone=True)
    caplog.set_level("INFO", "crdtstore.index")
    with open_store(LoggedStorage.open(tmp_path / "restored")) as restored:
        assert restored.verify().is_sound
        check(restored)
    assert "building" not in caplog.text


def test_a_snapshot_is_indexed_as_it_comes() -> None:
    source, target = filled(), open_store(name="us")
    chunks = read_chunks(source.storage, "", None, source.replication.healing.latest_timestamp)
    for chunk in chunks:
        target.replication.healing.join(chunk.entries, chunk.timestamp, target.now_ms(), None)
    check(target)
    target.commit()
    check(target)
    assert len(target.storage.index(INDEX_TAG, b"", limit=ALL)) == len(IDS) * len(TEXTS)
