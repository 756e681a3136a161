"""Mapped memory: pages of files that this process has in memory, as Linux tells of them."""

import ctypes
import mmap
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crdtstore import limits

_STATM: Final = "/proc/self/statm"
_STATM_BYTES: Final = 256
_MAPS: Final = Path("/proc/self/maps")
_LEFT_REMEMBERED: Final = 8
_LIBC: Final = ctypes.CDLL(None)


class MappedPages:
    """The pages of a file that LMDB has mapped: all are let go when they are many.

    They stay in the system's cache, and are mapped again as they are read, by whoever reads them
    just then. Any thread may look.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched = 0
        self._left_bytes = deque([mapped_bytes()], maxlen=_LEFT_REMEMBERED)
        self._lock = threading.Lock()
        self._places: list[tuple[int, int]] = []

    def note(self, pages: int) -> None:
        """Take note that so many pages are about to be touched; look now and then."""
        self._touched += pages
        if self._touched >= limits.PAGES_PER_LOOK:
            self.look()

    def look(self) -> None:
        """Let go of all pages if more are mapped than are allowed beside what is left then.

        Others map pages of it before this thread can see what is left: the least counts. Nobody
        waits where another thread is just doing the same.
        """
        self._touched = 0
        is_much = mapped_bytes() - min(self._left_bytes) > limits.MAPPED_BYTES_MAX
        if is_much and self._lock.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._lock.release()
            self._left_bytes.append(mapped_bytes())

    def _let_go(self) -> None:
        self._places = self._places or places_of(self._path)
        for start, length in self._places:
            _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Let nobody look while the file is mapped elsewhere, or no longer, in the block.

        What lies at the old place then is somebody else's memory.
        """
        with self._lock:
            self._places = []
            yield


def mapped_bytes() -> int:
    """Return how much memory of this process are pages of files, 0 if the system does not tell."""
    try:
        statm = os.open(_STATM, os.O_RDONLY)
    except OSError:
        return 0
    try:
        return int(os.read(statm, _STATM_BYTES).split()[2]) * mmap.PAGESIZE
    finally:
        os.close(statm)


def places_of(path: Path) -> list[tuple[int, int]]:
    """Return where a file is mapped for reading in this process: (address, bytes)."""
    try:
        inode = path.stat().st_ino
        maps = _MAPS.read_bytes()
    except OSError:
        return []
    lines = re.finditer(rb"^(\w+)-(\w+) r--s \w+ \S+ %d " % inode, maps, re.MULTILINE)
    bounds = [(int(line[1], 16), int(line[2], 16)) for line in lines]
    return [(start, end - start) for start, end in bounds]
