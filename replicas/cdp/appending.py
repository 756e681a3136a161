"""Appending: many requests share one wait for the disk, made in a thread while the next gather."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from replicas.cdp import limits
from replicas.cdp.collecting import Entry
from replicas.cdp.errors import LogUnusable, TooBusy
from replicas.cdp.event_log import EventLog


class Appending:
    """What makes entries durable, group by group. Create it inside the event loop.

    ``waiting`` is how many events are not durable yet, and ``waiting_bytes`` their bytes.
    """

    def __init__(self, log: EventLog, waiting_max: int) -> None:
        self.waiting = 0
        self.waiting_bytes = 0
        self._log = log
        self._waiting_max = waiting_max
        self._queue: deque[_Waiter] = deque()
        self._work = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="cdp-append")

    async def append(self, entries: Sequence[Entry]) -> None:
        """Return when entries are durable; raises TooBusy, with nothing kept, or LogUnusable."""
        if not entries:
            return
        size_bytes = sum(len(entry.packed) for entry in entries)
        is_much = self.waiting + len(entries) > self._waiting_max
        if self.waiting and (is_much or self.waiting_bytes + size_bytes > limits.WAITING_BYTES_MAX):
            raise TooBusy(f"{self.waiting:,} events wait for the disk already; try again later")
        done = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiter(entries, size_bytes, done))
        self.waiting += len(entries)
        self.waiting_bytes += size_bytes
        self._work.set()
        await done

    async def run(self) -> None:
        """Make durable what waits, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                waiters = self._next_group()
                group = [entry for waiter in waiters for entry in waiter.entries]
                failure: LogUnusable | None = None
                try:
                    await loop.run_in_executor(self._worker, self._log.append_packed, group)
                except LogUnusable as error:
                    failure = error
                self.waiting -= len(group)
                self.waiting_bytes -= sum(waiter.size_bytes for waiter in waiters)
                for waiter in waiters:
                    if waiter.done.done():
                        continue
                    if failure is None:
                        waiter.done.set_result(None)
                    else:
                        waiter.done.set_exception(LogUnusable(str(failure)))

    def _next_group(self) -> list["_Waiter"]:
        group: list[_Waiter] = []
        count = size_bytes = 0
        while (
            self._queue and count < limits.GROUP_EVENTS_MAX and size_bytes < limits.GROUP_BYTES_MAX
        ):
            waiter = self._queue.popleft()
            group.append(waiter)
            count += len(waiter.entries)
            size_bytes += waiter.size_bytes
        return group

    def close(self) -> None:
        """Let the thread end, and refuse what still waits."""
        self._worker.shutdown()
        for waiter in self._queue:
            if not waiter.done.done():
                waiter.done.set_exception(LogUnusable("the service is closing"))


class _Waiter(NamedTuple):
    """A request that waits until its entries are durable."""

    entries: Sequence[Entry]
    size_bytes: int
    done: "asyncio.Future[None]"
