"""Appending: many requests share one wait for the disk, made in a thread while the next gather.

The thread takes what waits by itself, group after group: it waits for no turn of the event loop,
which may be busy with profiles and traits.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from replicas.cdp import limits
from replicas.cdp.errors import LogUnusable, TooBusy
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Entry


class Appending:
    """What makes entries durable, group by group. Create it inside the event loop.

    ``waiting`` is how many events are not durable yet, and ``waiting_bytes`` their bytes.
    """

    def __init__(self, log: EventLog, waiting_max: int) -> None:
        self.waiting = 0
        self.waiting_bytes = 0
        self._log = log
        self._waiting_max = waiting_max
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiter | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="cdp-append", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[Entry]) -> "Future[None]":
        """Have entries made durable; any thread may call it, and bounds by itself what waits.

        The future raises LogUnusable.
        """
        done: Future[None] = Future()
        if self._is_closed:
            done.set_exception(LogUnusable("the service is closing"))
        else:
            self._queue.put(_Waiter(entries, sum(len(each.packed) for each in entries), done))
        return done

    async def append(self, entries: Sequence[Entry]) -> None:
        """Return when entries are durable; raises TooBusy, with nothing kept, or LogUnusable."""
        if not entries:
            return
        if self._is_closed:
            raise LogUnusable("the service is closing")
        size_bytes = sum(len(entry.packed) for entry in entries)
        is_much = self.waiting + len(entries) > self._waiting_max
        if self.waiting and (is_much or self.waiting_bytes + size_bytes > limits.WAITING_BYTES_MAX):
            raise TooBusy(f"{self.waiting:,} events wait for the disk already; try again later")
        done = self._loop.create_future()
        self.waiting += len(entries)
        self.waiting_bytes += size_bytes
        self._queue.put(_Waiter(entries, size_bytes, done))
        await done

    def _work(self) -> None:
        """Make durable what waits, in the thread, until there comes nothing more."""
        while (waiter := self._queue.get()) is not None:
            group, is_last = self._group_from(waiter)
            failure = ""
            try:
                self._log.append_packed([entry for each in group for entry in each.entries])
            except LogUnusable as error:
                failure = str(error)
            own = []
            for each in group:
                if isinstance(each.done, Future):
                    _settle(each.done, failure)
                else:
                    own.append(each)
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                self._loop.call_soon_threadsafe(self._done, own, failure)
            if is_last:
                return

    def _group_from(self, first: "_Waiter") -> tuple[list["_Waiter"], bool]:
        """Return what becomes durable together, and whether nothing comes after it."""
        group, count, size_bytes = [first], len(first.entries), first.size_bytes
        while count < limits.GROUP_EVENTS_MAX and size_bytes < limits.GROUP_BYTES_MAX:
            try:
                waiter = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiter is None:
                return group, True
            group.append(waiter)
            count += len(waiter.entries)
            size_bytes += waiter.size_bytes
        return group, False

    def _done(self, group: Sequence["_Waiter"], failure: str) -> None:
        for waiter in group:
            self.waiting -= len(waiter.entries)
            self.waiting_bytes -= waiter.size_bytes
            if not waiter.done.done():
                _settle(waiter.done, failure)

    def close(self) -> None:
        """Make durable what waits, let the thread end, and refuse what comes."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
            self._thread.join()


class _Waiter(NamedTuple):
    """A request that waits until its entries are durable."""

    entries: Sequence[Entry]
    size_bytes: int
    done: "asyncio.Future[None] | Future[None]"


def _settle(done: "asyncio.Future[None] | Future[None]", failure: str) -> None:
    if failure:
        done.set_exception(LogUnusable(failure))
    else:
        done.set_result(None)
