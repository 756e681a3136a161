"""The storage of a data directory: LMDB, and before it a log in which small commits are durable.

LMDB takes two syncs for a commit, its data and then its meta page. A commit of a few journal
records and named records is appended to the commit log instead, by one sync, and kept in memory as
well. The next commit that brings documents to rest, or one that the log has no room for, brings all
of them to LMDB, in its own transaction, whose named record "log" says which was the last:

    commit   small: log record n + 1, one sync      pending grows
             else:  LMDB: pending and the batch     pending is empty, the log starts again
    seal     what is pending is sealed              the log goes on in its other half
    settle   LMDB: what is sealed and the batch     nothing is sealed, its half is free
    open     LMDB says n; log records n + 1 … are pending

Small commits go on, in the other half, while what is sealed and documents are brought to LMDB. So
LMDB always has all commits up to one, with documents of just that moment, and the log those after
it, whenever the process ends.
"""

import os
import threading
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
from crdtstore.storage.logged_reader import SEQUENCE, LoggedReader, Pending, joined
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
        self._home = threading.Lock()
        self._settling_bytes = 0
        self._sealed_sequence = self._sequence
        pending = Pending()
        for payload in self._log.payloads:
            journal, waypoints, meta = msgpack.unpackb(payload, use_list=False)
            pending.add(Batch(list(journal), [], list(waypoints), dict(meta)))
            self._sequence += 1
        self._unsettled = Pending(), pending
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
        if not self._lmdb.has_room(self._unsettled_bytes + self._settling_bytes + size_bytes):
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
        self._unsettled[1].add(batch)

    def _fold(self, batch: Batch) -> None:
        """Bring to LMDB what is pending, and a batch; waits for what is being settled."""
        with self._home:
            folded = _with_documents(joined(*self._unsettled), batch, self._sequence + 1)
            self._lmdb.commit(folded, is_relief=batch.is_relief())
            self._sequence += 1
            self._unsettled, self._sealed_sequence = (Pending(), Pending()), self._sequence
            self._log.rewind()

    # --- beside commits -----------------------------------------------------------------------

    @property
    def is_crowded(self) -> bool:
        """Whether the log fills up: what it holds should be settled."""
        return self._log.is_half_full

    def seal(self, batch: Batch) -> None:
        """Have ``settle`` bring home what was committed up to here, with this batch."""
        self._settling_bytes = batch.size_bytes()
        self._unsettled = joined(*self._unsettled), Pending()
        self._sealed_sequence = self._sequence
        self._log.seal()

    def settle(self, batch: Batch) -> None:
        """Bring to LMDB what is sealed, and a batch of documents, while small commits go on."""
        assert not batch.journal, "a commit has these"
        assert not batch.waypoints, "a commit has these"
        self._lmdb.check_open()
        with self._home:
            sealed = self._unsettled[0]
            settled = _with_documents(sealed, batch, self._sealed_sequence)
            try:
                self._lmdb.commit(settled, is_relief=batch.is_relief())
            except StorageError as error:
                self._is_failed |= not isinstance(error, StorageFull)
                raise
            self._settling_bytes = 0
            self._unsettled = Pending(), self._unsettled[1]
            self._log.release()

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum. No commit may be running."""
        return self._lmdb.grow()

    def shed(self) -> None:
        """Let go of pages of the data file that reads have mapped, if they are many."""
        self._lmdb.shed()

    def size(self) -> StorageSize:
        """Return how full the storage is."""
        size = self._lmdb.size()
        return replace(size, used_bytes=size.used_bytes + self._unsettled_bytes)

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits; False if the disk's was gone."""
        with self._home:
            return self._lmdb.release_ballast()

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its whole one."""
        with self._home:
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
        while self._unsettled_bytes or not self._log.is_empty:
            try:
                self._fold(Batch())
            except MapFull:
                if not self._lmdb.grow():
                    raise
            else:
                self._witness.note(self._sequence)


def _with_documents(pending: Pending, batch: Batch, sequence: int) -> Batch:
    """Return what is pending and a batch as one, up to a sequence."""
    return Batch(
        journal=pending.batch.journal + batch.journal,
        documents=batch.documents,
        waypoints=pending.batch.waypoints + batch.waypoints,
        meta={**pending.batch.meta, **batch.meta, SEQUENCE: _pack(sequence)},
        index=batch.index,
        trim_before=batch.trim_before,
    )
