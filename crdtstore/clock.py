"""Hybrid logical clock: timestamps that follow both real time and causality.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks" (OPODIS 2014).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

COUNTER_BITS: Final = 16

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_at(wall_ms: int) -> int:
    """Return the lowest timestamp of a wall-clock millisecond."""
    return wall_ms << COUNTER_BITS


def wall_ms_of(timestamp: int) -> int:
    """Return the Unix milliseconds that a timestamp carries."""
    return timestamp >> COUNTER_BITS


def datetime_of(timestamp: int) -> datetime:
    """Return the UTC time that a timestamp carries, to the millisecond, at most the year 9999."""
    return _UNIX_EPOCH + timedelta(milliseconds=min(timestamp >> COUNTER_BITS, 253402300799999))


class HybridClock:
    """A source of timestamps, each greater than all that it gave or was shown before.

    A timestamp is 48 bits of Unix milliseconds followed by 16 bits of counter. When the counter
    overflows it carries into the milliseconds, so the order is never broken. Real time is an
    argument: the clock itself reads none.
    """

    __slots__ = ("latest",)

    def __init__(self, latest: int = 0) -> None:
        self.latest = latest

    def tick(self, now_ms: int) -> int:
        """Return a new timestamp at or after ``now_ms``, above every earlier one."""
        self.latest = max(now_ms << COUNTER_BITS, self.latest + 1)
        return self.latest

    def observe(self, timestamp: int) -> None:
        """Take note of a timestamp from elsewhere: every later tick is above it."""
        if timestamp > self.latest:
            self.latest = timestamp
