"""A compacted copy of an LMDB environment as it is at one moment, taken while commits go on.

A read transaction pins the moment. LMDB writes the pages that it reaches into a pipe, in a thread
of its own and without Python's lock; freed pages, and what erased profiles left in them, stay
behind. Whoever closes the copy closes the pipe, which ends LMDB's thread within milliseconds: the
map must not move, nor go away, under it.
"""

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

import lmdb

from crdtstore import limits
from crdtstore.storage.contract import CopyInterrupted
from crdtstore.storage.lmdb_reader import read_failure

LMDB_FORM: Final = f"lmdb-{sys.byteorder}-endian"
"""Form of a copy: an LMDB file has the byte order of its machine."""


class LmdbCopy:
    """A StorageCopy of an LMDB environment; ``has_ended`` when it no longer reads the map."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self.form = LMDB_FORM
        self._environment = environment
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._is_started = False
        self._is_closing = False
        self._reading = -1
        self._failures: list[lmdb.Error] = []
        try:
            self._transaction = environment.begin()
        except lmdb.Error as error:
            raise read_failure(error) from error

    @property
    def has_ended(self) -> bool:
        """Whether the copy was taken, or closed."""
        return self._ended.is_set()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the copy, in any one thread."""
        with self._lock:
            if self._is_closing:
                raise CopyInterrupted("the copy was closed before it began")
            assert not self._is_started, "a copy can be taken once"
            self._is_started = True
            self._reading, writing = os.pipe()
            with contextlib.suppress(OSError):
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, limits.COPY_CHUNK_BYTES)
            thread = threading.Thread(target=self._write, args=(writing,), name="crdtstore-copy")
            thread.start()
        try:
            while chunk := self._next_chunk():
                yield chunk
        finally:
            with self._lock:
                self._close_reading()
            thread.join()
        if self._is_closing:
            raise CopyInterrupted("the copy was closed before it was whole")
        if self._failures:
            raise read_failure(self._failures[0])

    def close(self) -> None:
        """End the copy, and wait until LMDB reads no more for it."""
        self._is_closing = True
        with self._lock:
            self._close_reading()
            if not self._is_started:
                self._transaction.abort()
                self._ended.set()
        self._ended.wait()

    def _next_chunk(self) -> bytes:
        """Return the next bytes, none at the end. The lock is held for no longer than a read."""
        if self._is_closing:
            return b""
        with self._lock:
            return b"" if self._reading < 0 else os.read(self._reading, limits.COPY_CHUNK_BYTES)

    def _close_reading(self) -> None:
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1

    def _write(self, writing: int) -> None:
        try:
            self._environment.copyfd(writing, compact=True, txn=self._transaction)
        except lmdb.Error as error:
            self._failures.append(error)
        finally:
            os.close(writing)
            self._transaction.abort()
            self._ended.set()
