"""Wires: ways between two machines, the connections that run over them, and what befalls these."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

DELAY_MS: Final = 1
"""Virtual milliseconds that a message takes unless a wire is told otherwise."""

END: Final = None
"""What a queue holds behind the last message of an end that was closed."""


class Connection:
    """One connection: the link's number at both ends, None where it is closed, and two queues.

    Side 0 is the machine that dialled. ``queues[side]`` holds (due, message) on its way to a side,
    in order: what lies behind waits for what lies before.
    """

    def __init__(self, numbers: tuple[int, int], opened_ms: int) -> None:
        self.opened_ms = opened_ms
        self.numbers: list[int | None] = [*numbers]
        self.queues: tuple[deque[tuple[int, bytes | None]], ...] = (deque(), deque())

    @property
    def is_gone(self) -> bool:
        """Whether neither end is open any longer."""
        return self.numbers[0] is None and self.numbers[1] is None


@dataclass(slots=True)
class Wire:
    """A way between two machines; ``one`` dials, and dials again when its link is lost.

    A message takes ``delay_ms`` and up to ``jitter_ms`` more. ``is_cut`` ends all connections and
    lets none come up. A side in ``stalled`` is reached by nothing, and nobody is told.
    ``doubles`` and ``swaps`` are the chances that a message is delivered twice, or before the one
    sent before it: no stream does that, a broken middle box does.
    """

    one: str
    two: str
    is_cut: bool = False
    delay_ms: int = DELAY_MS
    jitter_ms: int = 0
    doubles: float = 0.0
    swaps: float = 0.0
    stalled: set[int] = field(default_factory=set)
    dialled: Connection | None = None
    is_dialling: bool = False
    attempts: int = 0
    connections: list[Connection] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str]:
        """The machines at side 0 and at side 1."""
        return self.one, self.two

    @property
    def is_open(self) -> bool:
        """Whether a new connection can come up."""
        return not self.is_cut and not self.stalled

    def mend(self) -> None:
        """Let it carry links again, at once and in order."""
        self.is_cut = False
        self.delay_ms, self.jitter_ms = DELAY_MS, 0
        self.doubles = self.swaps = 0.0
        self.stalled.clear()
