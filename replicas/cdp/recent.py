"""The newest events of the log as objects, so that who follows it closely decodes none again.

    events = await events_after(log, position, limit)

They are a copy: who is further behind than they reach reads the log's files.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from replicas.cdp.events import Event, unpack_event

if TYPE_CHECKING:
    from replicas.cdp.event_log import EventLog


class _Group:
    """Events that were appended together; what came packed is unpacked when it is read."""

    def __init__(self, first: int, events: list[Event | bytes], size_bytes: int) -> None:
        self.first = first
        self.events = events
        self.size_bytes = size_bytes

    def after(self, sequence: int, limit: int) -> list[tuple[int, Event]]:
        """Return events after a sequence, each with its own."""
        events, start = self.events, max(sequence + 1 - self.first, 0)
        found: list[tuple[int, Event]] = []
        for place in range(start, min(start + limit, len(events))):
            given = events[place]
            if isinstance(given, Event):
                event = given
            else:
                event = events[place] = unpack_event(given)
            found.append((self.first + place, event))
        return found


class Recent:
    """Groups of events without a gap, up to some number and size. Any thread may call anything."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque()
        self._count = self._size_bytes = 0

    def add(self, first: int, events: Sequence[Event | bytes], size_bytes: int) -> None:
        """Take in events of so many bytes, and let the oldest go."""
        with self._lock:
            self._groups.append(_Group(first, list(events), size_bytes))
            self._count += len(events)
            self._size_bytes += size_bytes
            while self._count > self._count_max or self._size_bytes > self._bytes_max:
                gone = self._groups.popleft()
                self._count -= len(gone.events)
                self._size_bytes -= gone.size_bytes

    def after(self, sequence: int, limit: int) -> list[tuple[int, Event]] | None:
        """Return up to so many events after one, in order; None if these do not reach back."""
        found: list[tuple[int, Event]] = []
        with self._lock:
            if not self._groups or sequence + 1 < self._groups[0].first:
                return None
            for group in self._groups:
                if len(found) == limit:
                    break
                if group.first + len(group.events) > sequence + 1:
                    found += group.after(sequence, limit - len(found))
        return found

    def clear(self) -> None:
        """Let all go, because some of them were forgotten."""
        with self._lock:
            self._groups.clear()
            self._count = self._size_bytes = 0


async def events_after(log: "EventLog", after: int, limit: int) -> list[tuple[int, Event]]:
    """Return up to so many events after one: from memory, or from the files, read in a thread."""
    found = log.recent.after(after, limit)
    if found is None:
        return await asyncio.to_thread(log.read, after, limit)
    return found
