"""Virtual time: it passes only from one event to the next."""

from dataclasses import dataclass
from typing import Final

START_MS: Final = 1_700_000_000_000
"""Unix milliseconds at which every simulation begins: the 14th of November 2023."""

YEAR_2099_MS: Final = 4_086_000_000_000
"""Unix milliseconds of a clock that is seventy years ahead."""


@dataclass(slots=True)
class VirtualClock:
    """Unix milliseconds as they are, whatever the clocks of the machines say."""

    now_ms: int = START_MS
