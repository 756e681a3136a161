"""Reading from an LMDB environment: short transactions, so that freed pages can be used again."""

from abc import ABC, abstractmethod
from typing import Final, NamedTuple, TypeAlias

import lmdb

from crdtstore.errors import StorageCorrupt, StorageError, StorageFailed
from crdtstore.storage.document_packing import DocumentPacking
from crdtstore.storage.journal_packing import unpacked_head, unpacked_record
from crdtstore.storage.mapped_memory import MappedPages
from crdtstore.storage.sealing import meta_place, unsealed, waypoint_place

Table: TypeAlias = "lmdb._Database"


class Tables(NamedTuple):
    """The tables of an environment, in the order in which they are opened."""

    documents: Table
    journal: Table
    waypoints: Table
    meta: Table
    indexes: Table


_UNBOUNDED: Final = 2**63
_PAGES_OF_A_READ: Final = 2
_PAGES_OF_A_SCAN: Final = 16

DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)
"""The errors with which LMDB says that its file is not what it wrote."""


class LmdbReader(ABC):
    """The reading half of a Storage on LMDB; who inherits it opens and closes the environment."""

    _environment: lmdb.Environment
    _tables: Tables
    packing: DocumentPacking

    _mapped: MappedPages

    @abstractmethod
    def check_open(self) -> None:
        """Raise StorageFailed if the environment is closed, or was opened before a fork."""

    def shed(self) -> None:
        """Let go of pages of the data file that were mapped, if they are many."""
        self._mapped.look()

    def _begin(self, pages: int) -> None:
        """Begin to read, which maps about so many pages and their neighbours."""
        self.check_open()
        self._mapped.note(pages)

    def document(self, key: bytes) -> bytes | None:
        """Return the document under a key, or None."""
        kept = self._get(self._tables.documents, key)
        return None if kept is None else self.packing.unpacked(kept)

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        self._begin(_PAGES_OF_A_SCAN)
        table = self._tables.documents
        try:
            with self._environment.begin(db=table) as transaction, transaction.cursor() as cursor:
                return scanned_documents(cursor, after, limit, bytes_max, self.packing)
        except lmdb.Error as error:
            raise read_failure(error) from error

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        assert limit > 0, "a scan needs a limit"
        self._begin(_PAGES_OF_A_SCAN)
        found: list[tuple[int, bytes]] = []
        total_bytes = 0
        try:
            with (
                self._environment.begin(db=self._tables.journal) as transaction,
                transaction.cursor() as cursor,
            ):
                is_there = cursor.set_range(key_of(after + 1))
                while is_there and len(found) < limit:
                    position = position_of(cursor.key())
                    record = unpacked_record(position, cursor.value())
                    total_bytes += len(record)
                    if total_bytes > bytes_max and found:
                        break
                    found.append((position, record))
                    is_there = cursor.next()
        except lmdb.Error as error:
            raise read_failure(error) from error
        return found

    def journal_headers(
        self, after: int, *, limit: int, header_bytes: int
    ) -> list[tuple[int, bytes]]:
        """Return the first ``header_bytes`` of the journal records above ``after``, in order."""
        assert limit > 0, "a scan needs a limit"
        self._begin(_PAGES_OF_A_SCAN)
        found: list[tuple[int, bytes]] = []
        try:
            with (
                self._environment.begin(db=self._tables.journal, buffers=True) as transaction,
                transaction.cursor() as cursor,
            ):
                is_there = cursor.set_range(key_of(after + 1))
                while is_there and len(found) < limit:
                    key, value = cursor.item()
                    position = position_of(key)
                    found.append((position, unpacked_head(position, value, header_bytes)))
                    is_there = cursor.next()
        except lmdb.Error as error:
            raise read_failure(error) from error
        return found

    def journal_bounds(self) -> tuple[int, int]:
        """Return the first and the last position of the journal, (0, 0) when it is empty."""
        self._begin(_PAGES_OF_A_READ)
        try:
            with (
                self._environment.begin(db=self._tables.journal) as transaction,
                transaction.cursor() as cursor,
            ):
                if not cursor.first():
                    return 0, 0
                first = position_of(cursor.key())
                cursor.last()
                return first, position_of(cursor.key())
        except lmdb.Error as error:
            raise read_failure(error) from error

    def waypoints(self) -> list[tuple[int, bytes]]:
        """Return all waypoints in position order."""
        found = self._scan(self._tables.waypoints, key_of(0), _UNBOUNDED, _UNBOUNDED)
        return [
            (position_of(key), unsealed(waypoint_place(position_of(key)), record))
            for key, record in found
        ]

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        record = self._get(self._tables.meta, name.encode())
        return None if record is None else unsealed(meta_place(name), record)

    def metas(self, prefix: str) -> dict[str, bytes]:
        """Return all named records whose name starts with ``prefix``, in order of their bytes."""
        start = prefix.encode()
        found = self._scan(self._tables.meta, start or b"\x00", _UNBOUNDED, _UNBOUNDED, start)
        records = {key.decode(): record for key, record in found}
        return {name: unsealed(meta_place(name), record) for name, record in records.items()}

    def index(self, prefix: bytes, after: bytes, *, limit: int) -> list[bytes]:
        """Return the first index keys above ``after`` that begin with ``prefix``, in order."""
        assert limit > 0, "a scan needs a limit"
        self._begin(_PAGES_OF_A_SCAN)
        found: list[bytes] = []
        try:
            with (
                self._environment.begin(db=self._tables.indexes) as transaction,
                transaction.cursor() as cursor,
            ):
                is_there = cursor.set_range(max(prefix, after + b"\x00" if after else prefix))
                while is_there and len(found) < limit:
                    key = cursor.key()
                    if not key.startswith(prefix):
                        break
                    found.append(key)
                    is_there = cursor.next()
        except lmdb.Error as error:
            raise read_failure(error) from error
        return found

    def index_range(
        self, lower: bytes, upper: bytes, *, limit: int, is_down: bool = False
    ) -> list[bytes]:
        """Return the first index keys from ``lower`` on and below ``upper``; or the last ones."""
        assert limit > 0, "a scan needs a limit"
        self._begin(_PAGES_OF_A_SCAN)
        found: list[bytes] = []
        try:
            with (
                self._environment.begin(db=self._tables.indexes) as transaction,
                transaction.cursor() as cursor,
            ):
                if is_down:
                    is_there = cursor.prev() if cursor.set_range(upper) else cursor.last()
                    keys = cursor.iterprev(values=False) if is_there else iter(())
                else:
                    keys = cursor.iternext(values=False) if cursor.set_range(lower) else iter(())
                for key in keys:
                    if len(found) == limit or not lower <= key < upper:
                        break
                    found.append(key)
        except lmdb.Error as error:
            raise read_failure(error) from error
        return found

    def _get(self, table: Table, key: bytes) -> bytes | None:
        self._begin(_PAGES_OF_A_READ)
        try:
            with self._environment.begin(db=table) as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise read_failure(error) from error

    def _scan(
        self, table: Table, start: bytes, limit: int, bytes_max: int, prefix: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        self._begin(_PAGES_OF_A_SCAN)
        try:
            with self._environment.begin(db=table) as transaction, transaction.cursor() as cursor:
                return scanned(cursor, start, limit, bytes_max, prefix)
        except lmdb.Error as error:
            raise read_failure(error) from error


def scanned(
    cursor: "lmdb.Cursor[bytes]", start: bytes, limit: int, bytes_max: int, prefix: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """Return the first records from ``start`` on that begin with a prefix, within the bounds."""
    assert limit > 0, "a scan needs a limit"
    found: list[tuple[bytes, bytes]] = []
    total_bytes = 0
    if not cursor.set_range(start):
        return found
    for key, value in cursor.iternext():
        total_bytes += len(value)
        if (total_bytes > bytes_max and found) or not key.startswith(prefix):
            break
        found.append((key, value))
        if len(found) >= limit:
            break
    return found


def scanned_documents(
    cursor: "lmdb.Cursor[bytes]", after: bytes, limit: int, bytes_max: int, packing: DocumentPacking
) -> list[tuple[bytes, bytes]]:
    """Return the first documents whose key is above ``after``, within the bounds."""
    assert limit > 0, "a scan needs a limit"
    found: list[tuple[bytes, bytes]] = []
    total_bytes = 0
    if not cursor.set_range(after + b"\x00"):
        return found
    for key, kept in cursor.iternext():
        record = packing.unpacked(kept)
        total_bytes += len(record)
        if total_bytes > bytes_max and found:
            break
        found.append((key, record))
        if len(found) >= limit:
            break
    return found


def key_of(position: int) -> bytes:
    """Return the key under which LMDB keeps a journal position: it sorts as the number does."""
    return position.to_bytes(8, "big")


def position_of(key: bytes | memoryview) -> int:
    """Return the journal position that a key stands for."""
    return int.from_bytes(key, "big")


def read_failure(error: lmdb.Error) -> StorageError:
    """Return the error of the storage that an error of LMDB while reading is."""
    if isinstance(error, DAMAGE):
        return StorageCorrupt(f"the data file is damaged: {error}")
    return StorageFailed(f"the data file cannot be read: {error}")
