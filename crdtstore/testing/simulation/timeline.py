"""Timeline: events at virtual times, in order; a seed decides among those of the same time."""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from crdtstore.testing.simulation.clock import START_MS, VirtualClock

TICK_MS: Final = 100
"""How often a replica's process looks at its clock."""


class Timeline:
    """What is still to happen. ``events`` counts what has happened, ``chance`` decides.

    ``trace`` is called with a line for each event, if given.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.clock = VirtualClock()
        self.events = 0
        self.chance = random.Random(seed)
        self.trace = trace
        self._due: list[tuple[int, float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0

    def schedule(self, after_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen later. What is due at the same time happens in a drawn order."""
        self._scheduled += 1
        at_ms = self.clock.now_ms + after_ms
        heappush(self._due, (at_ms, self.chance.random(), self._scheduled, action, arguments))

    def happen(self) -> None:
        """Let the next event happen."""
        at_ms, _, _, action, arguments = heappop(self._due)
        self.clock.now_ms = max(at_ms, self.clock.now_ms)
        self.events += 1
        action(*arguments)

    def advance(self, ticks: int = 1) -> None:
        """Let everything happen that is due within so many tenths of a second."""
        until_ms = self.clock.now_ms + ticks * TICK_MS
        while self._due and self._due[0][0] <= until_ms:
            self.happen()
        self.clock.now_ms = max(until_ms, self.clock.now_ms)

    def say(self, text: str) -> None:
        """Add a line to the trace, if there is one."""
        if self.trace is not None:
            self.trace(f"{self.elapsed_ms / 1_000:9.3f}  {text}")

    @property
    def elapsed_ms(self) -> int:
        """Virtual time since the beginning."""
        return self.clock.now_ms - START_MS
