"""A closed directory takes the room of what it holds, and all of that is there."""

import random
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.storage.contract import Batch
from crdtstore.storage.hollowing import hollow_out
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.scrubbing import LmdbScrub

SECRET = b"a secret that was deleted"
DOCUMENTS = 4_000


def allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def key(number: int) -> bytes:
    return b"%06d" % number


def content(number: int) -> bytes:
    return random.Random(number).randbytes(300) + SECRET


def fill(directory: Path) -> LmdbStorage:
    """Write documents, and delete all but every tenth."""
    storage = LmdbStorage.open(directory)
    for start in range(0, DOCUMENTS, 500):
        numbers = range(start, start + 500)
        storage.commit(Batch(documents=[(key(number), content(number)) for number in numbers]))
    gone = [(key(number), None) for number in range(DOCUMENTS) if number % 10]
    storage.commit(Batch(documents=list(gone)))
    return storage


def check(storage: LmdbStorage) -> None:
    found = storage.documents(b"", limit=DOCUMENTS, bytes_max=10**9)
    assert found == [(key(number), content(number)) for number in range(0, DOCUMENTS, 10)]


def test_free_pages_become_holes_that_are_filled_again(tmp_path: Path) -> None:
    storage = fill(tmp_path / "data")
    data = tmp_path / "data" / "data.mdb"
    before, length = allocated_bytes(data), data.stat().st_size
    used_bytes = storage.size().used_bytes
    storage.close()
    assert allocated_bytes(data) < before // 2
    assert allocated_bytes(data) < used_bytes + 64 * limits.KIBIBYTE
    assert data.stat().st_size == length
    for turn in range(3):
        storage = LmdbStorage.open(tmp_path / "data")
        check(storage)
        more = [(b"x%d" % number, random.randbytes(2_000)) for number in range(300)]
        storage.commit(Batch(documents=[*more, (b"turn", b"%d" % turn)]))
        storage.commit(Batch(documents=[(name, None) for name, _ in more] + [(b"turn", None)]))
        check(storage)
        storage.close()


def test_nothing_is_taken_from_a_disk_that_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHORT_DISK_BYTES", 10**18)
    storage = fill(tmp_path / "data")
    data = tmp_path / "data" / "data.mdb"
    before = allocated_bytes(data)
    storage.close()
    assert allocated_bytes(data) == before


def test_few_pages_are_left_as_they_are(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path / "data")
    storage.commit(Batch(documents=[(key(number), content(number)) for number in range(20)]))
    storage.commit(Batch(documents=[(key(number), None) for number in range(20)]))
    storage.close()
    assert SECRET in (tmp_path / "data" / "data.mdb").read_bytes()


def test_what_becomes_a_hole_was_overwritten_and_is_durable_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are given back are out of a scrub's reach."""
    monkeypatch.setattr(limits, "SHORT_DISK_BYTES", 10**18)
    fill(tmp_path / "data").close()
    data = tmp_path / "data" / "data.mdb"
    seen: list[bytes] = []

    def look(*_: object) -> None:
        seen.append(data.read_bytes())

    monkeypatch.setattr("crdtstore.storage.hollowing._punch", look)
    before = data.read_bytes().count(SECRET)
    hollow_out(data)
    assert seen[0].count(SECRET) < before // 2
    state = inspect_lmdb_file(data)
    assert state.data_bytes <= len(seen[0])


def test_a_file_with_holes_is_scrubbed_and_holes_stay_holes(tmp_path: Path) -> None:
    fill(tmp_path / "data").close()
    data = tmp_path / "data" / "data.mdb"
    before = allocated_bytes(data)
    storage = LmdbStorage.open(tmp_path / "data")
    scrub = storage.scrub()
    assert isinstance(scrub, LmdbScrub)
    while not scrub.step():
        pass
    scrub.close()
    assert allocated_bytes(data) <= before + 64 * limits.KIBIBYTE
    check(storage)
    storage.close()


def test_a_closed_log_takes_no_room_and_an_open_one_all_of_it(tmp_path: Path) -> None:
    log = tmp_path / "data" / "commits.log"
    for turn in range(2):
        storage = LoggedStorage.open(tmp_path / "data", witness_directory=str(tmp_path))
        assert allocated_bytes(log) >= limits.COMMIT_LOG_BYTES
        storage.commit(Batch(journal=[(turn + 1, SECRET)]))
        assert SECRET in log.read_bytes()
        storage.close()
        assert log.stat().st_size == 0
    storage = LoggedStorage.open(tmp_path / "data", witness_directory=str(tmp_path))
    assert storage.journal(0, limit=9, bytes_max=10**6) == [(1, SECRET), (2, SECRET)]
    storage.close()
