"""The form of a backup, format 2: one file, two lines to read, the data, and a last line.

    crdtstore backup 2
    {"digest": ..., "form": "lmdb-little-endian", "name": "eu", ...}      the manifest, JSON
    the data, as the storage copied it
    crdtstore backup end <bytes of data, 20 digits> <SHA-256 of all before this line, hex>

A file appears under its name when it is whole and on the disk, and not before: until then it is
called as the file with ``.partial`` at its end.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

from crdtstore import limits
from crdtstore.errors import (
    BackupInvalid,
    FormatTooNew,
    StorageError,
    StorageFailed,
    StorageFull,
    TargetExists,
)

BACKUP_FORMAT: Final = 2
"""Version of the form that this crdtstore writes, and the newest that it reads.

Its data are those of a data directory of that format; in format 1 all documents are plain.
"""

_FIRST_LINE: Final = re.compile(rb"crdtstore backup ([0-9]{1,9})\n")
_LAST_LINE: Final = re.compile(rb"crdtstore backup end ([0-9]{20}) ([0-9a-f]{64})\n")
_LAST_LINE_BYTES: Final = len(b"crdtstore backup end \n") + 20 + 1 + 64


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: the replica, and its state at the moment of the backup.

    ``vector`` maps "name/origin" to the last frame, ``profiles`` counts the living ones, and
    ``digest`` is what a store that is restored from it shows before it meets a peer. ``form`` is
    the storage's, ``taken_at`` ISO 8601 in UTC.
    """

    format: int
    form: str
    space: str
    name: str
    origin: str
    taken_at: str
    profiles: int
    digest: str
    vector: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CheckedBackup:
    """A backup whose every byte was read and found as it was written; where its data lies."""

    path: Path
    manifest: Manifest
    data_offset: int
    data_bytes: int


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write; it gets its name, on the disk, when the block ends without an error.

    Raises TargetExists if the name is taken, StorageFull, or StorageError for another failure.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    _check_free(target)
    try:
        file = open(partial, "ab+", opener=_open_private)  # noqa: SIM115
    except OSError as error:
        raise write_failure(partial, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetExists(f"{partial} is being written by somebody else") from None
        _check_same(file, partial)
        _check_free(target)
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(partial, target)
        except OSError as error:
            raise write_failure(target, error) from error
        finally:
            partial.unlink(missing_ok=True)


def write_backup(file: BinaryIO, manifest: Manifest, chunks: Iterable[bytes]) -> None:
    """Write a backup; raises StorageFull before the disk is full, or OSError."""
    checksum = hashlib.sha256()
    data_bytes = unsynced_bytes = 0
    for head in (
        b"crdtstore backup %d\n" % BACKUP_FORMAT,
        json.dumps(asdict(manifest), sort_keys=True).encode() + b"\n",
    ):
        checksum.update(head)
        file.write(head)
    for chunk in chunks:
        check_room(file, len(chunk))
        checksum.update(chunk)
        file.write(chunk)
        data_bytes += len(chunk)
        unsynced_bytes += len(chunk)
        if unsynced_bytes >= limits.BACKUP_SYNC_BYTES:
            file.flush()
            os.fdatasync(file.fileno())
            unsynced_bytes = 0
    last = f"crdtstore backup end {data_bytes:020d} {checksum.hexdigest()}\n"
    file.write(last.encode())
    file.flush()


def check_room(file: BinaryIO, more_bytes: int) -> None:
    """Raise StorageFull unless the disk of a file has room for more bytes, and some to spare."""
    room = os.fstatvfs(file.fileno())
    free_bytes = room.f_bavail * room.f_frsize
    if free_bytes < more_bytes + limits.BACKUP_RESERVE_BYTES:
        raise StorageFull(
            f"the disk has {free_bytes:,} bytes free, too few for {more_bytes:,} more of a backup "
            f"and {limits.BACKUP_RESERVE_BYTES:,} to spare"
        )


def check_backup(path: str | os.PathLike[str]) -> CheckedBackup:
    """Read a whole backup and return what it holds.

    Raises BackupInvalid for a file that is none, was cut short, or is damaged; FormatTooNew;
    StorageFailed if it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return _check(Path(path), file)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror or error}") from error


def data_chunks(file: BinaryIO, backup: CheckedBackup) -> Iterator[bytes]:
    """Yield the data of a backup."""
    file.seek(backup.data_offset)
    remaining = backup.data_bytes
    while remaining:
        chunk = file.read(min(limits.COPY_CHUNK_BYTES, remaining))
        if not chunk:
            raise BackupInvalid(f"{backup.path} was cut short while it was read")
        remaining -= len(chunk)
        yield chunk


def write_failure(path: Path, error: OSError) -> StorageError:
    """Return the error of the storage that an operating system's error while writing is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"the disk of {path} is full")
    return StorageError(f"{path} cannot be written: {error.strerror or error}")


def _check(path: Path, file: BinaryIO) -> CheckedBackup:
    first = file.readline(64)
    match = _FIRST_LINE.fullmatch(first)
    if match is None:
        raise BackupInvalid(f"{path} is no backup of crdtstore: it begins with {first[:24]!r}")
    number = int(match[1])
    if number > BACKUP_FORMAT:
        raise FormatTooNew(
            f"{path} has backup format {number}, and this crdtstore reads up to "
            f"{BACKUP_FORMAT}: use the newer crdtstore that wrote it"
        )
    described = file.readline(limits.BACKUP_MANIFEST_BYTES_MAX)
    data_offset = file.tell()
    data_bytes = file.seek(0, os.SEEK_END) - data_offset - _LAST_LINE_BYTES
    if data_bytes < 0:
        raise BackupInvalid(f"{path} was cut short")
    file.seek(data_offset + data_bytes)
    end = _LAST_LINE.fullmatch(file.read())
    if end is None:
        raise BackupInvalid(f"{path} was cut short, or changed at its end")
    checksum = hashlib.sha256(first + described)
    file.seek(data_offset)
    remaining = data_bytes
    while remaining and (chunk := file.read(min(limits.COPY_CHUNK_BYTES, remaining))):
        checksum.update(chunk)
        remaining -= len(chunk)
    if int(end[1]) != data_bytes or checksum.hexdigest() != end[2].decode():
        raise BackupInvalid(f"{path} is damaged: it does not have the bytes that were written")
    return CheckedBackup(path, _manifest_of(path, described, number), data_offset, data_bytes)


def _manifest_of(path: Path, described: bytes, number: int) -> Manifest:
    try:
        manifest = Manifest(**json.loads(described))
    except (ValueError, TypeError, RecursionError) as error:
        raise BackupInvalid(f"{path} has a manifest that cannot be read: {error}") from error
    texts = (manifest.form, manifest.space, manifest.name, manifest.origin, manifest.taken_at)
    numbers: list[object] = [manifest.profiles]
    if type(manifest.vector) is dict:
        numbers += manifest.vector.values()
    if (
        manifest.format != number
        or type(manifest.vector) is not dict
        or not all(type(text) is str for text in (*texts, manifest.digest))
        or not all(type(number) is int for number in numbers)
    ):
        raise BackupInvalid(f"{path} has a manifest with a part of a wrong type")
    return manifest


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise TargetExists(f"{target} exists; a backup overwrites nothing")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _check_same(file: BinaryIO, partial: Path) -> None:
    """Raise TargetExists if the file got its last name since it was opened: it is no longer ours.

    The lock came too late then, and what was locked is somebody's whole backup.
    """
    if not partial.exists() or not os.path.samestat(os.fstat(file.fileno()), partial.stat()):
        raise TargetExists(f"{partial} was written by somebody else; try again")


def _name(partial: Path, target: Path) -> None:
    """Give a file its name, unless somebody has taken it meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        _check_free(target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        _check_free(target)  # a file system without links: nothing better is to be had
        partial.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
