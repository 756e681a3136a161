"""The storage of a data directory: LMDB, and before it a log in which small commits are durable.

LMDB takes two syncs for a commit, its data and then its meta page. A commit of a few journal
records and named records is appended to the commit log instead, by one sync, and kept in memory as
well. The next commit that brings documents to rest, or one that the log has no room for, brings all
of them to LMDB, in its own transaction, whose named record "log" says which was the last:

    commit   small: log record n + 1, one sync      pending grows
             else:  LMDB: pending and the batch     pending is empty, the log starts again
    open     LMDB says n; log records n + 1 … are pending
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack

from crdtstore import limits
from crdtstore.errors import StorageError, StorageFailed, StorageFull
from crdtstore.storage.commit_log import CommitLog
from crdtstore.storage.contract import Batch, MapFull, Packing, StorageSize
from crdtstore.storage.lmdb_copy import LmdbCopy
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.lmdb_view import LmdbView
from crdtstore.storage.logged_reader import SEQUENCE, LoggedReader, Pending
from crdtstore.storage.scrubbing import LmdbScrub
from crdtstore.storage.witness import Witness

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class LoggedStorage(LoggedReader):
    """A Storage in a data directory; see ``crdtstore.storage.contract`` for what it promises.

    ``fingerprint`` names the device and inode of the data file, and the token of its witness (in
    ``witness_directory``, "" for the machine's memory).
    """

    def __init__(self, storage: LmdbStorage, directory: Path, witness_directory: str) -> None:
        self._lmdb = storage
        self._is_failed = False
        packed = storage.meta(SEQUENCE)
        self._sequence = 0 if packed is None else int(msgpack.unpackb(packed))
        self._log = CommitLog(directory, self._sequence)
        self._pending = Pending()
        for payload in self._log.payloads:
            journal, waypoints, meta = msgpack.unpackb(payload, use_list=False)
            self._pending.add(Batch(list(journal), [], list(waypoints), dict(meta)))
            self._sequence += 1
        self._witness = Witness(witness_directory, storage.fingerprint, self._sequence)
        self.fingerprint = f"{storage.fingerprint}:{self._witness.token}"
        self.packing: Packing = storage.packing

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        map_bytes_initial: int = limits.MAP_BYTES_INITIAL,
        map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT,
        witness_directory: str = "",
    ) -> "LoggedStorage":
        """Open a data directory, or make one; it is locked until ``close``.

        Raises DirectoryInUse, FormatTooNew, StorageCorrupt, StorageFull, or StorageError when it
        cannot be used.
        """
        storage = LmdbStorage.open(
            directory, map_bytes_initial=map_bytes_initial, map_bytes_max=map_bytes_max
        )
        try:
            return cls(storage, Path(directory), witness_directory)
        except BaseException:
            storage.close()
            raise

    # --- committing ---------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, whole, in the log or in LMDB."""
        self._lmdb.check_open()
        if self._is_failed:
            raise StorageFailed("an earlier commit failed; open the storage again to go on")
        payload = self._payload_of(batch)
        if payload is None:
            self._fold(batch)
        else:
            self._append(batch, payload)
        self._witness.note(self._sequence)

    def _payload_of(self, batch: Batch) -> bytes | None:
        """Return a batch as a record of the log, None if it goes to LMDB at once."""
        size_bytes = batch.size_bytes()
        if (
            batch.documents
            or batch.index
            or batch.trim_before
            or size_bytes > limits.LOGGED_BATCH_BYTES_MAX
        ):
            return None
        if not self._lmdb.has_room(self._pending.size_bytes + size_bytes):
            return None
        payload = _pack([batch.journal, batch.waypoints, list(batch.meta.items())])
        return payload if self._log.has_room(payload) else None

    def _append(self, batch: Batch, payload: bytes) -> None:
        try:
            self._log.append(self._sequence + 1, payload)
        except StorageError as error:
            self._is_failed = not isinstance(error, StorageFull)
            raise
        self._sequence += 1
        self._pending.add(batch)

    def _fold(self, batch: Batch) -> None:
        """Bring to LMDB what is pending, and a batch."""
        pending = self._pending.batch
        folded = Batch(
            journal=pending.journal + batch.journal,
            documents=batch.documents,
            waypoints=pending.waypoints + batch.waypoints,
            meta={**pending.meta, **batch.meta, SEQUENCE: _pack(self._sequence + 1)},
            index=batch.index,
            trim_before=batch.trim_before,
        )
        self._lmdb.commit(folded, is_relief=batch.is_relief())
        self._sequence += 1
        self._pending = Pending()
        self._log.rewind()

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum. No commit may be running."""
        return self._lmdb.grow()

    def shed(self) -> None:
        """Let go of pages of the data file that reads have mapped, if they are many."""
        self._lmdb.shed()

    def size(self) -> StorageSize:
        """Return how full the storage is."""
        size = self._lmdb.size()
        used_bytes = size.used_bytes + self._pending.size_bytes
        return replace(size, used_bytes=used_bytes)

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits; False if the disk's was gone."""
        return self._lmdb.release_ballast()

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its whole one."""
        return self._lmdb.restore_ballast()

    def pinned_copy(self) -> LmdbCopy:
        """Return a copy of all that is committed now; no commit may be running."""
        self._bring_home()
        return self._lmdb.pinned_copy()

    def scrub(self) -> LmdbScrub:
        """Begin to overwrite what was deleted; the log is overwritten at once."""
        self._bring_home()
        self._log.overwrite()
        return self._lmdb.scrub()

    def pinned_view(self) -> LmdbView:
        """Return a view of all documents that are committed now; the log has none."""
        return self._lmdb.pinned_view()

    def close(self) -> None:
        """Release file and lock; what no room was found for stays in the log."""
        if not self._lmdb.is_open():
            return
        try:
            if not self._is_failed:
                with suppress(StorageError):
                    self._bring_home()
                    self._log.give_back()
        finally:
            self._log.close()
            self._witness.close()
            self._lmdb.close()

    def _bring_home(self) -> None:
        """Bring to LMDB what is pending."""
        while self._pending.size_bytes or not self._log.is_empty:
            try:
                self._fold(Batch())
            except MapFull:
                if not self._lmdb.grow():
                    raise
            else:
                self._witness.note(self._sequence)
