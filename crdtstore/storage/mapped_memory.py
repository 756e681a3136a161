"""Mapped memory: how much of what this process has in memory are pages of files."""

import mmap
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")


def mapped_bytes() -> int:
    """Return how much memory of this process are pages of files, 0 if the system does not tell."""
    try:
        return int(_STATM.read_text("ascii").split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0
