"""The data directory: who may open it, what format it has, whether its file can be trusted.

    LOCK         held (flock) while a store is open; names the process that holds it
    FORMAT       "crdtstore 2", put there last, when the directory is complete
    FORMAT.new   the same text while the directory is being made, or taken on from an older format
    FORMAT.restoring   the same text while a backup is being restored into it
    data.mdb     the LMDB file, lock.mdb its reader table
    commits.log  small commits that the LMDB file does not have yet
    ballast      room that is given up when the disk is full

Everything here happens before LMDB sees the file: LMDB trusts it, and would end the process with
SIGBUS where a page is missing.
"""

import contextlib
import errno
import fcntl
import os
import re
import weakref
from pathlib import Path
from typing import Final

from crdtstore import limits
from crdtstore.errors import (
    DirectoryInUse,
    FormatTooNew,
    StorageCorrupt,
    StorageError,
    TargetExists,
)
from crdtstore.storage.lmdb_file import inspect_lmdb_file

FORMAT_VERSION: Final = 2
"""Version of the layout of a data directory that this crdtstore writes, and the newest it reads.

In version 1 all documents are plain, which version 2 may have too: it is taken on as it is.
"""

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "LOCK"
FORMAT_FILE: Final = "FORMAT"
BALLAST_FILE: Final = "ballast"

_FORMAT_NEW_FILE: Final = "FORMAT.new"
_FORMAT_RESTORING_FILE: Final = "FORMAT.restoring"
_READERS_FILE: Final = "lock.mdb"
_MAKING_FILES: Final = frozenset(
    {DATA_FILE, _READERS_FILE, LOCK_FILE, _FORMAT_NEW_FILE, BALLAST_FILE}
)
_FORMAT_TEXT: Final = re.compile(rb"crdtstore ([0-9]{1,9})\n")

_open_directories: "weakref.WeakSet[DataDirectory]" = weakref.WeakSet()


class DataDirectory:
    """One data directory, locked for this process from the constructor to ``close``.

    Raises DirectoryInUse, FormatTooNew, StorageCorrupt, or StorageError for a directory that is not
    ours or cannot be used. A new directory is complete only after ``complete``.
    ``data_bytes`` is what the pages of the LMDB file take, 0 when there is none yet.

    With ``restoring`` the directory must be empty (else TargetExists), the caller puts the LMDB
    file there before ``complete``, and what an interrupted restore leaves is opened by nobody.
    """

    def __init__(self, path: str | os.PathLike[str], *, restoring: bool = False) -> None:
        self.path = Path(path)
        self._format_new = _FORMAT_RESTORING_FILE if restoring else _FORMAT_NEW_FILE
        self.data_bytes = 0
        self._is_of_older_format = False
        self._pid = os.getpid()
        self._lock_descriptor = -1
        try:
            self._make()
            self._lock()
            try:
                self._open()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise _unusable(self.path, error) from error

    def complete(self) -> None:
        """Mark a new directory as complete: from now on a missing file is damage.

        One of an older format is marked with ours: from now on what reads that one only refuses it.
        """
        new = self.path / self._format_new
        try:
            if self._is_of_older_format:
                self._write_format()
                self._is_of_older_format = False
            if new.exists():
                new.rename(self.path / FORMAT_FILE)
                sync_directory(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def fingerprint(self) -> str:
        """Return which file this is: device and inode, so that a copy or a restored one differs."""
        status = (self.path / DATA_FILE).stat()
        return f"{status.st_dev:x}:{status.st_ino:x}"

    def extend_data(self, size_bytes: int) -> None:
        """Make the LMDB file at least this long, with a hole at its end that takes no room.

        LMDB does not write pages that a commit took and gave up again, so a sound file can be
        shorter than its meta page says: its length would not tell it from one that was cut short.
        """
        descriptor = os.open(self.path / DATA_FILE, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < size_bytes:
                os.ftruncate(descriptor, size_bytes)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def is_of_this_process(self) -> bool:
        """Tell whether this process opened the directory, and is not a fork of the one that did."""
        return os.getpid() == self._pid

    def disk_free_bytes(self) -> int:
        """Return the bytes that the file system would still give this user."""
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def release_ballast(self) -> bool:
        """Give the ballast back to the file system; False when there was none.

        The empty file that stays says that what there is of it is to be taken back.
        """
        ballast = self.path / BALLAST_FILE
        try:
            had_bytes = ballast.stat().st_size
            os.truncate(ballast, 0)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(self.path, error) from error
        return had_bytes > 0

    def restore_ballast(self, wanted_bytes: int = limits.BALLAST_BYTES) -> bool:
        """Take room for a ballast of this size; False when the disk cannot give all of it.

        Of one that was given up it takes what there is, of another one up to a quarter of that.
        """
        ballast = self.path / BALLAST_FILE
        try:
            is_there = ballast.exists()
            had_bytes = ballast.stat().st_size if is_there else 0
            if had_bytes > wanted_bytes:
                os.truncate(ballast, wanted_bytes)
            if had_bytes >= wanted_bytes:
                return True
            room_bytes = had_bytes + self.disk_free_bytes()
            share = 1 if is_there and not had_bytes else limits.BALLAST_DIVISOR
            size_bytes = min(wanted_bytes, room_bytes // share)
            return _reserve(ballast, size_bytes, had_bytes) == wanted_bytes
        except OSError as error:
            raise _unusable(self.path, error) from error

    def close(self) -> None:
        """Release the lock; a second call does nothing.

        A fork of this process shares the lock. The owner therefore unlocks it for all, while a
        fork only closes its copy.
        """
        _open_directories.discard(self)
        if self._lock_descriptor >= 0:
            if self.is_of_this_process():
                fcntl.flock(self._lock_descriptor, fcntl.LOCK_UN)
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def _make(self) -> None:
        if not self.path.exists():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):
                sync_directory(self.path.parent)
        elif not self.path.is_dir():
            raise StorageError(f"{self.path} is a file, not a directory for data")
        names = self._names()
        if names and self._format_new == _FORMAT_RESTORING_FILE:
            raise TargetExists(f"{self.path} is not empty; restore into a directory that is")
        if names and LOCK_FILE not in names:
            self._check_ours(names)

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path / LOCK_FILE, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DirectoryInUse(_in_use(self.path, holder)) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock_descriptor = descriptor
        _open_directories.add(self)

    def _open(self) -> None:
        names = self._names()
        self._check_ours(names)
        os.ftruncate(self._lock_descriptor, 0)
        os.pwrite(self._lock_descriptor, f"{self._pid}\n".encode("ascii"), 0)
        if FORMAT_FILE not in names:
            self._begin()
            return
        self._is_of_older_format = _read_format(self.path / FORMAT_FILE) < FORMAT_VERSION
        if DATA_FILE not in names:
            raise StorageCorrupt(
                f"{self.path} has lost its {DATA_FILE}; restore it, or start in an empty directory"
            )
        self.data_bytes = inspect_lmdb_file(self.path / DATA_FILE).data_bytes

    def _names(self) -> set[str]:
        return {entry.name for entry in self.path.iterdir()}

    def _check_ours(self, names: set[str]) -> None:
        """Raise StorageError unless the directory is empty, complete, or was being made."""
        if _FORMAT_RESTORING_FILE in names:
            raise StorageError(
                f"{self.path} holds half a restore; remove it, and restore the backup again"
            )
        is_being_made = _FORMAT_NEW_FILE in names and names <= _MAKING_FILES
        if FORMAT_FILE not in names and not is_being_made and not names <= {LOCK_FILE}:
            raise StorageError(
                f"{self.path} is not empty and was not made by crdtstore"
                f" (it has no {FORMAT_FILE} file); it is left alone"
            )

    def _begin(self) -> None:
        """Start a new directory, after clearing what an interrupted start left behind."""
        for name in (DATA_FILE, _READERS_FILE, BALLAST_FILE):
            (self.path / name).unlink(missing_ok=True)
        self._write_format()

    def _write_format(self) -> None:
        """Write the format into a file that does not have its name yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(self.path / self._format_new, flags, 0o600)
        try:
            os.write(descriptor, f"crdtstore {FORMAT_VERSION}\n".encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(self.path)


def ballast_bytes(data_bytes: int) -> int:
    """Return how large the ballast beside so many bytes of data should be."""
    steps = data_bytes // limits.BALLAST_DATA_DIVISOR // limits.BALLAST_STEP_BYTES
    wanted_bytes = max(steps * limits.BALLAST_STEP_BYTES, limits.BALLAST_BYTES_MIN)
    return min(wanted_bytes, limits.BALLAST_BYTES)


def _reserve(ballast: Path, size_bytes: int, had_bytes: int) -> int:
    """Enlarge the ballast to so many bytes, or as far as there is room; return its size."""
    descriptor = os.open(ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while size_bytes - had_bytes >= limits.BALLAST_STEP_BYTES:
            try:
                os.posix_fallocate(descriptor, 0, size_bytes)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP):
                    raise
                os.ftruncate(descriptor, had_bytes)
                size_bytes -= max((size_bytes - had_bytes) // 4, limits.BALLAST_STEP_BYTES)
            else:
                return size_bytes
    finally:
        os.close(descriptor)
    return had_bytes


def _read_format(path: Path) -> int:
    """Return the format of a directory; raises FormatTooNew or StorageCorrupt."""
    with path.open("rb") as file:
        text = file.read(64)
    match = _FORMAT_TEXT.fullmatch(text)
    if match is None:
        raise StorageCorrupt(f"{path} is unreadable: it begins with {text[:24]!r}")
    version = int(match[1])
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{path.parent} has format {version}, and this crdtstore reads up to"
            f" {FORMAT_VERSION}: use the newer crdtstore that wrote it"
        )
    if version < 1:
        raise StorageCorrupt(f"{path} is unreadable: there is no format {version}")
    return version


def _in_use(path: Path, holder: str) -> str:
    if holder == str(os.getpid()):
        return f"{path} is already open in this process ({holder})"
    if holder.isdigit():
        return f"{path} is in use by process {holder}"
    return f"{path} is in use by another process"


def _unusable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be used: {error.strerror or error}")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_locks_after_fork() -> None:
    """Close the child's copies of the locks: else they would outlive a parent that is killed."""
    for directory in list(_open_directories):
        directory.close()


os.register_at_fork(after_in_child=_drop_locks_after_fork)
