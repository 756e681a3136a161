"""The data directory: its lock, its format, its ballast, and what it refuses to touch."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import DirectoryInUse, FormatTooNew, StorageCorrupt, StorageError
from crdtstore.storage import directory as directory_module
from crdtstore.storage.contract import Batch
from crdtstore.storage.directory import DataDirectory, ballast_bytes
from crdtstore.storage.lmdb_storage import LmdbStorage

SOURCES = Path(directory_module.__file__).parents[2]
HOLD = """
import sys
from crdtstore.storage.lmdb_storage import LmdbStorage
storage = LmdbStorage.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def make(path: Path) -> Path:
    """Make a data directory that holds one document."""
    storage = LmdbStorage.open(path)
    storage.commit(Batch(documents=[(b"anna", b"1")]))
    storage.close()
    return path


def test_new_directory_is_private(tmp_path: Path) -> None:
    path = make(tmp_path / "deep" / "data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for entry in path.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600, entry
    assert (path / "FORMAT").read_text() == "crdtstore 2\n"
    assert {entry.name for entry in path.iterdir()} == {
        "FORMAT",
        "LOCK",
        "ballast",
        "data.mdb",
        "lock.mdb",
    }


def test_second_open_in_this_process(tmp_path: Path) -> None:
    path = tmp_path / "data"
    storage = LmdbStorage.open(path)
    (tmp_path / "other").symlink_to(path)
    for name in ("data", "other"):
        with pytest.raises(DirectoryInUse, match=rf"this process \({os.getpid()}\)"):
            LmdbStorage.open(tmp_path / name)
    storage.commit(Batch(documents=[(b"anna", b"1")]))
    storage.close()
    reopened = LmdbStorage.open(path)
    assert reopened.document(b"anna") == b"1"
    reopened.close()


def test_open_in_another_process(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(DirectoryInUse, match=rf"process {holder.pid}\b"):
            LmdbStorage.open(path)
        holder.kill()
    storage = LmdbStorage.open(path)
    assert storage.document(b"anna") == b"1"
    storage.close()


def test_newer_format(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    (path / "FORMAT").write_text("crdtstore 3\n")
    (path / "data.mdb").write_bytes(b"a format of the future")
    with pytest.raises(FormatTooNew, match=r"format 3.*up to 2"):
        LmdbStorage.open(path)
    assert (path / "data.mdb").read_bytes() == b"a format of the future"


@pytest.mark.parametrize("text", [b"", b"crdtstore", b"crdtstore 0\n", b"\xff" * 100, b"redis 1\n"])
def test_unreadable_format(tmp_path: Path, text: bytes) -> None:
    path = make(tmp_path / "data")
    (path / "FORMAT").write_bytes(text)
    with pytest.raises(StorageCorrupt, match="FORMAT is unreadable"):
        LmdbStorage.open(path)


@pytest.mark.parametrize(
    "names",
    [
        ["notes.txt"],
        ["data.mdb", "lock.mdb"],
        ["LOCK", "CURRENT", "000003.log"],
        ["FORMAT.new", "notes.txt"],
    ],
)
def test_foreign_directory_is_left_alone(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("not yours")
    with pytest.raises(StorageError, match="was not made by crdtstore"):
        LmdbStorage.open(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).read_text() == "not yours" for name in names)


def test_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("hello")
    with pytest.raises(StorageError, match="is a file"):
        LmdbStorage.open(tmp_path / "data")


def test_interrupted_start_is_made_anew(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    (path / "FORMAT").rename(path / "FORMAT.new")
    (path / "data.mdb").write_bytes(b"half written")
    storage = LmdbStorage.open(path)
    assert storage.document(b"anna") is None
    storage.close()
    assert (path / "FORMAT").exists()
    assert not (path / "FORMAT.new").exists()


def test_start_interrupted_before_anything_was_written(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text("12345\n")
    LmdbStorage.open(tmp_path).close()


def test_lost_data_file(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    (path / "data.mdb").unlink()
    with pytest.raises(StorageCorrupt, match=r"lost its data\.mdb"):
        LmdbStorage.open(path)
    assert not (path / "data.mdb").exists()


def test_failed_open_leaves_the_directory_free(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    whole = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(whole[:10_000])
    for _ in range(2):
        with pytest.raises(StorageCorrupt):
            LmdbStorage.open(path)
    (path / "data.mdb").write_bytes(whole)
    LmdbStorage.open(path).close()


def test_fingerprint_tells_a_copy(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    seen = []
    for _ in range(2):
        storage = LmdbStorage.open(path)
        seen.append(storage.fingerprint)
        storage.close()
    copy = path / "copy"
    copy.write_bytes((path / "data.mdb").read_bytes())
    copy.rename(path / "data.mdb")
    storage = LmdbStorage.open(path)
    seen.append(storage.fingerprint)
    storage.close()
    assert seen[0] == seen[1] != seen[2]


def test_ballast_takes_and_gives_room(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    assert not directory.release_ballast()
    assert directory.restore_ballast()
    ballast = (tmp_path / "data" / "ballast").stat()
    assert ballast.st_size == limits.BALLAST_BYTES
    assert ballast.st_blocks * 512 >= limits.BALLAST_BYTES
    assert directory.restore_ballast()
    assert directory.release_ballast()
    assert (tmp_path / "data" / "ballast").stat().st_blocks == 0
    assert not directory.release_ballast()
    directory.close()


def test_ballast_is_in_proportion_to_the_data(tmp_path: Path) -> None:
    mebibyte = limits.MEBIBYTE
    sizes = [ballast_bytes(data * mebibyte) for data in (0, 8, 9, 16, 63, 64, 10_000)]
    steps = [size // limits.BALLAST_STEP_BYTES for size in sizes]
    assert steps == [8, 8, 9, 16, 63, 64, 64]
    assert all(size % limits.BALLAST_STEP_BYTES == 0 for size in sizes)
    directory = DataDirectory(tmp_path / "data")
    for size in (limits.BALLAST_BYTES, mebibyte, 2 * mebibyte):
        assert directory.restore_ballast(size)
        assert (tmp_path / "data" / "ballast").stat().st_blocks * 512 == size
    directory.close()


def test_read_only_disk(mount: Callable[[str], Path]) -> None:
    disk = mount("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system"):
        LmdbStorage.open(disk)
    with pytest.raises(StorageError, match="Read-only file system"):
        LmdbStorage.open(disk / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_without_permission(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    path.chmod(0o500)
    (path / "LOCK").chmod(0o400)
    with pytest.raises(StorageError, match="Permission denied"):
        LmdbStorage.open(path)
    path.chmod(0o700)
