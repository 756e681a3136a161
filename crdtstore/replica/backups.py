"""Backups: everything durable at one moment, in one file, and a data directory from it.

    manifest = await replica.backups.write("eu.backup")     # while the replica works on
    restore_backup("eu.backup", "./eu")                     # the next open is a new incarnation

A backup has one moment: its manifest tells the digest of just what its data holds. Form and checks
of the file are in ``crdtstore.storage.backup_file``.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from crdtstore import limits
from crdtstore.engine.digests import StoreDigest
from crdtstore.engine.identity import RESTORED, stored_identity
from crdtstore.engine.returning import AWAITED
from crdtstore.errors import StorageError, StorageFailed
from crdtstore.group_commit import GroupCommit
from crdtstore.schema import UNREAD
from crdtstore.storage.backup_file import (
    BACKUP_FORMAT,
    Manifest,
    check_backup,
    check_room,
    new_file,
    write_backup,
    write_failure,
)
from crdtstore.storage.contract import Batch, CopyInterrupted, StorageCopy
from crdtstore.storage.directory import FORMAT_FILE
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.restoring import restore_directory
from crdtstore.store import Store

__all__ = [
    "Backups",
    "Manifest",
    "check_backup",
    "new_file",
    "restore_backup",
    "write_directory_backup",
    "write_store_backup",
]

_T = TypeVar("_T")


class Backups:
    """Backups of a running replica, one at a time; writers and links go on meanwhile.

    A copy is written in worker threads. If the map of the store must grow meanwhile, the copy is
    begun anew, of a later moment. ``directory`` is that of the data, None if there is none.
    """

    def __init__(self, store: Store, commits: GroupCommit, directory: Path | None) -> None:
        self._store = store
        self._commits = commits
        self.directory = directory
        self._lock = asyncio.Lock()

    async def write(self, path: str | os.PathLike[str]) -> Manifest:
        """Write a backup into a new file, which has its name when it is whole and on the disk.

        Raises TargetExists, StorageFull if the file's disk has no room, StorageError.
        """
        used_bytes = self._store.storage.size().used_bytes

        def write_named(manifest: Manifest, copy: StorageCopy) -> Manifest:
            with new_file(path) as file:
                check_room(file, used_bytes)
                write_backup(file, manifest, copy.chunks())
            return manifest

        return await self._taken(write_named)

    async def nameless(self) -> BinaryIO:
        """Return a backup in a file without a name, beside the data, to be read from its start.

        It is gone when it is closed, and when the process ends. Raises StorageFull, StorageError.
        """
        used_bytes = self._store.storage.size().used_bytes

        def write_nameless(manifest: Manifest, copy: StorageCopy) -> BinaryIO:
            file: BinaryIO = tempfile.TemporaryFile(dir=self.directory)  # noqa: SIM115
            try:
                check_room(file, used_bytes)
                write_backup(file, manifest, copy.chunks())
                file.seek(0)
            except BaseException:
                file.close()
                raise
            return file

        return await self._taken(write_nameless)

    async def _taken(self, write: Callable[[Manifest, StorageCopy], _T]) -> _T:
        async with self._lock:
            for _ in range(limits.BACKUP_ATTEMPTS_MAX):
                digest, copy = await self._commits.pinned()
                manifest = _manifest_of(self._store, digest, copy.form)
                try:
                    return await asyncio.to_thread(write, manifest, copy)
                except CopyInterrupted:
                    continue
                except OSError as error:
                    where = self.directory or Path(tempfile.gettempdir())
                    raise write_failure(where, error) from error
                finally:
                    copy.close()
        raise StorageFailed("the map grew during every attempt at a backup; try again later")


def write_store_backup(store: Store, path: str | os.PathLike[str]) -> Manifest:
    """Make a store durable, and write a backup of it into a new file; nothing else runs meanwhile.

    Raises TargetExists, StorageFull or StorageError.
    """
    store.commit()
    copy = store.storage.pinned_copy()
    try:
        manifest = _manifest_of(store, store.digest(), copy.form)
        with new_file(path) as file:
            check_room(file, store.storage.size().used_bytes)
            write_backup(file, manifest, copy.chunks())
    finally:
        copy.close()
    return manifest


def write_directory_backup(
    directory: str | os.PathLike[str], path: str | os.PathLike[str]
) -> Manifest:
    """Write a backup of a data directory that no process has open.

    Raises DirectoryInUse, TargetExists, StorageFull or StorageError.
    """
    with open_as_it_is(directory) as store:
        return write_store_backup(store, path)


def open_as_it_is(directory: str | os.PathLike[str]) -> Store:
    """Open the store of a stopped replica to copy it; its indexes stay, whatever they are.

    Raises DirectoryInUse or StorageError.
    """
    if not (Path(directory) / FORMAT_FILE).exists():
        raise StorageError(f"{directory} is no data directory of crdtstore")
    storage = LoggedStorage.open(directory)
    try:
        identity = stored_identity(storage)
        if identity is None:
            raise StorageError(f"{directory} was never used: there is nothing to copy")
        return Store.open(storage, name=identity.name, space=identity.space, schema=UNREAD)
    except BaseException:
        storage.close()
        raise


def restore_backup(
    path: str | os.PathLike[str], directory: str | os.PathLike[str], *, alone: bool = False
) -> Manifest:
    """Check a backup, and make a data directory of it, which must be absent or empty.

    Whoever opens it takes a new incarnation before the first write, and shows nothing before it has
    met a peer, which knows who was erased since the backup; unless it is ``alone``. Raises
    BackupInvalid, FormatTooNew, TargetExists, StorageFull or StorageError.
    """
    backup = check_backup(path)
    marks: dict[str, bytes | None] = {RESTORED: b"1"}
    if not alone:
        marks[AWAITED] = b"1"
    restore_directory(backup, directory, Batch(meta=marks))
    return backup.manifest


def _manifest_of(store: Store, digest: StoreDigest, form: str) -> Manifest:
    identity = store.replication.identity
    return Manifest(
        format=BACKUP_FORMAT,
        form=form,
        space=identity.space,
        name=identity.name,
        origin=f"{identity.origin:016x}",
        taken_at=datetime.fromtimestamp(store.now_ms() / 1000, UTC).isoformat(),
        profiles=digest.profiles,
        digest=digest.digest,
        vector=digest.vector,
    )
