"""The commit log: small commits with one sync, whatever stops the process or damages the file."""

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageFailed, StorageFull
from crdtstore.storage.commit_log import LOG_FILE, CommitLog
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from tests.storage.killing import acknowledged_by_a_killed

KILLS = 12


def record(number: int) -> Batch:
    return Batch(journal=[(number, b"record %d" % number)], meta={"last": b"%d" % number})


def logged(path: Path, count: int) -> LoggedStorage:
    """Return an open storage with so many small commits, all of them in its log."""
    storage = LoggedStorage.open(path)
    for number in range(1, count + 1):
        storage.commit(record(number))
    return storage


def crashed(storage: LoggedStorage, path: Path) -> Path:
    """Return a copy of the files as they are while the storage is open; close that."""
    copy = path.with_name("crashed")
    shutil.copytree(path, copy)
    storage.close()
    return copy


def numbers(storage: LoggedStorage) -> list[int]:
    return [position for position, _ in storage.journal(0, limit=10**6, bytes_max=10**9)]


# --- the file ------------------------------------------------------------------------------------


def test_payloads_come_back_in_order_behind_what_lmdb_has(tmp_path: Path) -> None:
    payloads = [b"x" * size for size in (0, 1, 480, 481, 5_000)]
    log = CommitLog(tmp_path, 7)
    assert log.payloads == []
    for sequence, payload in enumerate(payloads, 8):
        log.append(sequence, payload)
    log.close()
    for last, expected in ((7, payloads), (12, []), (13, [])):
        log = CommitLog(tmp_path, last)
        assert log.payloads == expected, last
        log.close()


def test_what_was_brought_home_is_written_over(tmp_path: Path) -> None:
    log = CommitLog(tmp_path, 0)
    for sequence in range(1, 6):
        log.append(sequence, b"old %d" % sequence)
    log.rewind()
    log.append(6, b"new")
    log.close()
    log = CommitLog(tmp_path, 5)
    assert log.payloads == [b"new"]
    log.close()


def test_the_log_has_its_length_from_the_start_and_room_up_to_it(tmp_path: Path) -> None:
    log = CommitLog(tmp_path, 0)
    assert log.path.stat().st_size == limits.COMMIT_LOG_BYTES
    half_bytes = limits.COMMIT_LOG_BYTES // 2
    assert log.has_room(bytes(half_bytes - 32))
    assert not log.has_room(bytes(half_bytes - 31))
    log.append(1, b"x")
    assert log.has_room(bytes(half_bytes - 512 - 32))
    assert not log.has_room(bytes(half_bytes - 512 - 31))
    log.close()


def test_one_half_is_written_while_the_other_waits_to_be_free(tmp_path: Path) -> None:
    log = CommitLog(tmp_path, 0)
    half = bytes(limits.COMMIT_LOG_BYTES // 2 - 32)
    log.append(1, half)
    assert not log.has_room(b"")
    log.seal()
    log.append(2, half)
    log.seal()
    assert not log.has_room(b""), "both wait"
    log.release()
    log.append(3, b"third")
    assert not log.is_empty
    log.close()
    for last, expected in ((1, [half, b"third"]), (2, [b"third"]), (3, [])):
        log = CommitLog(tmp_path, last)
        assert log.payloads == expected
        assert log.has_room(b"") == (not expected), "what it was left with must go home first"
        log.close()


def test_a_half_whose_start_is_damaged_is_no_later_file(tmp_path: Path) -> None:
    log = CommitLog(tmp_path, 0)
    log.append(1, b"first")
    log.seal()
    log.append(2, b"second")
    log.close()
    with log.path.open("r+b") as file:
        file.seek(34)
        file.write(b"?")
    with pytest.raises(StorageCorrupt, match="commit 1 cannot be read, but commit 2 can"):
        CommitLog(tmp_path, 0)


def test_every_cut_and_every_flipped_byte_of_the_last_record_drops_only_that(
    tmp_path: Path,
) -> None:
    log = CommitLog(tmp_path, 0)
    for sequence, payload in ((1, b"first"), (2, b"second")):
        log.append(sequence, payload)
    log.close()
    whole = log.path.read_bytes()
    for place in range(512, 512 + 32 + len(b"second")):
        for damaged in (
            whole[:place] + bytes(len(whole) - place),
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :],
        ):
            log.path.write_bytes(damaged)
            again = CommitLog(tmp_path, 0)
            assert again.payloads == [b"first"]
            again.close()


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_damaged_record_before_a_whole_one_is_no_cut(tmp_path: Path, damaged: int) -> None:
    log = CommitLog(tmp_path, 0)
    for sequence in range(1, 5):
        log.append(sequence, b"payload")
    log.close()
    with log.path.open("r+b") as file:
        file.seek(512 * damaged + 34)
        file.write(b"?")
    with pytest.raises(StorageCorrupt, match=f"commit {damaged + 1} cannot be read, but commit"):
        CommitLog(tmp_path, 0)


@pytest.mark.parametrize("uses_both_halves", [False, True])
def test_a_log_of_a_later_file_is_put_away(tmp_path: Path, uses_both_halves: bool) -> None:
    """LMDB's file alone was put back: what the log holds does not follow it, now or later."""
    log = CommitLog(tmp_path, 5)
    for sequence in range(6, 9):
        log.append(sequence, b"later")
        if sequence == 7 and uses_both_halves:
            log.seal()
    log.close()
    log = CommitLog(tmp_path, 3)
    assert log.payloads == []
    log.append(4, b"now")
    log.close()
    log = CommitLog(tmp_path, 3)
    assert log.payloads == [b"now"]
    log.close()


def test_a_refused_record_is_not_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CommitLog(tmp_path, 0)
    log.append(1, b"first")
    sync = os.fdatasync

    def full(descriptor: int) -> None:
        monkeypatch.setattr(os, "fdatasync", sync)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(StorageFull):
        log.append(2, b"refused")
    log.close()
    log = CommitLog(tmp_path, 0)
    assert log.payloads == [b"first"]
    log.release()
    log.append(2, b"second")
    log.close()


# --- the storage ---------------------------------------------------------------------------------


def test_small_commits_are_read_before_and_after_they_are_brought_home(tmp_path: Path) -> None:
    storage = logged(tmp_path / "data", 5)
    storage.commit(Batch(meta={"last": None}))
    for _ in range(2):
        assert numbers(storage) == [1, 2, 3, 4, 5]
        assert storage.journal_bounds() == (1, 5)
        assert storage.meta("last") is None
        assert storage.metas("") == {}
        assert [header for _, header in storage.journal_headers(3, limit=9, header_bytes=3)] == [
            b"rec",
            b"rec",
        ]
        assert storage.document(b"a") is None
        storage.pinned_copy().close()
    storage.commit(Batch(documents=[(b"a", b"1")]))
    assert storage.document(b"a") == b"1"
    storage.close()
    lmdb_only = LmdbStorage.open(tmp_path / "data")
    assert lmdb_only.journal_bounds() == (1, 5), "closing leaves all in LMDB"
    lmdb_only.close()


def test_a_crash_leaves_small_commits_in_the_log(tmp_path: Path) -> None:
    storage = logged(tmp_path / "data", 5)
    copy = crashed(storage, tmp_path / "data")
    lmdb_only = LmdbStorage.open(copy)
    assert lmdb_only.journal_bounds() == (0, 0)
    lmdb_only.close()
    storage = LoggedStorage.open(copy)
    assert numbers(storage) == [1, 2, 3, 4, 5]
    storage.commit(record(6))
    storage.close()
    storage = LoggedStorage.open(copy)
    assert (numbers(storage), storage.meta("last")) == ([1, 2, 3, 4, 5, 6], b"6")
    storage.close()


def test_a_full_log_and_a_large_commit_go_to_lmdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMIT_LOG_BYTES", 4 * 512)
    storage = LoggedStorage.open(tmp_path / "data")
    for number in range(1, 12):
        storage.commit(record(number))
    large = bytes(limits.LOGGED_BATCH_BYTES_MAX)
    storage.commit(Batch(journal=[(12, large)]))
    storage.commit(record(13))
    copy = crashed(storage, tmp_path / "data")
    lmdb_only = LmdbStorage.open(copy)
    assert lmdb_only.journal_bounds() == (1, 12)
    lmdb_only.close()
    storage = LoggedStorage.open(copy)
    assert numbers(storage) == list(range(1, 14))
    storage.close()


def test_a_full_map_never_takes_what_could_not_be_brought_home(tmp_path: Path) -> None:
    storage = LoggedStorage.open(
        tmp_path / "data", map_bytes_initial=1 << 20, map_bytes_max=1 << 20
    )
    number = 0
    while True:
        number += 1
        try:
            storage.commit(Batch(journal=[(number, random.randbytes(5_000))]))
        except StorageFull:
            break
    storage.commit(Batch(trim_before=number))
    storage.close()
    lmdb_only = LmdbStorage.open(tmp_path / "data")
    assert lmdb_only.journal_bounds() == (number - 1, number - 1)
    lmdb_only.close()


def test_a_failed_sync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = logged(tmp_path / "data", 2)

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(StorageFailed, match="Input/output error"):
            storage.commit(record(3))
    with pytest.raises(StorageFailed, match="earlier commit failed"):
        storage.commit(record(3))
    assert numbers(storage) == [1, 2]
    storage.close()


def test_a_file_put_back_with_its_log_has_another_fingerprint(tmp_path: Path) -> None:
    """Nothing was brought to LMDB meanwhile: only the log tells that the disk went back."""
    storage = logged(tmp_path / "data", 2)
    before = (tmp_path / "data" / LOG_FILE).read_bytes()
    storage.commit(record(3))
    fingerprint = storage.fingerprint
    storage._log.close()
    storage._lmdb.close()
    (tmp_path / "data" / LOG_FILE).write_bytes(before)
    storage = LoggedStorage.open(tmp_path / "data")
    assert numbers(storage) == [1, 2]
    assert storage.fingerprint != fingerprint
    storage.close()


WRITER = """
import sys
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage

storage = LoggedStorage.open(sys.argv[1])
position = storage.journal_bounds()[1]
while True:
    position += 1
    value = b"%d." % position * (position % 5 * 300 + 1)
    rests = position % 40 == 0
    storage.commit(Batch(
        journal=[(position, value)],
        documents=[(b"%d" % (position % 20), value)] if rests else [],
        meta={"last": b"%d" % position},
        trim_before=max(0, position - 100) if rests else 0,
    ))
    print(position, flush=True)
"""


def test_killed_processes_lose_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    reached = 0
    for _ in range(KILLS):
        printed = acknowledged_by_a_killed(WRITER, tmp_path / "data", chance, 400)
        reached = max(reached, printed)
        storage = LoggedStorage.open(tmp_path / "data")
        first, last = storage.journal_bounds()
        assert reached <= last <= reached + 1
        assert numbers(storage) == list(range(first, last + 1))
        assert storage.meta("last") == b"%d" % last
        storage.close()
    assert reached > 40, "documents were brought to rest on the way"
