"""The storage on LMDB: one file, one transaction per commit, on the disk when it returns.

LMDB runs with sync and metasync on (without them a power cut loses or ruins the file) and without
writemap (a full disk would end the process). Readahead is on: recovery, digests and snapshots scan,
and a cold scan is ten times faster with it; a cold random read takes twice as long. Every read is a
short transaction: an open one would keep LMDB from using freed pages again. The environment is
opened once per process.
"""

import errno
import os
from typing import Final, TypeAlias

import lmdb

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageError, StorageFailed, StorageFull
from crdtstore.storage.contract import Batch, MapFull, StorageSize, map_reserve_bytes
from crdtstore.storage.directory import DataDirectory

_Table: TypeAlias = "lmdb._Database"
_Writer: TypeAlias = "lmdb.Transaction[bytes]"

_TABLE_NAMES: Final = (b"documents", b"journal", b"waypoints", b"meta")
_MAP_STEP_BYTES: Final = 64 * limits.KIBIBYTE
_META_PAGES: Final = 2
_SPARE_PAGES: Final = 256
_UNBOUNDED: Final = 2**63
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)


class LmdbStorage:
    """A Storage in a data directory; see ``crdtstore.storage.contract`` for what it promises.

    ``fingerprint`` names the device and inode of the data file.
    """

    def __init__(
        self, directory: DataDirectory, *, map_bytes_initial: int, map_bytes_max: int
    ) -> None:
        self._directory = directory
        self._map_bytes_max = max(map_bytes_max // _MAP_STEP_BYTES, 1) * _MAP_STEP_BYTES
        self._is_closed = False
        self._is_failed = False
        self._is_reserve_open = False
        self._file_bytes = 0
        map_bytes = _first_map_bytes(map_bytes_initial, self._map_bytes_max, directory.data_bytes)
        self._environment = lmdb.open(
            str(directory.path),
            map_size=map_bytes,
            mode=0o600,
            sync=True,
            metasync=True,
            writemap=False,
            readahead=True,
            max_readers=limits.READERS_MAX,
            max_dbs=len(_TABLE_NAMES),
        )
        try:
            with self._environment.begin(write=True) as transaction:
                self._tables = [
                    self._environment.open_db(name, txn=transaction) for name in _TABLE_NAMES
                ]
            self._documents, self._journal, self._waypoints, self._meta = self._tables
            self._environment.reader_check()
            self._map_bytes = self._environment.info()["map_size"]
            self._page_bytes = self._environment.stat()["psize"]
            directory.complete()
            self.fingerprint = directory.fingerprint()
            directory.restore_ballast()
        except BaseException:
            self._environment.close()
            raise

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
            raise _open_failure(data_directory, error) from error
        except BaseException:
            data_directory.close()
            raise

    def document(self, key: bytes) -> bytes | None:
        """Return the document under a key, or None."""
        return self._get(self._documents, key)

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        return self._scan(self._documents, after + b"\x00", limit, bytes_max)

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        found = self._scan(self._journal, _key_of(after + 1), limit, bytes_max)
        return [(_position_of(key), value) for key, value in found]

    def journal_headers(
        self, after: int, *, limit: int, header_bytes: int
    ) -> list[tuple[int, bytes]]:
        """Return the first ``header_bytes`` of the journal records above ``after``, in order."""
        assert limit > 0, "a scan needs a limit"
        self._check_open()
        found: list[tuple[int, bytes]] = []
        try:
            with (
                self._environment.begin(db=self._journal, buffers=True) as transaction,
                transaction.cursor() as cursor,
            ):
                is_there = cursor.set_range(_key_of(after + 1))
                while is_there and len(found) < limit:
                    key, value = cursor.item()
                    found.append((_position_of(key), bytes(value[:header_bytes])))
                    is_there = cursor.next()
        except lmdb.Error as error:
            raise _read_failure(error) from error
        return found

    def journal_bounds(self) -> tuple[int, int]:
        """Return the first and the last position of the journal, (0, 0) when it is empty."""
        self._check_open()
        try:
            with (
                self._environment.begin(db=self._journal) as transaction,
                transaction.cursor() as cursor,
            ):
                if not cursor.first():
                    return 0, 0
                first = _position_of(cursor.key())
                cursor.last()
                return first, _position_of(cursor.key())
        except lmdb.Error as error:
            raise _read_failure(error) from error

    def waypoints(self) -> list[tuple[int, bytes]]:
        """Return all waypoints in position order."""
        found = self._scan(self._waypoints, _key_of(0), _UNBOUNDED, _UNBOUNDED)
        return [(_position_of(key), value) for key, value in found]

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        return self._get(self._meta, name.encode())

    def metas(self, prefix: str) -> dict[str, bytes]:
        """Return all named records whose name starts with ``prefix``, in order of their bytes."""
        start = prefix.encode()
        found = self._scan(self._meta, start or b"\x00", _UNBOUNDED, _UNBOUNDED, start)
        return {key.decode(): value for key, value in found}

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, whole: appended, fsynced and visible when this returns."""
        self._check_open()
        if self._is_failed:
            raise StorageFailed("an earlier commit failed; open the storage again to go on")
        _check_batch(batch)
        try:
            self._extend_file(batch)
            with self._environment.begin(write=True) as transaction:
                self._write(transaction, batch)
                self._check_reserve(transaction, batch)
        except lmdb.MapFullError as error:
            raise self._map_full() from error
        except (lmdb.Error, OSError) as error:
            raise self._commit_failure(error, batch) from error

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum. No commit may be running."""
        self._check_open()
        if self._map_bytes >= self._map_bytes_max:
            return False
        try:
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
        self._check_open()
        try:
            with self._environment.begin() as transaction:
                used_bytes = self._used_bytes(transaction)
            free_bytes = self._directory.disk_free_bytes()
        except lmdb.Error as error:
            raise _read_failure(error) from error
        except OSError as error:
            raise StorageFailed(f"the disk cannot be read: {error.strerror}") from error
        return StorageSize(used_bytes, self._map_bytes, self._map_bytes_max, free_bytes)

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits; False if the disk's was gone."""
        self._check_open()
        self._is_reserve_open = True
        return self._directory.release_ballast()

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its one."""
        self._check_open()
        self._is_reserve_open = False
        return self._directory.restore_ballast()

    def close(self) -> None:
        """Release the file and its lock; a second call does nothing, nor does one after a fork."""
        if self._is_closed or not self._directory.is_of_this_process():
            return
        self._is_closed = True
        self._environment.close()
        self._directory.close()

    def _check_open(self) -> None:
        if not self._directory.is_of_this_process():
            raise StorageFailed(
                f"{self._directory.path} was opened before this process was forked;"
                " open it after the fork"
            )
        if self._is_closed:
            raise StorageFailed("the storage was closed")

    def _get(self, table: _Table, key: bytes) -> bytes | None:
        self._check_open()
        try:
            with self._environment.begin(db=table) as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise _read_failure(error) from error

    def _scan(
        self, table: _Table, start: bytes, limit: int, bytes_max: int, prefix: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        assert limit > 0, "a scan needs a limit"
        self._check_open()
        found: list[tuple[bytes, bytes]] = []
        total_bytes = 0
        try:
            with self._environment.begin(db=table) as transaction, transaction.cursor() as cursor:
                if not cursor.set_range(start):
                    return found
                for key, value in cursor.iternext():
                    total_bytes += len(value)
                    if (total_bytes > bytes_max and found) or not key.startswith(prefix):
                        break
                    found.append((key, value))
                    if len(found) >= limit:
                        break
        except lmdb.Error as error:
            raise _read_failure(error) from error
        return found

    def _write(self, transaction: _Writer, batch: Batch) -> None:
        for position, value in batch.journal:
            is_last = transaction.put(_key_of(position), value, append=True, db=self._journal)
            assert is_last, f"journal position {position} does not follow the last one"
        changes = dict(batch.documents)
        for key in sorted(changes):
            _change(transaction, self._documents, key, changes[key])
        for position, value in batch.waypoints:
            transaction.put(_key_of(position), value, db=self._waypoints)
        for name, record in batch.meta.items():
            _change(transaction, self._meta, name.encode(), record)
        if batch.trim_before:
            self._trim(transaction, batch.trim_before)

    def _trim(self, transaction: _Writer, trim_before: int) -> None:
        with transaction.cursor(self._journal) as cursor:
            if not cursor.last():
                return
            bound = min(trim_before, _position_of(cursor.key()))
            cursor.first()
            for _ in range(limits.TRIM_RECORDS_MAX):
                if _position_of(cursor.key()) >= bound:
                    break
                cursor.delete()
            bound = min(bound, _position_of(cursor.key()))
        with transaction.cursor(self._waypoints) as cursor:
            is_there = cursor.first()
            for _ in range(limits.TRIM_RECORDS_MAX):
                if not is_there or _position_of(cursor.key()) >= bound:
                    break
                cursor.delete()
                is_there = bool(cursor.key())

    def _check_reserve(self, transaction: _Writer, batch: Batch) -> None:
        """Raise MapFull, and so abort, when an ordinary batch would use up the reserve."""
        if self._is_reserve_open or batch.is_relief():
            return
        room_bytes = self._map_bytes - map_reserve_bytes(self._map_bytes)
        if self._used_bytes(transaction) > room_bytes:
            raise self._map_full()

    def _used_bytes(self, transaction: "lmdb.Transaction[bytes]") -> int:
        pages = _META_PAGES
        for table in (None, *self._tables):
            stat = transaction.stat(table) if table is not None else self._environment.stat()
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * self._page_bytes

    def _extend_file(self, batch: Batch) -> None:
        """Keep the file longer than the pages that any next commit can name."""
        records = len(batch.journal) + len(batch.documents) + len(batch.waypoints) + len(batch.meta)
        pages = batch.size_bytes() // self._page_bytes + 4 * records + _SPARE_PAGES
        needed_bytes = (self._environment.info()["last_pgno"] + 1 + pages) * self._page_bytes
        if needed_bytes > self._file_bytes:
            extended_bytes = needed_bytes + limits.FILE_EXTENSION_BYTES
            self._directory.extend_data(extended_bytes)
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


def _change(transaction: _Writer, table: _Table, key: bytes, value: bytes | None) -> None:
    if value is None:
        transaction.delete(key, db=table)
    else:
        transaction.put(key, value, db=table)


def _check_batch(batch: Batch) -> None:
    assert len(batch.documents) <= limits.BATCH_DOCUMENTS_MAX, "a batch has too many documents"
    for key, _ in batch.documents:
        assert 0 < len(key) <= limits.DOCUMENT_KEY_BYTES_MAX, f"a key has {len(key)} bytes"
    assert all(batch.meta), "a meta record needs a name"


def _key_of(position: int) -> bytes:
    return position.to_bytes(8, "big")


def _position_of(key: bytes | memoryview) -> int:
    return int.from_bytes(key, "big")


def _first_map_bytes(map_bytes_initial: int, map_bytes_max: int, data_bytes: int) -> int:
    """Return the smallest doubling of the initial map that holds the data and its reserve.

    LMDB itself enlarges a map that is smaller than the data.
    """
    map_bytes = max(map_bytes_initial // _MAP_STEP_BYTES, 1) * _MAP_STEP_BYTES
    while map_bytes - map_reserve_bytes(map_bytes) < data_bytes:
        map_bytes *= 2
    return min(map_bytes, map_bytes_max)


def _open_failure(directory: DataDirectory, error: lmdb.Error | OSError) -> StorageError:
    code = error.code if isinstance(error, lmdb.Error) else error.errno
    if isinstance(error, _DAMAGE):
        return StorageCorrupt(f"{directory.path} is damaged: {error}")
    if code in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"the disk of {directory.path} is full")
    return StorageError(f"{directory.path} cannot be opened: {error}")


def _read_failure(error: lmdb.Error) -> StorageError:
    if isinstance(error, _DAMAGE):
        return StorageCorrupt(f"the data file is damaged: {error}")
    return StorageFailed(f"the data file cannot be read: {error}")
