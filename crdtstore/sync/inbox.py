"""Inbox: frames that came before what they depend on.

A frame is applied when its origin's previous frame and its dependencies are (causal delivery).
What must wait is held here within a bound in bytes; what does not fit is dropped, and asked for
again later. The first frame of an origin awaits one dependency at a time, and is looked at again
only when that one was applied, so that a frame costs the same however many wait.
"""

from array import array
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from crdtstore import limits
from crdtstore.sync.frame import Frame


class _Held(NamedTuple):
    """A frame, and what it depends on, as far as not yet found applied: origin, sequence, …"""

    frame: Frame
    pending: "array[int]"
    size_bytes: int


class Inbox:
    """Frames waiting per origin, in sequence. ``held_bytes`` is about what they take of memory."""

    def __init__(self, bytes_max: int = limits.INBOX_BYTES_MAX) -> None:
        self.held_bytes = 0
        self._bytes_max = bytes_max
        self._waiting: dict[int, deque[_Held]] = {}
        self._awaited_by: dict[int, tuple[int, int]] = {}
        self._awaiting: dict[tuple[int, int], set[int]] = {}
        self._due: deque[int] = deque()

    def offer(self, frame: Frame, dependencies: dict[int, int], vector: Mapping[int, int]) -> bool:
        """Take a frame in if it is the next of its origin; say whether it was taken."""
        queue = self._waiting.get(frame.origin)
        last = queue[-1].frame.sequence if queue else vector.get(frame.origin, 0)
        pending = array("Q", [part for pair in dependencies.items() for part in pair])
        size_bytes = limits.HELD_FRAME_BYTES + len(frame.raw) + pending.itemsize * len(pending)
        if frame.sequence != last + 1 or self.held_bytes + size_bytes > self._bytes_max:
            return False
        if queue is None:
            self._waiting[frame.origin] = queue = deque()
            self._due.append(frame.origin)
        queue.append(_Held(frame, pending, size_bytes))
        self.held_bytes += size_bytes
        return True

    def applied(self, frame: Frame) -> None:
        """Take note that a frame was applied: others may have waited for it."""
        self._due.append(frame.origin)
        self._due.extend(self._awaiting.pop((frame.origin, frame.sequence), ()))

    def advanced(self) -> None:
        """Take note that the vector has gone ahead by other ways than frames."""
        self._due.extend(self._waiting)

    def next_ready(self, vector: Mapping[int, int]) -> Frame | None:
        """Remove and return a frame that can be applied on top of ``vector``, if there is one."""
        while self._due:
            origin = self._due.popleft()
            self._forget_awaited(origin)
            applied = vector.get(origin, 0)
            held = self._first_after(origin, applied)
            is_next = held is not None and held.frame.sequence == applied + 1
            if held is not None and is_next and self._is_free(held, vector):
                self._pop(origin)
                return held.frame
        return None

    def clear(self) -> None:
        """Drop everything that waits."""
        self._waiting.clear()
        self._awaited_by.clear()
        self._awaiting.clear()
        self._due.clear()
        self.held_bytes = 0

    def forget(self, origin: int) -> None:
        """Drop what waits of one origin, so that it can be asked for again from the start."""
        self._forget_awaited(origin)
        while origin in self._waiting:
            self._pop(origin)

    def _first_after(self, origin: int, sequence: int) -> _Held | None:
        """Drop what came by another way, up to a sequence; return the first that waits after it."""
        while origin in self._waiting:
            held = self._waiting[origin][0]
            if held.frame.sequence > sequence:
                return held
            self._pop(origin)
        return None

    def _is_free(self, held: _Held, vector: Mapping[int, int]) -> bool:
        """Say whether all dependencies of a frame are applied; if not, have it await the next."""
        pending = held.pending
        while pending:
            origin, sequence = pending[-2:]
            if vector.get(origin, 0) < sequence:
                self._awaited_by[held.frame.origin] = (origin, sequence)
                self._awaiting.setdefault((origin, sequence), set()).add(held.frame.origin)
                return False
            del pending[-2:]
        return True

    def _forget_awaited(self, origin: int) -> None:
        awaited = self._awaited_by.pop(origin, None)
        if awaited is not None and awaited in self._awaiting:
            self._awaiting[awaited].discard(origin)
            if not self._awaiting[awaited]:
                del self._awaiting[awaited]

    def _pop(self, origin: int) -> None:
        queue = self._waiting[origin]
        self.held_bytes -= queue.popleft().size_bytes
        if not queue:
            del self._waiting[origin]


def is_covered(dependencies: Mapping[int, int], vector: Mapping[int, int]) -> bool:
    """Say whether a vector has all that a frame depends on."""
    return all(vector.get(origin, 0) >= sequence for origin, sequence in dependencies.items())
