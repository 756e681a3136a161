"""Documents are settled beside commits: what is committed and read meanwhile, and crashes."""

import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.storage.contract import Batch, MapFull
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from tests.patience import PATIENCE_S
from tests.storage.killing import acknowledged_by_a_killed

KILLS = 6


def record(number: int) -> Batch:
    return Batch(journal=[(number, b"record %d" % number)], meta={"last": b"%d" % number})


def document(number: int) -> Batch:
    """Return what is settled with the commit of a number."""
    return Batch(documents=[(b"ann", b"%d" % number)], meta={"totals": b"%d" % number})


def numbers(storage: LoggedStorage | LmdbStorage) -> list[int]:
    return [position for position, _ in storage.journal(0, limit=10**6, bytes_max=10**9)]


def left_by_a_crash(path: Path) -> tuple[list[int], bytes | None, bytes | None]:
    """Return journal, document and named record of a copy of the files as they are now."""
    copy = path.with_name("crashed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    storage = LoggedStorage.open(copy)
    try:
        return numbers(storage), storage.document(b"ann"), storage.meta("last")
    finally:
        storage.close()


class Gate:
    """LMDB's commits wait at it, in their thread, until it is opened."""

    def __init__(self, storage: LoggedStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        commit = storage._lmdb.commit

        def gated(batch: Batch, *, is_relief: bool | None = None) -> None:
            self.is_reached.set()
            assert self.is_open.wait(PATIENCE_S)
            commit(batch, is_relief=is_relief)

        monkeypatch.setattr(storage._lmdb, "commit", gated)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_commits_go_on_while_documents_are_settled_and_all_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: ThreadPoolExecutor
) -> None:
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    for number in (1, 2, 3):
        storage.commit(record(number))
    gate = Gate(storage, monkeypatch)
    storage.seal(document(3))
    settling = threads.submit(storage.settle, document(3))
    assert gate.is_reached.wait(PATIENCE_S)
    for number in (4, 5):
        storage.commit(record(number))
    assert not settling.done()
    for is_settled in (False, True):
        assert numbers(storage) == [1, 2, 3, 4, 5]
        assert storage.journal_bounds() == (1, 5)
        assert storage.metas("l") == {"last": b"5"}
        headers = storage.journal_headers(2, limit=2, header_bytes=6)
        assert headers == [(3, b"record"), (4, b"record")]
        assert storage.document(b"ann") == (b"3" if is_settled else None)
        found = b"3" if is_settled else None
        assert left_by_a_crash(path) == ([1, 2, 3, 4, 5], found, b"5")
        gate.is_open.set()
        settling.result(PATIENCE_S)
    lmdb_only = path.with_name("lmdb")
    shutil.copytree(path, lmdb_only)
    behind = LmdbStorage.open(lmdb_only)
    assert numbers(behind) == [1, 2, 3], "with the documents come the commits before them alone"
    assert behind.meta("last") == b"3"
    behind.close()
    storage.close()


def test_halves_of_the_log_take_turns_and_every_crash_leaves_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMIT_LOG_BYTES", 2 * 4 * 512)
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    last = 0
    for _ in range(3):
        for _ in range(2):
            last += 1
            storage.commit(record(last))
        batch = document(last)
        storage.seal(batch)
        before = storage.document(b"ann")
        for _ in range(2):
            last += 1
            storage.commit(record(last))
            assert left_by_a_crash(path) == (list(range(1, last + 1)), before, b"%d" % last)
        storage.settle(batch)
        settled = storage.document(b"ann")
        assert settled == b"%d" % (last - 2)
        assert left_by_a_crash(path) == (list(range(1, last + 1)), settled, b"%d" % last)
    storage.close()


def test_a_commit_that_the_log_cannot_take_waits_and_takes_all_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: ThreadPoolExecutor
) -> None:
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    storage.commit(record(1))
    gate = Gate(storage, monkeypatch)
    storage.seal(document(1))
    settling: Future[None] = threads.submit(storage.settle, document(1))
    assert gate.is_reached.wait(PATIENCE_S)
    storage.commit(record(2))
    large = Batch(journal=[(3, bytes(limits.LOGGED_BATCH_BYTES_MAX))])
    committing = threads.submit(storage.commit, large)
    assert not committing.done()
    assert left_by_a_crash(path)[0] == [1, 2]
    gate.is_open.set()
    for each in (settling, committing):
        each.result(PATIENCE_S)
    assert left_by_a_crash(path) == ([1, 2, 3], b"1", b"2")
    storage.commit(record(4))
    assert left_by_a_crash(path)[0] == [1, 2, 3, 4]
    storage.close()


@pytest.mark.parametrize("error", [StorageFull("full"), MapFull("full")])
def test_what_found_no_room_to_settle_is_kept_and_settled_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StorageFull
) -> None:
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    storage.commit(record(1))
    commit = storage._lmdb.commit

    def full(batch: Batch, *, is_relief: bool | None = None) -> None:
        raise error

    storage.seal(document(1))
    monkeypatch.setattr(storage._lmdb, "commit", full)
    with pytest.raises(type(error)):
        storage.settle(document(1))
    storage.commit(record(2))
    assert left_by_a_crash(path) == ([1, 2], None, b"2")
    assert numbers(storage) == [1, 2]
    monkeypatch.setattr(storage._lmdb, "commit", commit)
    storage.seal(document(2))
    with monkeypatch.context() as patch:
        patch.setattr(storage._lmdb, "commit", full)
        with pytest.raises(type(error)):
            storage.commit(record(3))  # both halves of the log are sealed
    storage.settle(document(2))
    storage.commit(record(3))
    assert left_by_a_crash(path) == ([1, 2, 3], b"2", b"3")
    storage.close()


def test_after_a_failure_while_settling_every_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    storage.commit(record(1))
    storage.seal(document(1))

    def failing(batch: Batch, *, is_relief: bool | None = None) -> None:
        raise StorageFailed("the disk is ill")

    with monkeypatch.context() as patch:
        patch.setattr(storage._lmdb, "commit", failing)
        with pytest.raises(StorageFailed, match="ill"):
            storage.settle(document(1))
    with pytest.raises(StorageFailed, match="earlier commit failed"):
        storage.commit(record(2))
    storage.close()
    assert left_by_a_crash(path) == ([1], None, b"1")


def test_a_copy_is_of_all_commits_though_some_are_sealed(tmp_path: Path) -> None:
    storage = LoggedStorage.open(tmp_path / "data")
    storage.commit(record(1))
    storage.seal(document(1))
    storage.commit(record(2))
    copy = storage.pinned_copy()
    storage.settle(document(1))
    storage.commit(record(3))
    assert numbers(storage) == [1, 2, 3]
    assert storage.document(b"ann") == b"1"
    copy.close()
    storage.close()
    lmdb_only = LmdbStorage.open(tmp_path / "data")
    assert numbers(lmdb_only) == [1, 2, 3]
    lmdb_only.close()


def test_a_large_commit_before_the_settlement_begins_takes_what_is_sealed_along(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data"
    storage = LoggedStorage.open(path)
    storage.commit(record(1))
    storage.seal(document(1))
    storage.commit(record(2))
    storage.commit(Batch(journal=[(3, bytes(limits.LOGGED_BATCH_BYTES_MAX))]))
    storage.settle(document(1))
    storage.commit(record(4))
    assert left_by_a_crash(path) == ([1, 2, 3, 4], b"1", b"4")
    storage.close()


def test_a_log_that_fills_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMIT_LOG_BYTES", 2 * 8 * 512)
    storage = LoggedStorage.open(tmp_path / "data")
    for number in range(1, 5):
        storage.commit(record(number))
        assert not storage.is_crowded, number
    storage.commit(record(5))
    assert storage.is_crowded
    storage.seal(Batch())
    assert not storage.is_crowded
    storage.settle(Batch())
    storage.close()


WRITER = """
import sys, threading
from crdtstore import limits
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage

limits.COMMIT_LOG_BYTES = 32 * 1024
storage = LoggedStorage.open(sys.argv[1])
position = storage.journal_bounds()[1]
settling = threading.Thread()
while True:
    position += 1
    value = b"%d." % position * (position % 5 * 300 + 1)
    storage.commit(Batch(journal=[(position, value)], meta={"last": b"%d" % position}))
    print(position, flush=True)
    if settling.ident is None or not settling.is_alive():
        batch = Batch(
            documents=[(b"%d" % number, b"%d" % position * 500) for number in range(40)],
            meta={"settled": b"%d" % position},
            trim_before=max(0, position - 100),
        )
        storage.seal(batch)
        settling = threading.Thread(target=storage.settle, args=(batch,), daemon=True)
        settling.start()
"""


def test_processes_killed_while_they_settle_lose_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(6)
    settled = reached = 0
    for _ in range(KILLS):
        printed = acknowledged_by_a_killed(WRITER, tmp_path / "data", chance, 300)
        reached = max(reached, printed)
        storage = LoggedStorage.open(tmp_path / "data")
        first, last = storage.journal_bounds()
        assert reached <= last <= reached + 1
        assert numbers(storage) == list(range(first, last + 1))
        assert storage.meta("last") == b"%d" % last
        before, settled = settled, int(storage.meta("settled") or 0)
        assert before <= settled <= last
        expected = b"%d" % settled * 500 if settled else None
        assert {storage.document(b"%d" % number) for number in range(40)} == {expected}
        storage.close()
    assert settled > 40
