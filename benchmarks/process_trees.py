"""What a process and all its descendants took: servers that start processes of their own."""

import contextlib
import os
from pathlib import Path
from typing import Final

_PARENT: Final = 1
_TIMES: Final = slice(11, 15)
"""Fields after a process's name: its times, and those of its children that have ended."""


def processor_s(root: int) -> float:
    """Return the seconds of processor time of a process and its descendants, ended ones too."""
    ticks = sum(sum(map(int, fields[_TIMES])) for _, fields in _tree(root))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes(root: int) -> int:
    """Return the most memory that a process and its living descendants had, added up.

    Pages that they share count for each of them.
    """
    total = 0
    for process, _ in _tree(root):
        with contextlib.suppress(OSError):
            said = (process / "status").read_text().partition("VmHWM:")[2].split()
            total += int(said[0]) * 1024 if said else 0
    return total


def _tree(root: int) -> list[tuple[Path, list[str]]]:
    """Return a process and its descendants, with what the system says of each after its name."""
    found: dict[int, tuple[Path, list[str]]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            found[int(process.name)] = process, fields
    tree, children = [], {root}
    while children:
        tree += [found[each] for each in children if each in found]
        children = {each for each, (_, fields) in found.items() if int(fields[_PARENT]) in children}
    return tree
