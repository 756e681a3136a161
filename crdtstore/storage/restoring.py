"""Restoring: from a checked backup to a complete data directory, or to nothing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb

from crdtstore import limits
from crdtstore.errors import BackupInvalid, StorageError
from crdtstore.storage.backup_file import (
    CheckedBackup,
    check_room,
    data_chunks,
    write_failure,
)
from crdtstore.storage.contract import Batch
from crdtstore.storage.directory import DATA_FILE, DataDirectory
from crdtstore.storage.lmdb_copy import LMDB_FORM
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_storage import LmdbStorage


def restore_directory(
    backup: CheckedBackup, directory: str | os.PathLike[str], first: Batch
) -> None:
    """Make a data directory of a backup, with ``first`` committed; it is complete last.

    The directory must be absent or empty. What fails leaves it so; what is killed leaves a
    directory that nobody opens. Raises TargetExists, BackupInvalid, StorageFull or StorageError.
    """
    if backup.manifest.form != LMDB_FORM:
        raise BackupInvalid(
            f"{backup.path} holds data of the form {backup.manifest.form!r}, and a data directory "
            f"on this machine takes {LMDB_FORM!r}"
        )
    with _restored(Path(directory)) as data_directory:
        path = data_directory.path / DATA_FILE
        try:
            _put_data(backup, path)
            data_directory.data_bytes = inspect_lmdb_file(path).data_bytes
            LmdbStorage(data_directory, first=first).close()
        except lmdb.Error as error:
            raise StorageError(f"{path} cannot be restored: {error}") from error
        except OSError as error:
            raise write_failure(path, error) from error


@contextlib.contextmanager
def _restored(path: Path) -> Iterator[DataDirectory]:
    """Give a directory to restore into; take away what was put there if that fails."""
    is_new = not path.exists()
    data_directory = DataDirectory(path, restoring=True)
    try:
        yield data_directory
    except BaseException:
        with contextlib.suppress(OSError):
            for entry in list(path.iterdir()):
                entry.unlink()
            if is_new:
                path.rmdir()
        raise
    finally:
        data_directory.close()


def _put_data(backup: CheckedBackup, path: Path) -> None:
    with backup.path.open("rb") as source, path.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        check_room(file, backup.data_bytes + limits.BALLAST_BYTES)
        for chunk in data_chunks(source, backup):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
