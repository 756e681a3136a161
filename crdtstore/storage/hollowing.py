"""Hollowing: giving the room of pages that hold nothing back to the file system.

LMDB keeps the pages that it freed, to use them again. When a directory is closed they are made
holes: they read as zeros, and take room again when LMDB writes there. Before that they are
overwritten, and so is the commit log before it is cut: what was deleted shall not stay on the disk
in blocks that no scrub reaches any more (see ``scrubbing``).
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from crdtstore import limits
from crdtstore.storage.lmdb_file import inspect_lmdb_file
from crdtstore.storage.lmdb_pages import free_pages

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02


def hollow_out(path: Path) -> None:
    """Make holes of the free pages of an LMDB file that nobody has open, as far as it can be done.

    Where the file system has no holes, nothing but zeros comes of it. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        state = inspect_lmdb_file(path)
        page_bytes = state.page_bytes
        with mmap(descriptor, state.data_bytes, access=ACCESS_READ) as content:
            found = free_pages(content, page_bytes, state.roots[0])
            pages = sorted(islice(found, limits.HOLLOWED_PAGES_MAX))
            if len(pages) < limits.HOLLOWED_PAGES_MIN:
                return
            runs = list(_runs(pages))
            zeros = bytes(page_bytes)
            for page in pages:
                start = page * page_bytes
                if content[start : start + page_bytes] != zeros:
                    os.pwrite(descriptor, zeros, start)
        os.fsync(descriptor)
        for first, count in runs:
            _punch(descriptor, first * page_bytes, count * page_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _runs(pages: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, number) of pages that follow each other."""
    first, count = 0, 0
    for page in pages:
        if count and page == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = page, 1
    if count:
        yield first, count


def _punch(descriptor: int, start: int, size_bytes: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    mode = ctypes.c_int(_PUNCH_HOLE | _KEEP_SIZE)
    libc.fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(size_bytes))
