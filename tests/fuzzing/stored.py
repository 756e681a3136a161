"""Targets: what a disk gives back. Records of a storage with bits changed, LMDB files, backups."""

import hashlib
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from crdtstore import limits
from crdtstore.errors import (
    BackupInvalid,
    CrdtstoreError,
    FormatTooNew,
    FrameCorrupt,
    StorageCorrupt,
)
from crdtstore.model.document import Document, checked_canonical, stored_traces, to_record
from crdtstore.model.operations import add, increment
from crdtstore.settings import Settings
from crdtstore.storage.backup_file import Manifest, check_backup, data_chunks, write_backup
from crdtstore.storage.document_packing import DocumentPacking
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from tests.fuzzing.mutation import mutated_bytes
from tests.fuzzing.stores import SCHEMA
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.wire import entry_lists
from tests.sync.examples import EU, STAMP, US, WALL_MS

# --- records --------------------------------------------------------------------------------------

TABLES = ("meta", "journal", "waypoints", "documents")
AP = 0x3344556677889900
EDIT_BYTES = 6
EDITS_MAX = 4


def _open(storage: MemoryStorage) -> Store:
    return Store.open(
        storage, name="here", schema=SCHEMA, now_ms=lambda: WALL_MS + 9_000,
        random_bits=random.Random(1).getrandbits,
        settings=Settings(journal_bytes_max=1_500, journal_retention_ms=10**9),
    )  # fmt: skip


@cache
def _packed_storage() -> bytes:
    """Return a storage that has records of every kind, as the bytes of a copy."""
    with mock.patch.object(limits, "WAYPOINT_RECORDS", 3):
        store = _open(MemoryStorage())
        for number in range(12):
            fields = {"n": number, "tags": add(f"t{number}"), "logins": increment()}
            store.write(f"p{number % 4}", fields, source="crm", cursors={"feed": str(number)})
            store.commit(checkpoint=number % 4 == 3)
        replication = store.replication
        replication.snapshot_begun(
            {AP: (7, b"a" * 16)},
            SnapshotBegin({EU: (5, b"e" * 16)}, {EU: ("eu", 1), US: ("us", 2)}, 2),
        )
        chunk = SnapshotChunk("ann", STAMP + (1 << 16), entry_lists()[2])
        replication.snapshot_chunk(chunk, store.now_ms())
        replication.snapshot_ended()
        store.erase("p3")
        store.commit(checkpoint=True)
        store.write("p0", {"after": 1}, source="cdp")
        replication.snapshot_begun({AP: (8, b"a" * 16)}, SnapshotBegin({US: (9, b"u" * 16)}, {}, 2))
        replication.removal.learn(["old"])
        store.retention.known.heard("us", US, {EU: 3}, WALL_MS)
        replication.snapshot_chunk(SnapshotChunk("p", STAMP, b"\x90"), store.now_ms())
        replication._quarantine(b"bad", REFUSED)
        store.commit()
    assert isinstance(store.storage, MemoryStorage)
    return b"".join(store.storage.pinned_copy().chunks())


REFUSED = FrameCorrupt("an example")
DAMAGED = "damaged"


def _observed(store: Store) -> dict[str, Any]:
    """Return what a store says of itself in every way; a part may say that it is damaged."""
    replication, ledger = store.replication, store.ledger
    asked = {
        "identity": lambda: replication.identity,
        "names": lambda: replication.names,
        "births": lambda: replication.origins.named(list(replication.names)),
        "resting": lambda: (replication.resting, replication.resting_summary),
        "removed": lambda: sorted(replication.removal.names),
        "known": lambda: [known.pack() for known in store.retention.known.present()],
        "heads": lambda: ledger.heads,
        "floor": lambda: ledger.floor,
        "bytes": lambda: (ledger.bytes_total, ledger.bytes_trimmed, ledger.first_position),
        "progress": lambda: replication.progress,
        "cursors": lambda: store.cursors.present(),
        "mark": lambda: store.commits.mark,
        "totals": lambda: (store.commits.digest, store.commits.profiles),
        "changes": lambda: store.changes(since=f"{ledger.first_position}.0"),
        "records": lambda: ledger.records_after(0, 1 << 40),
        "quarantined": lambda: replication.quarantine.count,
        **{
            f"tail {origin:x} {sequence}": lambda o=origin, s=sequence: replication.position_before(
                {o: s}
            )
            for origin in ledger.heads
            for sequence in range(3, 14)
        },
        **{
            f"hash {origin:x} {sequence}": lambda o=origin, s=sequence: ledger.hash_at(o, s)
            for origin in ledger.heads
            for sequence in range(3, 14)
        },
        **{
            name: lambda name=name: (store.read(name).version, dict(store.read(name)))
            for name in ("p0", "p1", "p2", "ann", "bob")
        },
    }
    return {name: _answer(question) for name, question in asked.items()}


def _answer(question: Any) -> Any:
    try:
        return question()
    except StorageCorrupt:
        return DAMAGED
    except CrdtstoreError as error:
        return error.code


@cache
def _sound() -> dict[str, Any]:
    return _observed(_open(MemoryStorage.of_copy(_packed_storage())))


def run_records(data: bytes) -> None:
    """A store on damaged records refuses to open, says what is damaged, or is what it was."""
    storage = MemoryStorage.of_copy(_packed_storage())
    for start in range(0, min(len(data), EDITS_MAX * EDIT_BYTES), EDIT_BYTES):
        _edit(storage, data[start : start + EDIT_BYTES].ljust(EDIT_BYTES, b"\0"))
    try:
        store = _open(storage)
    except StorageCorrupt:
        return
    sound = _sound()
    for name, said in _observed(store).items():
        is_unknown = name.startswith("hash") and said is None
        if said not in (DAMAGED, sound.get(name)) and not is_unknown:
            raise Broken(f"damage made another value of {name}: {said!r}, not {sound.get(name)!r}")


def _edit(storage: MemoryStorage, edit: bytes) -> None:
    """Damage one record as six bytes say: a table, a record, what to do, where, with what."""
    table: dict[Any, bytes] = getattr(storage._tables, TABLES[edit[0] % len(TABLES)])
    keys = list(table)
    key = keys[edit[1] % len(keys)]
    value = bytearray(table[key])
    place = int.from_bytes(edit[3:5], "big") % len(value) if value else 0
    match edit[2] % 6:
        case 0 | 1 if value:
            value[place] ^= 1 << edit[5] % 8
        case 2 if value:
            value[place] = edit[5]
        case 3:
            del value[place:]
        case 4:
            value.insert(place, edit[5])
        case 5 if table is not storage._tables.journal:
            value = bytearray(table[keys[edit[5] % len(keys)]])
    table[key] = bytes(value)


def edits() -> list[bytes]:
    """One edit of each record of the first dozen in each table."""
    return [
        bytes((table, record, what, 0, place, 3))
        for table in range(len(TABLES))
        for record in range(12)
        for what, place in ((0, 7), (3, 9))
    ]


# --- packed documents -----------------------------------------------------------------------------

_FIELDS = ("email", "family_name", "title")


@cache
def _packing() -> tuple[DocumentPacking, bytes]:
    """Return a storage's packing with two dictionaries, and the record of a document."""
    cells = {f"r{name}\x1fcrm": (STAMP, AP, name * 9) for name in _FIELDS}
    packing = DocumentPacking()
    for names in (("other",), _FIELDS):
        packing.learn([f"r{name}\x1fcrm".encode() + b"\x93\xcf" for name in names])
    return packing, to_record("ann", Document(0, cells))[0]


def run_packed_document(data: bytes) -> None:
    """What is kept of a document is bounded when it is read, and the document or found damaged."""
    packing, record = _packing()
    found = packing.unpacked(data)
    if len(found) > max(len(data), limits.DEFLATED_DOCUMENT_BYTES_MAX + len(data)):
        raise Broken(f"{len(data)} bytes became {len(found)}")
    try:
        canonical = checked_canonical("ann", found)
    except StorageCorrupt:
        stored_traces("ann", found)
        return
    if canonical != checked_canonical("ann", record):
        raise Broken("damage made another document")


def packed_documents() -> list[bytes]:
    """A document as it is kept: packed, plain, and behind a byte of its own."""
    packing, record = _packing()
    return [packing.packed(record), record, b"\xf0" + record]


# --- LMDB files -----------------------------------------------------------------------------------


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="crdtstore-fuzzing-"))


def run_lmdb_file(data: bytes) -> None:
    """What an LMDB file says of itself makes sense and fits its size, or it is refused."""
    path = _folder() / "data.mdb"
    path.write_bytes(data)
    try:
        found = inspect_lmdb_file(path)
    except StorageCorrupt:
        return
    if found.data_bytes > len(data) or found.last_page < 1:
        raise Broken(f"a file of {len(data)} bytes is said to hold {found}")


def lmdb_files() -> list[bytes]:
    """The file of a data directory that holds a little, without the hole at its end."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder, name="eu", random_bits=random.Random(1).getrandbits)
        store.write("ann", {"x": 1}, source="crm")
        store.close()
        path = Path(folder) / "data.mdb"
        return [path.read_bytes()[: inspect_lmdb_file(path).data_bytes][:65_536]]


# --- backups --------------------------------------------------------------------------------------

_MANIFEST = Manifest(
    1, "lmdb-little-endian", "default", "eu", f"{EU:016x}", "2026-11-20T10:00:00+00:00", 1,
    "0" * 32, {f"eu/{EU:016x}": 2},
)  # fmt: skip
_END_BYTES = 107
REFUSALS = (BackupInvalid, FormatTooNew)


def run_backup(data: bytes) -> None:
    """A backup is what was written, or it is refused; also when its checksum is right.

    The first byte of the input says whether the last line is made to fit what is before it.
    """
    data, is_fitted = data[1:], data[:1] == b"\1"
    if is_fitted:
        lines = data.split(b"\n", 2)
        held_bytes = len(lines[2]) if len(lines) == 3 else 0
        digest = hashlib.sha256(data).hexdigest()
        data += f"crdtstore backup end {held_bytes:020d} {digest}\n".encode()
    path = _folder() / "backup"
    path.write_bytes(data)
    try:
        backup = check_backup(path)
    except REFUSALS:
        return
    manifest = backup.manifest
    texts = (manifest.form, manifest.space, manifest.name, manifest.origin, manifest.taken_at)
    is_typed = (
        all(type(text) is str for text in (*texts, manifest.digest, *manifest.vector))
        and all(type(n) is int for n in (manifest.profiles, *manifest.vector.values()))
        and manifest.format in (1, 2)
    )
    if not is_typed:
        raise Broken(f"a manifest is accepted that is none: {manifest}")
    with path.open("rb") as file:
        held = b"".join(data_chunks(file, backup))
    if held != data[backup.data_offset : len(data) - _END_BYTES]:
        raise Broken("a backup holds other bytes than were written")


def backups() -> list[bytes]:
    """A backup as it is written, and what stands before its last line."""
    path = _folder() / "example"
    with path.open("wb") as file:
        write_backup(file, _MANIFEST, [b"data\n" * 20, b"more"])
    whole = path.read_bytes()
    return [
        b"\0" + whole,
        b"\1" + whole[:-_END_BYTES],
        b"\1" + whole[:-_END_BYTES].replace(b"eu", b"\xff"),
    ]


def mutated_backup(data: bytes, chance: random.Random) -> bytes:
    """Change a manifest as JSON is, or any byte."""
    if chance.random() < 0.5:
        return mutated_bytes(data, chance)
    words = (b"null", b"1", b"[]", b"{}", b'"x"', b"1e999", b"-1", b"[" * 3000, b"9" * 5000, b"NaN")
    old = chance.choice((b'"default"', b'"eu"', b"1,", b'"lmdb-little-endian"', b'{"eu'))
    return data.replace(old, chance.choice(words) + (b"," if old == b"1," else b""), 1)


RECORDS = Target("records", run_records, edits, input_bytes_max=EDITS_MAX * EDIT_BYTES)
PACKED_DOCUMENT = Target("packed-document", run_packed_document, packed_documents)
LMDB_FILE = Target("lmdb-file", run_lmdb_file, lmdb_files, input_bytes_max=65_536)
BACKUP = Target("backup", run_backup, backups, mutated_backup, input_bytes_max=65_536)
