"""The file of a backup: whole or not at all, and refused if a single byte is another."""

import hashlib
import json
import os
import random
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import (
    BackupInvalid,
    FormatTooNew,
    StorageError,
    StorageFailed,
    StorageFull,
    TargetExists,
)
from crdtstore.storage.backup_file import (
    Manifest,
    check_backup,
    data_chunks,
    new_file,
    write_backup,
)

MANIFEST = Manifest(
    format=2,
    form="memory",
    space="default",
    name="eu é",
    origin="0" * 16,
    taken_at="2026-11-20T10:00:00+00:00",
    profiles=2,
    digest="ab" * 16,
    vector={"eu/0000000000000001": 7},
)
DATA = random.Random(1).randbytes(5_000)


def written(path: Path, data: bytes = DATA) -> Path:
    with new_file(path) as file:
        write_backup(file, MANIFEST, [data[:1_000], data[1_000:]])
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.backup")
    backup = check_backup(path)
    assert backup.manifest == MANIFEST
    with path.open("rb") as file:
        assert b"".join(data_chunks(file, backup)) == DATA
    assert os.listdir(tmp_path) == ["a.backup"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_form_is_as_documented(tmp_path: Path) -> None:
    content = written(tmp_path / "a.backup").read_bytes()
    first, manifest, rest = content.split(b"\n", 2)
    assert first == b"crdtstore backup 2"
    assert manifest.startswith(b'{"digest": "abab')
    assert rest.startswith(DATA)
    body = content[: -len(rest) + len(DATA)]
    checksum = hashlib.sha256(body).hexdigest()
    assert rest[len(DATA) :] == b"crdtstore backup end %020d %b\n" % (5_000, checksum.encode())


def test_every_cut_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.backup")
    whole = path.read_bytes()
    for size in [*range(0, 600, 7), *range(600, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(BackupInvalid):
            check_backup(path)
    path.write_bytes(whole)
    assert check_backup(path).manifest == MANIFEST


def test_every_changed_byte_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.backup")
    whole = path.read_bytes()
    middle = range(420, len(whole) - 120, 53)
    for at in [*range(420), *middle, *range(len(whole) - 120, len(whole))]:
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises((BackupInvalid, FormatTooNew)):
            check_backup(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(BackupInvalid):
        check_backup(path)


def test_other_files_are_told_from_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    for content, words in ((b"", "no backup"), (bytes(9_999), "no backup"), (b"%PDF", "no backup")):
        path.write_bytes(content)
        with pytest.raises(BackupInvalid, match=words):
            check_backup(path)
    path.write_bytes(b"crdtstore backup 3\nwhatever comes then")
    with pytest.raises(FormatTooNew, match="format 3"):
        check_backup(path)
    with pytest.raises(StorageFailed, match="cannot be read"):
        check_backup(tmp_path / "absent")
    with pytest.raises(StorageFailed, match="cannot be read"):
        check_backup(tmp_path)


def test_a_manifest_of_another_shape_is_refused(tmp_path: Path) -> None:
    told = asdict(MANIFEST)
    wrong = [
        *(told | {name: value} for name in told for value in (None, [], 1.5)),
        told | {"format": 1},
        told | {"vector": {"eu/1": "many"}},
    ]
    for manifest in (
        b"{}\n", b"[]\n", b"null\n", b"{\n", b'{"format": 2}\n', b"\xff\n",
        b"[" * 100_000 + b"\n", *(json.dumps(each).encode() + b"\n" for each in wrong),
    ):  # fmt: skip
        body = b"crdtstore backup 2\n" + manifest
        last = b"crdtstore backup end %020d %b\n" % (0, hashlib.sha256(body).hexdigest().encode())
        path = tmp_path / "a.backup"
        path.write_bytes(body + last)
        with pytest.raises(BackupInvalid, match="manifest"):
            check_backup(path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    path.write_text("mine")
    with pytest.raises(TargetExists, match="overwrites nothing"):
        written(path)
    path.unlink()

    def be_overtaken() -> None:
        with new_file(path) as file:
            file.write(b"theirs")
            path.write_text("mine")

    with pytest.raises(TargetExists):
        be_overtaken()
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["a.backup"]
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TargetExists):
        written(path)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:

    def be_interrupted() -> None:
        with new_file(tmp_path / "a.backup") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert os.listdir(tmp_path) == []
    with pytest.raises(StorageError, match="cannot be written"):
        written(tmp_path / "absent" / "a.backup")


def test_what_a_killed_one_left_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "a.backup.partial").write_bytes(bytes(10**6))
    path = written(tmp_path / "a.backup")
    assert check_backup(path).manifest == MANIFEST
    assert os.listdir(tmp_path) == ["a.backup"]


def test_two_at_one_time_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with new_file(path) as file:
        with pytest.raises(TargetExists, match="somebody else"):
            written(path)
        write_backup(file, MANIFEST, [DATA])
    assert check_backup(path).manifest == MANIFEST


def test_a_full_disk_is_told_before_it_is_full(mount: Callable[[str], Path]) -> None:
    disk = mount("size=16m")
    chunk = bytes(limits.COPY_CHUNK_BYTES)
    with pytest.raises(StorageFull, match="to spare"), new_file(disk / "a.backup") as file:
        write_backup(file, MANIFEST, [chunk] * 64)
    assert os.listdir(disk) == []
    with pytest.raises(StorageFull), new_file(disk / "a.backup") as file:
        file.write(bytes(20 * 2**20))
    assert os.listdir(disk) == []
