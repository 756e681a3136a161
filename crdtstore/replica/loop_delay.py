"""Loop delay: how late an event loop does what is due, sampled all the time.

A reader that comes in while the loop works on something else waits for it. The sampler asks to be
woken at set times, and notes how much later that happened: a pause that is longer than the time
between two samples is never missed, shorter ones are seen as often as they happen.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Final

from crdtstore import limits

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram's buckets; the last bucket has none."""


class LoopDelay:
    """The delays of one event loop: all of them as a histogram, those of the last minute exactly.

    ``total_s`` is their sum.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._recent: deque[float] = deque(maxlen=limits.LOOP_DELAY_SAMPLES_MAX)

    def note(self, delay_s: float) -> None:
        """Take note of one delay."""
        self.total_s += delay_s
        self._counts[bisect_left(BUCKETS_S, delay_s)] += 1
        self._recent.append(delay_s)

    def cumulated(self) -> Iterator[tuple[str, int]]:
        """Yield the upper bound of each bucket and the number of delays up to it."""
        count = 0
        for bound, number in zip((*map(str, BUCKETS_S), "+Inf"), self._counts, strict=True):
            count += number
            yield bound, count

    def recent_ms(self) -> tuple[float, float]:
        """Return the 99th percentile and the maximum of the last minute's delays, in ms."""
        if not self._recent:
            return 0.0, 0.0
        ranked = sorted(self._recent)
        return _ms(ranked[int(0.99 * (len(ranked) - 1))]), _ms(ranked[-1])

    async def run(self) -> None:
        """Sample the running loop for ever."""
        now_s = asyncio.get_running_loop().time
        while True:
            due_s = now_s() + limits.LOOP_DELAY_SAMPLE_S
            await asyncio.sleep(limits.LOOP_DELAY_SAMPLE_S)
            self.note(max(0.0, now_s() - due_s))


def event_loop_name() -> str:
    """Return the library whose event loop is running: asyncio, or uvloop."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def _ms(delay_s: float) -> float:
    return round(delay_s * 1000, 2)
