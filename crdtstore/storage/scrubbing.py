"""Scrubbing: writing zeros over everything in a data file that was deleted from it.

LMDB deletes by forgetting. A scrub holds one state of the file by a read transaction, and goes
through it in steps, between which commits go on:

    1. The gaps of the pages in use become zeros. Nothing reads them, and while the state is held
       no commit writes to these pages: a commit writes each page it changes to a free one.
    2. The pages that were free then, and still are, become zeros; so does the end of the file.

Before it the environment was opened anew: LMDB writes pages from buffers that it uses again, with
what a page had before in its gap. New buffers are empty, so what is written later needs no scrub.

A power cut in the middle leaves some bytes zero that mean nothing, and others not.
"""

import os
from collections.abc import Generator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

import lmdb

from crdtstore import limits
from crdtstore.errors import StorageFailed
from crdtstore.storage.contract import ScrubInterrupted
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_pages import free_pages, used_pages
from crdtstore.storage.lmdb_reader import read_failure

_ZEROS: Final = bytes(64 * limits.KIBIBYTE)


class LmdbScrub:
    """One scrub of a data file: ``step`` between commits until it says that it is done.

    No commit may run during a step, or while the scrub is made.
    """

    def __init__(self, path: Path, environment: lmdb.Environment) -> None:
        self._path = path
        self._is_closed = False
        try:
            self._transaction = environment.begin()
        except lmdb.Error as error:
            raise read_failure(error) from error
        self._state = inspect_lmdb_file(path)
        self._used = bytearray(self._state.last_page + 1)
        self._steps = self._scrub()

    def step(self) -> bool:
        """Scrub some more of the file; return whether all is done, and on the disk.

        Raises ScrubInterrupted if it was closed, StorageFailed if the file cannot be written.
        """
        if self._is_closed:
            raise ScrubInterrupted("the scrub was ended, and has to begin anew")
        try:
            return next(self._steps, None) is None
        except OSError as error:
            raise StorageFailed(f"{self._path} cannot be scrubbed: {error.strerror}") from error

    def close(self) -> None:
        """Let the state of the file go; a second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._steps.close()
            self._transaction.abort()

    def _scrub(self) -> Generator[int, None, None]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield from self._scrub_gaps(descriptor)
            yield from self._scrub_free(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _scrub_gaps(self, descriptor: int) -> Generator[int, None, None]:
        state, used = self._state, self._used
        used[:2] = b"\x01\x01"
        with mmap(descriptor, state.data_bytes, access=ACCESS_READ) as content:
            pages = used_pages(content, state.page_bytes, state.roots)
            for number, (first, size, gap) in enumerate(pages, 1):
                used[first : first + size] = b"\x01" * size
                _put_zeros(descriptor, content, gap.start, gap.end)
                if number % limits.SCRUB_STEP_PAGES == 0:
                    yield number

    def _scrub_free(self, descriptor: int) -> Generator[int, None, None]:
        """Scrub what was free in the state that is held, and still is: look anew in each step."""
        waiting = {page for page, is_used in enumerate(self._used) if not is_used}
        while True:
            now = inspect_lmdb_file(self._path)
            with mmap(descriptor, now.data_bytes, access=ACCESS_READ) as content:
                free = set(free_pages(content, now.page_bytes, now.roots[0]))
                waiting &= free
                for _ in range(min(limits.SCRUB_STEP_PAGES, len(waiting))):
                    start = waiting.pop() * now.page_bytes
                    _put_zeros(descriptor, content, start, start + now.page_bytes)
            if not waiting:
                break
            yield len(waiting)
        size_bytes = os.fstat(descriptor).st_size
        os.ftruncate(descriptor, now.data_bytes)
        os.ftruncate(descriptor, size_bytes)


def _put_zeros(descriptor: int, content: mmap, start: int, end: int) -> None:
    """Write zeros over a part of a file, where it has anything else."""
    while start < end:
        size_bytes = min(end - start, len(_ZEROS))
        zeros = _ZEROS[:size_bytes]
        if content[start : start + size_bytes] != zeros:
            os.pwrite(descriptor, zeros, start)
        start += size_bytes
