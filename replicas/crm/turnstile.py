"""The turnstile before a vendor: lanes of work take turns, within budget and concurrency."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from replicas.crm.budget import Breaker, Budget


class Turnstile:
    """Lets requests through one lane after the other, so that no lane starves another."""

    def __init__(self, budget: Budget, breaker: Breaker, concurrency: int) -> None:
        self.budget = budget
        self.breaker = breaker
        self._concurrency = concurrency
        self._running = 0
        self._lanes: dict[tuple[str, bool], deque[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return sum(map(len, self._lanes.values()))

    @asynccontextmanager
    async def turn(self, lane: str, *, is_background: bool) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context lasts."""
        mine = asyncio.get_running_loop().create_future()
        waiting = self._lanes.setdefault((lane, is_background), deque())
        waiting.append(mine)
        self._let_through()
        try:
            await mine
        except asyncio.CancelledError:
            with suppress(ValueError):
                waiting.remove(mine)
            if mine.done() and not mine.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._running -= 1
        self._let_through()

    def _let_through(self) -> None:
        """Let through whoever may go; come back later for the others."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        soonest_s: float | None = None
        blocked: set[tuple[str, bool]] = set()
        while self._running < self._concurrency:
            lane = next((k for k, queue in self._lanes.items() if queue and k not in blocked), None)
            if lane is None:
                break
            wait_s = self._wait_s(loop.time(), is_background=lane[1])
            if wait_s > 0:
                blocked.add(lane)
                soonest_s = wait_s if soonest_s is None else min(soonest_s, wait_s)
                continue
            queue = self._lanes.pop(lane)
            self._lanes[lane] = queue
            future = queue.popleft()
            if future.cancelled():
                continue
            self.budget.count(loop.time())
            self._running += 1
            future.set_result(None)
        if soonest_s is not None:
            self._timer = loop.call_later(soonest_s, self._let_through)

    def _wait_s(self, now_s: float, *, is_background: bool) -> float:
        if not self.breaker.is_closed and self._running:
            return 0.05
        wait_s = self.breaker.wait_s(now_s)
        return wait_s or self.budget.wait_s(now_s, is_background=is_background)
