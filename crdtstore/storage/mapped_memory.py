"""Mapped memory: pages of files that this process has in memory, as Linux tells of them."""

import ctypes
import mmap
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_MAPS: Final = Path("/proc/self/maps")
_SHARED_TO_READ: Final = "r--s"


def mapped_bytes() -> int:
    """Return how much memory of this process are pages of files, 0 if the system does not tell."""
    try:
        return int(_STATM.read_text("ascii").split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0


def unmap_pages(path: Path) -> None:
    """Let go of all pages of a file that is mapped for reading: each is mapped again when read.

    They stay in the system's cache. Whoever reads them just now is not disturbed.
    """
    try:
        inode = str(path.stat().st_ino)
        lines = _MAPS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    libc = ctypes.CDLL(None)
    for line in lines:
        place, rights, _, _, found, *_ = line.split(maxsplit=5)
        if found == inode and rights == _SHARED_TO_READ:
            start, end = (int(bound, 16) for bound in place.split("-"))
            length = ctypes.c_size_t(end - start)
            libc.madvise(ctypes.c_void_p(start), length, mmap.MADV_DONTNEED)
