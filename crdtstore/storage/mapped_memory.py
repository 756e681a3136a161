"""Mapped memory: pages of files that this process has in memory, as Linux tells of them."""

import ctypes
import mmap
import os
import re
from pathlib import Path
from typing import Final

from crdtstore import limits

_STATM: Final = "/proc/self/statm"
_STATM_BYTES: Final = 256
_MAPS: Final = Path("/proc/self/maps")


class MappedPages:
    """The pages of a file that LMDB has mapped: all are let go when they are many.

    They stay in the system's cache, and are mapped again as they are read, by whoever reads them
    just then. The owner's thread looks, or the one that commits: the map must not move meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched = 0
        self._least_bytes = mapped_bytes()

    def note(self, pages: int) -> None:
        """Take note that so many pages are about to be touched; look now and then."""
        self._touched += pages
        if self._touched >= limits.PAGES_PER_LOOK:
            self.look()

    def look(self) -> None:
        """Let go of all pages if more came than are allowed, since it was done last."""
        self._touched = 0
        if mapped_bytes() - self._least_bytes > limits.MAPPED_BYTES_MAX:
            unmap_pages(self._path)
            self._least_bytes = mapped_bytes()


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


def unmap_pages(path: Path) -> None:
    """Let go of all pages of a file that is mapped for reading: each is mapped again when read."""
    try:
        inode = path.stat().st_ino
        maps = _MAPS.read_bytes()
    except OSError:
        return
    libc = ctypes.CDLL(None)
    for found in re.finditer(rb"^(\w+)-(\w+) r--s \w+ \S+ %d " % inode, maps, re.MULTILINE):
        start, end = (int(bound, 16) for bound in found.groups())
        length = ctypes.c_size_t(end - start)
        libc.madvise(ctypes.c_void_p(start), length, mmap.MADV_DONTNEED)
