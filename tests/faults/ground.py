"""The ground on which a fault is tried: a directory, a seed, a time; and what came of it."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(slots=True)
class Tally:
    """What came of one kind of fault: how often, and how many acknowledged writes were checked.

    A check that fails raises, so what is counted here was all there. ``figures`` are measured
    values by name, of which the worst is shown.
    """

    times: int = 0
    checked: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def worst(self, name: str, value: float) -> None:
        """Keep a figure if it is the worst so far."""
        self.figures[name] = max(value, self.figures.get(name, value))

    def count(self, name: str, more: float = 1) -> None:
        """Add to a figure."""
        self.figures[name] = self.figures.get(name, 0) + more


@dataclass(slots=True)
class Ground:
    """An empty directory, the one source of chance, and the moment at which to stop."""

    directory: Path
    chance: random.Random
    until_s: float = 0.0
    tally: Tally = field(default_factory=Tally)

    @property
    def is_time_left(self) -> bool:
        return time.monotonic() < self.until_s


class NotHere(Exception):
    """A fault cannot be tried on this machine; the text says what is missing."""


Fault: TypeAlias = Callable[[Ground], None]


def show(rows: list[tuple[str, Tally, float]]) -> str:
    """Return the table of a campaign."""
    head = ("FAULT", "TIMES", "ACKNOWLEDGED WRITES CHECKED", "LOST", "SECONDS", "WORST FIGURES")
    lines = [head]
    for name, tally, seconds in rows:
        figures = ", ".join(f"{key} {value:,.6g}" for key, value in tally.figures.items())
        row = (name, f"{tally.times:,}", f"{tally.checked:,}", "0", f"{seconds:.0f}", figures)
        lines.append(row)
    times = sum(tally.times for _, tally, _ in rows)
    checked = sum(tally.checked for _, tally, _ in rows)
    seconds = sum(seconds for _, _, seconds in rows)
    lines.append(("all", f"{times:,}", f"{checked:,}", "0", f"{seconds:.0f}", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(shown)
