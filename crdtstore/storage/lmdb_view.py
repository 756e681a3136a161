"""The documents of an LMDB environment as they are at one moment, read while commits go on.

A read transaction pins the moment. The map must not move under it, so whoever lets the map grow
closes the view first; a lock keeps that from happening in the middle of a read.
"""

import threading

import lmdb

from crdtstore.storage.contract import CopyInterrupted
from crdtstore.storage.lmdb_reader import Table, read_failure, scanned


class LmdbView:
    """A StorageView of an LMDB environment; ``has_ended`` when it no longer reads the map."""

    def __init__(self, environment: lmdb.Environment, documents: Table) -> None:
        self.has_ended = False
        self._lock = threading.Lock()
        self._documents = documents
        try:
            self._transaction = environment.begin()
        except lmdb.Error as error:
            raise read_failure(error) from error

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        with self._lock:
            if self.has_ended:
                raise CopyInterrupted("the view ended: the map had to grow, or the storage closed")
            try:
                with self._transaction.cursor(self._documents) as cursor:
                    return scanned(cursor, after + b"\x00", limit, bytes_max)
            except lmdb.Error as error:
                raise read_failure(error) from error

    def close(self) -> None:
        """End the view; a second call does nothing."""
        with self._lock:
            if not self.has_ended:
                self.has_ended = True
                self._transaction.abort()
