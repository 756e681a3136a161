"""Room: whether more events may come, or what follows the log is too far behind it.

Profiles may be so many events behind, traits so many seconds. Both go on as fast as they can; the
more there is to do, the longer traits take. When they have taken too long, senders are asked to
wait: so neither the delay nor the memory grows, however many events are offered.

Traits that have the past to fold, after a start or a new definition, keep nobody waiting.
"""

import asyncio
import time
from collections import deque

from replicas.cdp import limits
from replicas.cdp.errors import TooBusy
from replicas.cdp.event_log import EventLog
from replicas.cdp.learning import Learning
from replicas.cdp.traits.folding import Folding


class Room:
    """How far who follows the log may be behind it.

    ``traits_behind_s`` is how long the oldest event waits for its traits, or how long the newest
    one will, whichever is more.
    """

    def __init__(
        self,
        log: EventLog,
        learning: Learning,
        folding: Folding,
        *,
        behind_events_max: int,
        traits_behind_s_max: float,
    ) -> None:
        self.traits_behind_s = 0.0
        self._log = log
        self._learning = learning
        self._folding = folding
        self._behind_events_max = behind_events_max
        self._traits_behind_s_max = traits_behind_s_max
        self._lasts: deque[tuple[int, float]] = deque()

    async def run(self) -> None:
        """Look now and then how far traits are behind, for ever."""
        while True:
            self._look(time.monotonic())
            await asyncio.sleep(limits.ROOM_LOOK_S)

    def _look(self, now_s: float) -> None:
        """Remember what the last event is, and find the oldest such that traits do not have."""
        position, lasts = self._folding.position, self._lasts
        if position < self._folding.past:
            lasts.clear()
            self.traits_behind_s = 0.0
            return
        last = self._log.last_sequence
        if not lasts or last > lasts[-1][0]:
            lasts.append((last, now_s))
        while lasts and lasts[0][0] <= position:
            lasts.popleft()
        waited_s = now_s - lasts[0][1] if lasts else 0.0
        self.traits_behind_s = max(waited_s, self._folding.waiting_s)

    def check(self) -> None:
        """Raise TooBusy if there is no room; any thread may call it."""
        behind = self._log.last_sequence - self._learning.position
        if behind > self._behind_events_max:
            raise TooBusy(f"profiles are {behind:,} events behind; try again later")
        if self.traits_behind_s > self._traits_behind_s_max:
            raise TooBusy(f"traits are {self.traits_behind_s:.0f} s behind; try again later")
