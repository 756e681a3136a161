"""Appending: many requests share one wait for the disk, made in a thread while the next gather."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from replicas.cdp import limits
from replicas.cdp.collecting import Entry
from replicas.cdp.errors import LogUnusable, TooBusy
from replicas.cdp.event_log import EventLog


class Appending:
    """What makes entries durable, group by group. Create it inside the event loop.

    ``waiting`` is how many events are not durable yet.
    """

    def __init__(self, log: EventLog, waiting_max: int) -> None:
        self.waiting = 0
        self._log = log
        self._waiting_max = waiting_max
        self._queue: deque[tuple[Sequence[Entry], asyncio.Future[None]]] = deque()
        self._work = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="cdp-append")

    async def append(self, entries: Sequence[Entry]) -> None:
        """Return when entries are durable; raises TooBusy, with nothing kept, or LogUnusable."""
        if not entries:
            return
        if self.waiting and self.waiting + len(entries) > self._waiting_max:
            raise TooBusy(f"{self.waiting:,} events wait for the disk already; try again later")
        done = asyncio.get_running_loop().create_future()
        self._queue.append((entries, done))
        self.waiting += len(entries)
        self._work.set()
        await done

    async def run(self) -> None:
        """Make durable what waits, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._queue:
                group, answers = self._next_group()
                failure: LogUnusable | None = None
                try:
                    await loop.run_in_executor(self._worker, self._log.append_packed, group)
                except LogUnusable as error:
                    failure = error
                self.waiting -= len(group)
                for answer in answers:
                    if not answer.done():
                        if failure is None:
                            answer.set_result(None)
                        else:
                            answer.set_exception(LogUnusable(str(failure)))

    def _next_group(self) -> tuple[list[Entry], list["asyncio.Future[None]"]]:
        group: list[Entry] = []
        answers = []
        while self._queue and len(group) < limits.GROUP_EVENTS_MAX:
            entries, answer = self._queue.popleft()
            group += entries
            answers.append(answer)
        return group, answers

    def close(self) -> None:
        """Let the thread end, and refuse what still waits."""
        self._worker.shutdown()
        for _, answer in self._queue:
            if not answer.done():
                with suppress(asyncio.InvalidStateError):
                    answer.set_exception(LogUnusable("the service is closing"))
