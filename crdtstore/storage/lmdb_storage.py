"""The storage on LMDB: one file, one transaction per commit, on the disk when it returns.

LMDB runs with sync and metasync on (without them a power cut loses or ruins the file) and without
writemap (a full disk would end the process). Readahead is on: recovery, digests and snapshots scan,
and a cold scan is ten times faster with it; a cold random read takes twice as long. Every read is a
short transaction: an open one would keep LMDB from using freed pages again. The environment is
opened once per process.
"""

import errno
import os
from contextlib import suppress
from typing import Final

import lmdb

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageError, StorageFailed, StorageFull
from crdtstore.storage.compacting import compact, compacted_pages_max
from crdtstore.storage.contract import (
    Batch,
    MapFull,
    StorageSize,
    map_reserve_bytes,
)
from crdtstore.storage.directory import DATA_FILE, DataDirectory, ballast_bytes
from crdtstore.storage.document_packing import (
    DICTIONARY,
    SPARE_DICTIONARY,
    DocumentPacking,
    names_of,
    numbers_in,
)
from crdtstore.storage.hollowing import hollow_out
from crdtstore.storage.lmdb_copy import LmdbCopy
from crdtstore.storage.lmdb_opening import (
    MAP_STEP_BYTES,
    TABLE_NAMES,
    first_map_bytes,
    open_environment,
    open_failure,
)
from crdtstore.storage.lmdb_reader import LmdbReader, Table, Tables, read_failure, scanned
from crdtstore.storage.lmdb_view import LmdbView
from crdtstore.storage.lmdb_writing import PLAIN_FROM, check_batch, write_batch
from crdtstore.storage.mapped_memory import MappedPages
from crdtstore.storage.scrubbing import LmdbScrub

_META_PAGES: Final = 2
_SPARE_PAGES: Final = 256
_ALL: Final = 2**63
_SAMPLE_DOCUMENTS: Final = 100


class LmdbStorage(LmdbReader):
    """A Storage in a data directory; see ``crdtstore.storage.contract`` for what it promises.

    ``fingerprint`` names the device and inode of the data file. A new directory is complete when
    ``first`` is committed.
    """

    def __init__(
        self,
        directory: DataDirectory,
        *,
        map_bytes_initial: int = limits.MAP_BYTES_INITIAL,
        map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT,
        first: Batch | None = None,
    ) -> None:
        self._directory = directory
        self.packing = DocumentPacking()
        self._map_bytes_max = max(map_bytes_max // MAP_STEP_BYTES, 1) * MAP_STEP_BYTES
        self._is_closed = False
        self._is_failed = False
        self._is_reserve_open = False
        self._file_bytes = 0
        self._mapped = MappedPages(directory.path / DATA_FILE)
        self._copies: list[LmdbCopy | LmdbView] = []
        self._has_ended_copies = False
        self._scrub: LmdbScrub | None = None
        map_bytes = first_map_bytes(map_bytes_initial, self._map_bytes_max, directory.data_bytes)
        self._environment = open_environment(directory, map_bytes)
        try:
            self._take_tables()
            self._load_dictionaries()
            self._plain_from = self._readable(PLAIN_FROM) or b""
            if first is not None:
                self.commit(first)
            directory.complete()
            self.fingerprint = directory.fingerprint()
            with self._environment.begin() as transaction:
                self._last_used_bytes = self._used_bytes(transaction)
            self.restore_ballast()
        except BaseException:
            self._environment.close()
            raise

    def _take_tables(self) -> None:
        with self._environment.begin(write=True) as transaction:
            tables = [self._environment.open_db(name, txn=transaction) for name in TABLE_NAMES]
        self._tables = Tables(*tables)
        self._environment.reader_check()
        self._map_bytes = self._environment.info()["map_size"]
        self._page_bytes = self._environment.stat()["psize"]

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        map_bytes_initial: int = limits.MAP_BYTES_INITIAL,
        map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT,
    ) -> "LmdbStorage":
        """Open a data directory, or make one; it is locked until ``close``.

        Raises DirectoryInUse, FormatTooNew, StorageCorrupt, StorageFull, or StorageError when it
        cannot be used.
        """
        data_directory = DataDirectory(directory)
        try:
            return cls(
                data_directory,
                map_bytes_initial=map_bytes_initial,
                map_bytes_max=map_bytes_max,
            )
        except (lmdb.Error, OSError) as error:
            data_directory.close()
            raise open_failure(data_directory, error) from error
        except BaseException:
            data_directory.close()
            raise

    def commit(self, batch: Batch, *, is_relief: bool | None = None) -> None:
        """Make a batch durable, whole: appended, fsynced and visible when this returns.

        ``is_relief`` says whether it may use the reserve; None asks the batch.
        """
        self.check_open()
        is_relief = batch.is_relief() if is_relief is None else is_relief
        if self._is_failed:
            raise StorageFailed("an earlier commit failed; open the storage again to go on")
        check_batch(batch)
        try:
            self._extend_file(batch)
            with self._environment.begin(write=True) as transaction:
                try:
                    plain_from = write_batch(
                        transaction, self._tables, batch, self.packing, self._plain_from,
                        self._mapped,
                    )  # fmt: skip
                    self._check_reserve(transaction, is_relief)
                except BaseException:
                    self._end_copies()  # or the abort would wait until they are whole
                    raise
        except lmdb.MapFullError as error:
            raise self._map_full() from error
        except (lmdb.Error, OSError) as error:
            raise self._commit_failure(error, batch) from error
        self._plain_from = plain_from
        if batch.documents:
            self.packing.unwritten.clear()

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum. No commit may be running.

        A map must not move while it is read, so copies end. One that ended gives pages back, so
        the same batch may fit then.
        """
        self.check_open()
        self._end_copies()
        self._end_scrub()
        was_pinned, self._has_ended_copies = self._has_ended_copies, False
        if self._map_bytes >= self._map_bytes_max:
            return was_pinned
        try:
            with self._mapped.moving():
                self._environment.set_mapsize(min(2 * self._map_bytes, self._map_bytes_max))
            self._map_bytes = self._environment.info()["map_size"]
        except lmdb.Error as error:
            self._is_failed = True
            raise StorageFailed(f"the map of {self._map_bytes:,} bytes cannot grow: {error}") from (
                error
            )
        return True

    def size(self) -> StorageSize:
        """Return how full the storage is."""
        self.check_open()
        try:
            with self._environment.begin() as transaction:
                used_bytes = self._used_bytes(transaction)
                documents_bytes = (
                    self._pages_of(transaction, self._tables.documents) * self._page_bytes
                )
                documents_bytes = int(documents_bytes * self.packing.expansion)
            free_bytes = self._directory.disk_free_bytes()
        except lmdb.Error as error:
            raise read_failure(error) from error
        except OSError as error:
            raise StorageFailed(f"the disk cannot be read: {error.strerror}") from error
        return StorageSize(
            used_bytes, documents_bytes, self._map_bytes, self._map_bytes_max, free_bytes
        )

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits; False if the disk's was gone."""
        self.check_open()
        self._is_reserve_open = True
        return self._directory.release_ballast()

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its whole one."""
        self.check_open()
        self._is_reserve_open = False
        return self._directory.restore_ballast(ballast_bytes(self._last_used_bytes))

    def pinned_copy(self) -> LmdbCopy:
        """Return a copy of all that is committed now, not taken yet."""
        self.check_open()
        self._copies = [copy for copy in self._copies if not copy.has_ended]
        copy = LmdbCopy(self._environment)
        self._copies.append(copy)
        return copy

    def pinned_view(self) -> LmdbView:
        """Return a view of all documents that are committed now."""
        self.check_open()
        self._copies = [copy for copy in self._copies if not copy.has_ended]
        view = LmdbView(self._environment, self._tables, self.packing)
        self._copies.append(view)
        return view

    def scrub(self) -> LmdbScrub:
        """Begin to overwrite what was deleted; the file is opened anew for it, which ends copies.

        What LMDB kept in memory of pages that it wrote goes with that: it uses such buffers again.
        """
        self.check_open()
        self._end_copies()
        self._end_scrub()
        try:
            with self._mapped.moving():
                self._environment.close()
                self._environment = open_environment(self._directory, self._map_bytes)
            self._take_tables()
        except (lmdb.Error, OSError) as error:
            self._is_failed = True
            raise open_failure(self._directory, error) from error
        self._scrub = LmdbScrub(self._directory.path / DATA_FILE, self._environment)
        return self._scrub

    def _end_scrub(self) -> None:
        if self._scrub is not None:
            self._scrub.close()
            self._scrub = None

    def _end_copies(self) -> None:
        """End the copies and views under way, by the owner's thread or the one that commits."""
        for copy in self._copies:
            if not copy.has_ended:
                copy.close()
                self._has_ended_copies = True
        self._copies = []

    def close(self) -> None:
        """Release the file and its lock; a second call does nothing, nor does one after a fork."""
        if self._is_closed or not self._directory.is_of_this_process():
            return
        self._is_closed = True
        self._end_copies()
        self._end_scrub()
        with suppress(OSError, StorageError):
            has_room = self._directory.disk_free_bytes() >= limits.SHORT_DISK_BYTES
            if has_room and not self._is_failed:
                self._compact()
            self._close_environment()
            if has_room and not self._is_failed:
                hollow_out(self._directory.path / DATA_FILE)
        self._close_environment()
        self._directory.close()

    def _close_environment(self) -> None:
        with self._mapped.moving():
            self._environment.close()

    def _compact(self) -> None:
        """Give the tables the room that they need, if they take much more."""
        try:
            with self._environment.begin(write=True) as transaction:
                self._extend_by(compacted_pages_max(transaction, self._tables))
                compact(transaction, self._tables, self.packing, self._plain_from)
        except lmdb.MapFullError:
            return
        except lmdb.Error:
            self._is_failed = True

    def is_open(self) -> bool:
        """Say whether the storage can be used, by this process."""
        return not self._is_closed and self._directory.is_of_this_process()

    def check_open(self) -> None:
        """Raise StorageFailed if the storage was closed, or opened before a fork."""
        if not self._directory.is_of_this_process():
            raise StorageFailed(
                f"{self._directory.path} was opened before this process was forked;"
                " open it after the fork"
            )
        if self._is_closed:
            raise StorageFailed("the storage was closed")

    def _load_dictionaries(self) -> None:
        """Take in the dictionaries of documents; of a damaged one its second copy."""
        table = self._tables.meta
        with self._environment.begin() as transaction, transaction.cursor(table) as cursor:
            names = [
                name.decode()
                for beginning in (DICTIONARY, SPARE_DICTIONARY)
                for name, _ in scanned(cursor, beginning.encode(), _ALL, _ALL, beginning.encode())
            ]
        for number in sorted(numbers_in(names)):
            self.packing.take(number, self._readable(*names_of(number)))
        if names:
            self.documents(b"", limit=_SAMPLE_DOCUMENTS, bytes_max=_ALL)  # for their expansion

    def _readable(self, *names: str) -> bytes | None:
        """Return the first of some named records that is there and not damaged."""
        for name in names:
            with suppress(StorageCorrupt):
                if (record := self.meta(name)) is not None:
                    return record
        return None

    def has_room(self, size_bytes: int) -> bool:
        """Say whether batches of so many bytes in all will surely fit into map and disk."""
        pages = 4 * size_bytes // self._page_bytes + _SPARE_PAGES
        needed_bytes = pages * self._page_bytes
        if self._last_used_bytes + needed_bytes > self._room_bytes():
            return False
        try:
            return self._directory.disk_free_bytes() >= needed_bytes
        except OSError:
            return False  # the commit to LMDB meets it again, and says what it is

    def _check_reserve(self, transaction: "lmdb.Transaction[bytes]", is_relief: bool) -> None:
        """Raise MapFull, and so abort, when an ordinary batch would use up the reserve."""
        self._last_used_bytes = self._used_bytes(transaction)
        if not is_relief and self._last_used_bytes > self._room_bytes():
            raise self._map_full()

    def _room_bytes(self) -> int:
        reserve_bytes = 0 if self._is_reserve_open else map_reserve_bytes(self._map_bytes)
        return self._map_bytes - reserve_bytes

    def _used_bytes(self, transaction: "lmdb.Transaction[bytes]") -> int:
        pages = sum(self._pages_of(transaction, table) for table in (None, *self._tables))
        return (_META_PAGES + pages) * self._page_bytes

    def _pages_of(self, transaction: "lmdb.Transaction[bytes]", table: "Table | None") -> int:
        stat = transaction.stat(table) if table is not None else self._environment.stat()
        return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def _extend_file(self, batch: Batch) -> None:
        """Keep the file longer than the pages that any next commit can name."""
        records = len(batch.journal) + len(batch.documents) + len(batch.waypoints)
        records += len(batch.meta) + len(batch.index)
        self._extend_by(batch.size_bytes() // self._page_bytes + 4 * records)

    def _extend_by(self, pages: int) -> None:
        """Keep the file longer than so many more pages."""
        pages += _SPARE_PAGES
        needed_bytes = (self._environment.info()["last_pgno"] + 1 + pages) * self._page_bytes
        if needed_bytes > self._file_bytes:
            extended_bytes = needed_bytes + limits.FILE_EXTENSION_BYTES
            self._directory.extend_data(extended_bytes)
            if self._file_bytes and not self._is_reserve_open:
                self.restore_ballast()  # in proportion to the data, which grow
            self._file_bytes = extended_bytes

    def _map_full(self) -> MapFull:
        return MapFull(f"the map of {self._map_bytes:,} bytes is full")

    def _commit_failure(self, error: lmdb.Error | OSError, batch: Batch) -> StorageError:
        code = error.code if isinstance(error, lmdb.Error) else error.errno
        is_full = code in (errno.ENOSPC, errno.EDQUOT)
        if code == errno.EIO:
            try:
                free_bytes = self._directory.disk_free_bytes()
            except OSError:
                free_bytes = limits.FULL_DISK_BYTES + 2 * batch.size_bytes()
            is_full = free_bytes < limits.FULL_DISK_BYTES + 2 * batch.size_bytes()
        if is_full:
            return StorageFull(f"the disk of {self._directory.path} is full")
        self._is_failed = True
        return StorageFailed(f"a commit to {self._directory.path} failed: {error}")
