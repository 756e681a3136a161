"""Documents rest packed in a data directory, and nobody who reads, checks or copies it can tell."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

from crdtstore import limits
from crdtstore.errors import FormatTooNew, StorageCorrupt, StorageFull
from crdtstore.model.operations import add, increment
from crdtstore.replica.backups import restore_backup, write_store_backup
from crdtstore.settings import Settings
from crdtstore.storage import directory as directories
from crdtstore.storage.backup_file import check_backup
from crdtstore.storage.document_packing import DICTIONARY, SPARE_DICTIONARY
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.store import Store
from tests.engine.stores import open_store, send, state
from tests.engine.test_healing import give
from tests.storage.deflated import dictionaries_in, with_inflated

COUNT = 120
PLAIN, PACKED = {0x01}, {0x11}


def name_of(number: int) -> str:
    return f"p{number:04d}"


def write(store: Store, numbers: Iterable[int], secret: str = "Quast") -> None:
    for number in numbers:
        fields: dict[str, Any] = {
            "family_name": f"{secret} {number}", "email": f"{secret}{number}@example.com",
            "title": "Head of Sales", "tags": add(f"{secret} club"), "visits": increment(),
        }  # fmt: skip
        store.write(name_of(number), fields, source="crm")


def filled(path: Path, count: int = COUNT, **options: Any) -> Store:
    store = open_store(path, **options)
    write(store, range(count))
    store.commit(checkpoint=True)
    return store


@contextmanager
def tables(path: Path, *, write: bool = False) -> Iterator[Any]:
    """Give a function that returns a transaction's table by its name; nobody has the file open."""
    with lmdb.open(str(path), max_dbs=8) as environment:
        handles = {name: environment.open_db(name) for name in (b"documents", b"meta")}
        with environment.begin(write=write) as transaction:
            yield transaction, handles[b"documents"], handles[b"meta"]


def kept(path: Path) -> dict[bytes, bytes]:
    """Return what a directory that nobody has open keeps of its documents."""
    with tables(path) as (transaction, documents, _):
        return dict(transaction.cursor(documents))


def first_bytes(path: Path) -> set[int]:
    return {record[0] for record in kept(path).values()}


def test_a_checkpoint_packs_and_all_reads_are_as_of_a_store_in_memory(tmp_path: Path) -> None:
    store, plain = filled(tmp_path / "eu"), open_store()
    write(plain, range(COUNT))
    plain.commit(checkpoint=True)
    assert store.digest().digest == plain.digest().digest
    view = store.storage.pinned_view()
    wanted = plain.storage.documents(b"", limit=999, bytes_max=10**9)
    write(store, range(7))
    store.commit(checkpoint=True)
    assert view.documents(b"", limit=999, bytes_max=10**9) == wanted
    view.close()
    store.close()
    assert first_bytes(tmp_path / "eu") == PACKED
    again = open_store(tmp_path / "eu")
    assert again.verify().is_sound
    assert again.read("p0007")["email"] == "Quast7@example.com"
    size = sum(len(record) for _, record in wanted)
    assert again.storage.size().documents_bytes > size * 0.9, "peers are told what they would get"
    one = again.storage.documents(b"", limit=999, bytes_max=size // 2)
    assert COUNT // 3 < len(one) <= COUNT // 2 + 1, "bounds are of what is read"
    again.close()


def test_backup_and_restore_bring_dictionaries_along(tmp_path: Path) -> None:
    with filled(tmp_path / "eu") as store:
        manifest = write_store_backup(store, tmp_path / "eu.backup")
        digest = store.digest().digest
    assert manifest.format == 2
    restore_backup(tmp_path / "eu.backup", tmp_path / "new", alone=True)
    assert first_bytes(tmp_path / "new") == PACKED
    with open_store(tmp_path / "new") as restored:
        assert restored.verify().is_sound
        assert restored.digest().digest == digest


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as the format before had it: all documents plain, and no dictionary."""
    with monkeypatch.context() as before:
        before.setattr(limits, "STRUCTURE_DOCUMENTS_MIN", 10**9)
        filled(tmp_path / "old").close()
    (tmp_path / "old" / "FORMAT").write_text("crdtstore 1\n")
    assert first_bytes(tmp_path / "old") == PLAIN
    return tmp_path / "old"


def test_an_older_directory_is_taken_on(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (older / "FORMAT.new").write_text("crdtsto")  # whoever took it on before was killed
    with open_store(older) as store:
        assert (older / "FORMAT").read_text() == "crdtstore 2\n"
        assert not (older / "FORMAT.new").exists()
        digest = store.digest().digest
        assert store.verify().is_sound
    assert first_bytes(older) == PLAIN, "nothing was written: nobody knows what documents share"
    with open_store(older) as store:
        assert store.digest().digest == digest
        write(store, range(40))
        store.commit(checkpoint=True)
        digest = store.digest().digest
    assert first_bytes(older) == PACKED
    with open_store(older) as store:
        assert store.verify().is_sound
        assert store.digest().digest == digest
    monkeypatch.setattr(directories, "FORMAT_VERSION", 1)
    with pytest.raises(FormatTooNew, match=r"format 2.*up to 1"):
        open_store(older)


def test_an_older_backup_is_restored(older: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.backup"
    with open_store(older) as store:
        digest = write_store_backup(store, path).digest
    content = path.read_bytes().replace(b"backup 2\n", b"backup 1\n", 1)
    content = content.replace(b'"format": 2', b'"format": 1', 1)
    path.write_bytes(refitted(content))
    assert check_backup(path).manifest.format == 1
    restore_backup(path, tmp_path / "new", alone=True)
    with open_store(tmp_path / "new") as store:
        assert store.digest().digest == digest
        write(store, range(50))
        store.commit(checkpoint=True)
    assert first_bytes(tmp_path / "new") == PACKED


def refitted(content: bytes) -> bytes:
    """Return a backup with the checksum that belongs to its bytes."""
    end = content.rindex(b"crdtstore backup end ")
    return content[: end + 42] + hashlib.sha256(content[:end]).hexdigest().encode() + b"\n"


@pytest.mark.parametrize("place", [-4, 40, 5, 20, 27, 0])
def test_a_damaged_record_is_found_and_healed_by_a_peer(tmp_path: Path, place: int) -> None:
    healthy = filled(tmp_path / "healthy", name="us")
    other = open_store(tmp_path / "eu")
    send(healthy, other)
    other.commit(checkpoint=True)
    digest = other.digest().digest
    other.close()
    with tables(tmp_path / "eu", write=True) as (transaction, documents, _):
        record = bytearray(transaction.get(b"p0007", db=documents))
        record[place] ^= 0x24
        transaction.put(b"p0007", bytes(record), db=documents)
    store = open_store(tmp_path / "eu")
    with pytest.raises(StorageCorrupt, match="p0007"):
        store.read("p0007")
    assert store.verify().damaged == ("p0007",)
    assert give(healthy, store, "p0007") == 1
    store.commit(checkpoint=True)
    assert store.verify().is_sound
    assert store.digest().digest == digest
    assert store.read("p0007")["visits"] == 1
    store.close()


@pytest.mark.parametrize("beginning", [DICTIONARY, SPARE_DICTIONARY])
def test_a_dictionary_that_is_damaged_is_read_from_its_other_copy(
    tmp_path: Path, beginning: str
) -> None:
    filled(tmp_path).close()
    damage_dictionary(tmp_path, beginning)
    with open_store(tmp_path) as store:
        assert store.verify().is_sound
        assert store.read("p0007")["title"] == "Head of Sales"


def damage_dictionary(path: Path, beginning: str) -> None:
    with tables(path, write=True) as (transaction, _, meta):
        name = f"{beginning}01".encode()
        record = bytearray(transaction.get(name, db=meta))
        record[10] ^= 1
        transaction.put(name, bytes(record), db=meta)


def test_without_both_copies_documents_are_damaged_and_healed_as_others_are(tmp_path: Path) -> None:
    store = filled(tmp_path / "eu")
    healthy = open_store(name="us")
    send(store, healthy)
    healthy.commit(checkpoint=True)
    digest = store.digest().digest
    store.close()
    for beginning in (DICTIONARY, SPARE_DICTIONARY):
        damage_dictionary(tmp_path / "eu", beginning)
    store = open_store(tmp_path / "eu")
    assert len(store.verify().damaged) == COUNT
    for number in range(COUNT):
        give(healthy, store, name_of(number))
    store.commit(checkpoint=True)
    assert store.verify().is_sound
    assert store.digest().digest == digest
    write(store, range(COUNT, 2 * COUNT))
    store.commit(checkpoint=True)
    store.close()
    assert first_bytes(tmp_path / "eu") <= {0x01, 0x21}, "another number, for good"
    with open_store(tmp_path / "eu") as store:
        assert store.verify().is_sound


def test_a_dictionary_comes_with_the_first_documents_that_need_it_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "eu")
    write(store, range(COUNT))
    store.commit()
    with monkeypatch.context() as disk:

        def fail(*_: Any) -> None:
            raise StorageFull("no room for that")

        disk.setattr(LmdbStorage, "_check_reserve", fail)
        with pytest.raises(StorageFull):
            store.commit(checkpoint=True)
    check_copy(store, tmp_path)
    assert kept(tmp_path / "copy") == {}
    store.commit(checkpoint=True)
    check_copy(store, tmp_path)
    assert first_bytes(tmp_path / "copy") == PACKED
    store.close()


def check_copy(store: Store, tmp_path: Path) -> None:
    """Check that what a crash would leave of an open directory is the store, and leave a copy."""
    for name in ("copy", "opened"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        shutil.copytree(tmp_path / "eu", tmp_path / name)
    with open_store(tmp_path / "opened") as copy:
        assert copy.verify().is_sound
        assert state(copy) == state(store)


def test_a_hurried_checkpoint_leaves_documents_plain_and_the_close_packs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, count=40).close()
    store = open_store(tmp_path)
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 50)
    write(store, range(40, 40 + COUNT))
    while store.storage.document(b"p0159") is None:
        store.commit()
        write(store, [0])
    digest = store.digest().digest
    shutil.copytree(tmp_path, tmp_path.with_name("open"))
    assert first_bytes(tmp_path.with_name("open")) >= PLAIN | PACKED
    store.close()
    assert first_bytes(tmp_path) == PACKED
    with open_store(tmp_path) as store:
        assert store.verify().is_sound
        assert store.digest().digest == digest


def test_what_a_snapshot_brings_rests_plain_until_the_close(tmp_path: Path) -> None:
    giver = filled(tmp_path / "us", name="us")
    store = open_store(tmp_path / "eu")
    resting, begin = giver.replication.snapshot_begin()
    store.replication.snapshot_begun(resting, begin)
    for chunk in giver.replication.snapshot_chunks(""):
        store.replication.snapshot_chunk(chunk, store.now_ms())
    store.replication.snapshot_ended()
    store.commit()
    shutil.copytree(tmp_path / "eu", tmp_path / "open")
    assert first_bytes(tmp_path / "open") == PLAIN
    write(store, range(COUNT, COUNT + 40))
    store.commit(checkpoint=True)
    assert store.storage.document(b"p0001") == giver.storage.document(b"p0001")
    store.close()
    assert first_bytes(tmp_path / "eu") == PACKED
    with open_store(tmp_path / "eu") as store:
        assert store.verify().is_sound


def test_no_file_holds_who_was_erased_and_no_dictionary_ever_did(tmp_path: Path) -> None:
    directory = tmp_path / "eu"
    at_once = Settings(erasure_grace_ms=0)
    store = open_store(directory, settings=at_once)
    write(store, range(COUNT))
    write(store, [7], secret="Heligoland")
    store.commit(checkpoint=True)
    store.close()
    others = kept(directory)
    rested = others.pop(b"p0007")
    assert rested[0] in PACKED
    parts = [rested[at : at + 12] for at in range(17, len(rested) - 12)]
    own_parts = [part for part in parts if not any(part in each for each in others.values())]
    assert len(own_parts) > 30
    data = (directory / "data.mdb").read_bytes().rstrip(b"\0")
    assert b"Heligoland" in with_inflated(data)
    dictionaries = dictionaries_in(data)
    assert list(dictionaries) == [1]
    for own in (b"Quast", b"Heligoland", b"Head of", b"example", b"club", b"p0007"):
        assert own not in dictionaries[1]
    assert b"family_name\x1fcrm" in dictionaries[1]
    with open_store(directory, settings=at_once) as store:
        erasure = store.persons.erase("p0007", alone=True)
        store.commit()
        assert store.erasures.read(erasure.id).is_complete
        for path in directory.iterdir():
            content = path.read_bytes().rstrip(b"\0")
            assert b"Heligoland" not in with_inflated(content)
            assert not any(part in content for part in own_parts)
        assert b"Quast 8" in with_inflated((directory / "data.mdb").read_bytes())
        assert store.verify().is_sound
