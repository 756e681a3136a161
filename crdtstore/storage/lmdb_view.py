"""The documents of an LMDB environment as they are at one moment, read while commits go on.

A read transaction pins the moment. The map must not move under it, so whoever lets the map grow
closes the view first; a lock keeps that from happening in the middle of a read.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from crdtstore.storage.contract import CopyInterrupted
from crdtstore.storage.document_packing import DocumentPacking
from crdtstore.storage.lmdb_reader import Tables, read_failure, scanned_documents
from crdtstore.storage.sealing import meta_place, unsealed


class LmdbView:
    """A StorageView of an LMDB environment; ``has_ended`` when it no longer reads the map."""

    def __init__(
        self, environment: lmdb.Environment, tables: Tables, packing: DocumentPacking
    ) -> None:
        self.has_ended = False
        self._lock = threading.Lock()
        self._tables = tables
        self._packing = packing
        try:
            self._transaction = environment.begin()
        except lmdb.Error as error:
            raise read_failure(error) from error

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        with self._reading(), self._transaction.cursor(self._tables.documents) as cursor:
            return scanned_documents(cursor, after, limit, bytes_max, self._packing)

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        with self._reading():
            record = self._transaction.get(name.encode(), db=self._tables.meta)
        return None if record is None else unsealed(meta_place(name), record)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self.has_ended:
                raise CopyInterrupted("the view ended: the map had to grow, or the storage closed")
            try:
                yield
            except lmdb.Error as error:
                raise read_failure(error) from error

    def close(self) -> None:
        """End the view; a second call does nothing."""
        with self._lock:
            if not self.has_ended:
                self.has_ended = True
                self._transaction.abort()
