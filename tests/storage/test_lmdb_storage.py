"""What only the LMDB storage has: a map that grows, a file that stays long enough, forks."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from crdtstore.errors import StorageCorrupt, StorageFull
from crdtstore.storage import lmdb_storage
from crdtstore.storage.contract import Batch, MapFull
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_storage import LmdbStorage
from tests.patience import PATIENCE_S

SOURCES = Path(lmdb_storage.__file__).parents[2]
MEBIBYTE = 1024 * 1024


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_map_that_grew_is_large_enough_when_opened_again(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path / "data", map_bytes_initial=MEBIBYTE)
    for number in range(40):
        batch = Batch(documents=[(b"%d" % number, bytes(100_000))])
        try:
            storage.commit(batch)
        except MapFull:
            assert storage.grow()
            storage.commit(batch)
    assert storage.size().map_bytes == 8 * MEBIBYTE
    storage.close()
    storage = LmdbStorage.open(tmp_path / "data", map_bytes_initial=MEBIBYTE)
    assert storage.size().map_bytes == 8 * MEBIBYTE
    storage.commit(Batch(documents=[(b"more", bytes(100_000))]))
    storage.close()


def test_maximum_below_the_data_still_opens_for_reading(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path / "data")
    storage.commit(Batch(documents=[(b"a", bytes(3 * MEBIBYTE))]))
    storage.close()
    storage = LmdbStorage.open(tmp_path / "data", map_bytes_max=MEBIBYTE)
    assert storage.document(b"a") == bytes(3 * MEBIBYTE)
    with pytest.raises(StorageFull):
        storage.commit(Batch(documents=[(b"b", b"")]))
    assert not storage.grow()
    storage.close()


def test_full_map_trims_in_steps_until_there_is_room(tmp_path: Path) -> None:
    storage = LmdbStorage.open(
        tmp_path / "data", map_bytes_initial=4 * MEBIBYTE, map_bytes_max=4 * MEBIBYTE
    )
    position = 0
    is_full = False
    while not is_full:
        records = [(position + 1 + index, random.randbytes(700)) for index in range(100)]
        try:
            storage.commit(Batch(journal=records))
            position += 100
        except MapFull:
            is_full = True
    assert position > 3_000
    while storage.journal_bounds()[0] < position:
        storage.commit(Batch(trim_before=position))
    # Pages that one commit frees can be used by the second one after it.
    storage.commit(Batch(meta={"applied": b"1"}))
    storage.commit(Batch(meta={"applied": b"2"}))
    records = [(position + 1 + index, random.randbytes(700)) for index in range(3_000)]
    storage.commit(Batch(journal=records))
    assert storage.journal_bounds() == (position, position + 3_000)
    storage.close()


def churn(path: Path) -> None:
    """Make and delete documents so that LMDB gives the last page of the file up, unwritten."""
    storage = LmdbStorage.open(path)
    chance = random.Random(281)
    storage.commit(Batch(documents=[(b"99999", b"the last: nothing is appended behind it")]))
    for _ in range(5):
        is_deletion = chance.random() < 0.5
        batch = Batch()
        for _ in range(chance.choice([30, 300, 1500])):
            key = b"%05d" % chance.randrange(3000)
            value = None if is_deletion else bytes(chance.choice([50, 500, 1500, 3000]))
            batch.documents.append((key, value))
        storage.commit(batch)
    storage.close()


def test_sound_file_is_never_shorter_than_it_says(tmp_path: Path) -> None:
    churn(tmp_path / "data")
    LmdbStorage.open(tmp_path / "data").close()


def test_lmdb_alone_leaves_a_sound_file_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for making the file longer: without it, the same history looks cut short."""
    monkeypatch.setattr(LmdbStorage, "_extend_by", lambda *_: None)
    monkeypatch.setattr(LmdbStorage, "_compact", lambda *_: None)
    churn(tmp_path / "data")
    with pytest.raises(StorageCorrupt, match="cut short"):
        inspect_lmdb_file(tmp_path / "data" / "data.mdb")
    with lmdb.open(str(tmp_path / "data"), max_dbs=4) as environment:
        table = environment.open_db(b"documents")
        with environment.begin(db=table) as transaction:
            assert len(list(transaction.cursor())) == transaction.stat(table)["entries"]


def test_hole_at_the_end_takes_no_room(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path / "data")
    storage.commit(Batch(documents=[(b"a", b"1")]))
    storage.close()
    status = (tmp_path / "data" / "data.mdb").stat()
    assert status.st_size > 16 * MEBIBYTE
    assert status.st_blocks * 512 < MEBIBYTE


FORKED = """
import os, sys
from crdtstore.errors import DirectoryInUse, StorageFailed
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage

storage = LmdbStorage.open(sys.argv[1])
storage.commit(Batch(documents=[(b"a", b"1")]))
inherited, parent_end = os.pipe()
started, child_end = os.pipe()
child = os.fork()
if child == 0:
    os.close(parent_end)
    os.write(child_end, b"!")
    refused = 0
    for call in (lambda: storage.document(b"a"), lambda: storage.commit(Batch()), storage.grow):
        try:
            call()
        except StorageFailed as error:
            refused += "forked" in str(error)
    storage.close()
    os.read(inherited, 1)  # ends when the parent is done: the child outlives the parent's close
    os._exit(refused)
os.read(started, 1)
try:
    LmdbStorage.open(sys.argv[1])
    sys.exit("the fork gave the parent's lock away")
except DirectoryInUse:
    pass
assert storage.document(b"a") == b"1"
storage.commit(Batch(documents=[(b"b", b"2")]))
storage.close()
storage = LmdbStorage.open(sys.argv[1])
assert storage.document(b"b") == b"2"
os.close(parent_end)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
storage.commit(Batch(documents=[(b"c", b"3")]))
storage.close()
print("done")
"""


def test_fork_is_refused_and_holds_no_lock(tmp_path: Path) -> None:
    done = run(FORKED, str(tmp_path / "data"))
    assert done.stdout == "done\n", done.stderr


ORPHANED = """
import os, signal, sys, time
from crdtstore.storage.lmdb_storage import LmdbStorage

storage = LmdbStorage.open(sys.argv[1])
ready, child_end = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    os.write(child_end, b"%d\\n" % os.getpid())
    os.closerange(0, 3)
    time.sleep(60)
    os._exit(0)
print(os.read(ready, 20).decode().strip(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_fork_that_outlives_a_killed_parent_holds_no_lock(tmp_path: Path) -> None:
    done = run(ORPHANED, str(tmp_path / "data"))
    child = int(done.stdout)
    try:
        LmdbStorage.open(tmp_path / "data").close()
    finally:
        os.kill(child, signal.SIGKILL)


LIMITED = """
import random, resource, sys
from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage

storage = LmdbStorage.open(sys.argv[1])
storage.commit(Batch(journal=[(1, random.randbytes(20_000))], documents=[(b"a", b"kept")]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
lost = Batch(journal=[(2, random.randbytes(100_000))], documents=[(b"a", b"lost")])
for _ in range(2):
    try:
        storage.commit(lost)
    except StorageFull:
        raise
    except StorageFailed as error:
        print(error.__cause__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert storage.document(b"a") == b"kept"
storage.close()
storage = LmdbStorage.open(sys.argv[1])
assert storage.document(b"a") == b"kept" and storage.journal_bounds() == (1, 1)
storage.commit(lost)
"""


@pytest.mark.parametrize(
    ("file_bytes_max", "cause"), [(8_192, "File too large"), (80_000, "Input/output error")]
)
def test_failed_write_stops_the_storage_for_good(
    tmp_path: Path, file_bytes_max: int, cause: str
) -> None:
    """The kernel refuses the write whole, or cuts it in the middle; neither is a full disk."""
    done = run(LIMITED, str(tmp_path / "data"), str(file_bytes_max))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert cause in first
    assert second == "None", "the second commit must be refused without being tried"
