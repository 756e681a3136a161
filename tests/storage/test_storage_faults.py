"""Killed processes, cut files, full disks: what was acknowledged is there, and nothing crashes."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageFull
from crdtstore.storage import lmdb_storage
from crdtstore.storage.contract import Batch, MapFull
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_storage import LmdbStorage
from tests.patience import PATIENCE_S

SOURCES = Path(lmdb_storage.__file__).parents[2]
KILLS = 15
DOCUMENTS = 20

WRITER = """
import sys
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage

storage = LmdbStorage.open(sys.argv[1])
position = storage.journal_bounds()[1]
while True:
    position += 1
    value = b"%d." % position * (position % 7 * 900 + 1)
    storage.commit(Batch(
        journal=[(position, value)],
        documents=[(b"%d" % (position % 20), value), (b"%d" % ((position + 7) % 20), None)],
        waypoints=[(position, value)] if position % 16 == 0 else [],
        meta={"last": b"%d" % position},
        trim_before=max(0, position - 50),
    ))
    print(position, flush=True)
"""

CUTTER = """
import os, shutil, sys
from crdtstore.errors import StorageCorrupt
from crdtstore.storage.lmdb_storage import LmdbStorage

directory, whole = sys.argv[1:3]
for size_bytes in map(int, sys.argv[3:]):
    shutil.copyfile(whole, directory + "/data.mdb")
    os.truncate(directory + "/data.mdb", size_bytes)
    try:
        storage = LmdbStorage.open(directory)
    except StorageCorrupt:
        print(size_bytes, "corrupt", flush=True)
        continue
    count = len(storage.documents(b"", limit=10_000, bytes_max=10**9))
    storage.close()
    print(size_bytes, count, flush=True)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCES)}


def value_of(position: int) -> bytes:
    return b"%d." % position * (position % 7 * 900 + 1)


def check_killed(path: Path, acknowledged: int) -> int:
    """Check that the state is exactly that of a last whole batch, and return which it was."""
    storage = LmdbStorage.open(path)
    first, last = storage.journal_bounds()
    assert last in (acknowledged, acknowledged + 1)
    assert first == max(1, last - 50)
    assert storage.meta("last") == b"%d" % last
    records = storage.journal(0, limit=1_000, bytes_max=10**9)
    assert records == [(position, value_of(position)) for position in range(first, last + 1)]
    expected: dict[bytes, bytes] = {}
    for position in range(max(1, last - 10 * DOCUMENTS), last + 1):
        expected[b"%d" % (position % DOCUMENTS)] = value_of(position)
        expected.pop(b"%d" % ((position + 7) % DOCUMENTS), None)
    assert dict(storage.documents(b"", limit=1_000, bytes_max=10**9)) == expected
    waypoints = [position for position in range(first, last + 1) if position % 16 == 0]
    assert storage.waypoints() == [(position, value_of(position)) for position in waypoints]
    storage.close()
    return last


def test_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "data"
    chance = random.Random(1)
    acknowledged = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environment()
        ) as writer:
            assert writer.stdout is not None
            before = acknowledged
            wanted = before + chance.randrange(1, 150)
            while acknowledged < wanted:
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            for line in writer.stdout:
                if line.endswith(b"\n"):
                    acknowledged = int(line)
        acknowledged = check_killed(path, acknowledged)
        assert acknowledged > before
    assert acknowledged > 10 * KILLS


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Give a closed data directory whose file has about 2 MB of pages."""
    path = tmp_path / "data"
    storage = LmdbStorage.open(path)
    chance = random.Random(2)
    for number in range(60):
        batch = Batch(journal=[(number + 1, chance.randbytes(9_000))])
        for index in range(8):
            batch.documents.append((b"%d/%d" % (number, index), chance.randbytes(3_000)))
        storage.commit(batch)
    storage.close()
    return path


def test_cut_file_is_refused_and_never_mapped(stored: Path, tmp_path: Path) -> None:
    """Each size in one child process: a SIGBUS would end it and lose the rest of its answers."""
    whole = tmp_path / "whole.mdb"
    shutil.move(stored / "data.mdb", whole)
    data_bytes = inspect_lmdb_file(whole).data_bytes
    chance = random.Random(3)
    sizes = [0, 1, 4095, 4096, 8191, 8192, 8193, data_bytes - 4096, data_bytes - 1, data_bytes]
    sizes += sorted(chance.randrange(data_bytes) for _ in range(60))
    done = subprocess.run(
        [sys.executable, "-c", CUTTER, str(stored), str(whole), *map(str, sizes)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    expected = [f"{size} {'corrupt' if size < data_bytes else 480}" for size in sizes]
    assert done.stdout.splitlines() == expected


def test_file_of_random_bytes(stored: Path) -> None:
    (stored / "data.mdb").write_bytes(random.Random(4).randbytes(100_000))
    with pytest.raises(StorageCorrupt, match="damaged"):
        LmdbStorage.open(stored)


def test_damaged_pages_that_lmdb_notices(stored: Path) -> None:
    """Zeroed pages behind sound meta pages: an error that names the damage, not one of LMDB's."""
    size_bytes = inspect_lmdb_file(stored / "data.mdb").data_bytes
    with (stored / "data.mdb").open("r+b") as file:
        file.seek(8192)
        file.write(bytes(size_bytes - 8192))
    with pytest.raises(StorageCorrupt, match="damaged"):
        LmdbStorage.open(stored)


def commit_until_full(storage: LmdbStorage, position: int) -> int:
    """Append records of 50 kB until the disk refuses one; return the last position kept."""
    while True:
        value = random.Random(position + 1).randbytes(50_000)
        documents: list[tuple[bytes, bytes | None]] = [(b"%d" % (position + 1), value[:3_000])]
        try:
            storage.commit(Batch(journal=[(position + 1, value)], documents=documents))
        except MapFull:
            raise
        except StorageFull:
            return position
        position += 1


def check_whole(storage: LmdbStorage, last: int) -> None:
    assert storage.journal_bounds()[1] == last
    for position, value in storage.journal(0, limit=10_000, bytes_max=10**9):
        assert value == random.Random(position).randbytes(50_000)
        assert storage.document(b"%d" % position) == value[:3_000]


def test_full_disk_refuses_and_resumes(mount: Callable[[str], Path]) -> None:
    disk = mount("size=16m")
    storage = LmdbStorage.open(disk / "data")
    last = commit_until_full(storage, 0)
    assert last > 100
    assert storage.size().disk_free_bytes < limits.FULL_DISK_BYTES
    check_whole(storage, last)

    erasure = Batch(journal=[(last + 1, random.randbytes(200_000))], documents=[(b"1", b"erased")])
    with pytest.raises(StorageFull):
        storage.commit(erasure)
    assert storage.document(b"1") != b"erased"
    assert storage.release_ballast()
    storage.commit(erasure)
    assert storage.document(b"1") == b"erased"
    assert not storage.restore_ballast()
    assert storage.size().disk_free_bytes < limits.BALLAST_STEP_BYTES, "what there is was taken"
    for number in range(2, 6):
        assert storage.release_ballast()
        storage.commit(Batch(journal=[(last + number, b"small")], documents=[(b"2", b"erased")]))
        assert not storage.restore_ballast()
        with pytest.raises(StorageFull):
            storage.commit(Batch(journal=[(last + number + 1, random.randbytes(200_000))]))
    last += 4

    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
    assert storage.restore_ballast()
    storage.commit(Batch(trim_before=last + 1, documents=[(b"1", None)]))
    assert storage.journal_bounds() == (last + 1, last + 1)
    resumed = last + 1
    for _ in range(200):
        resumed += 1
        value = random.Random(resumed).randbytes(50_000)
        storage.commit(Batch(journal=[(resumed, value)]))
    storage.close()
    reopened = LmdbStorage.open(disk / "data")
    assert reopened.journal_bounds() == (last + 1, resumed)
    assert reopened.document(b"1") is None
    reopened.close()


def test_disk_too_small_to_begin(mount: Callable[[str], Path]) -> None:
    disk = mount("size=12k")
    with pytest.raises(StorageFull):
        LmdbStorage.open(disk / "data")
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    storage = LmdbStorage.open(disk / "data")
    last = commit_until_full(storage, 0)
    assert last > 10
    check_whole(storage, last)
    assert storage.release_ballast(), "a small one"
    storage.close()
    reopened = LmdbStorage.open(disk / "data")
    check_whole(reopened, last)
    reopened.close()
