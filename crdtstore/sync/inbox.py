"""Inbox: frames that came before what they depend on.

A frame is applied when its origin's previous frame and its dependencies are (causal delivery).
What must wait is held here within a bound in bytes; what does not fit is dropped, and asked for
again later.
"""

from collections import deque
from collections.abc import Mapping

from crdtstore import limits
from crdtstore.sync.frame import Frame


class Inbox:
    """Frames waiting per origin, in sequence. ``held_bytes`` is what they take."""

    def __init__(self, bytes_max: int = limits.INBOX_BYTES_MAX) -> None:
        self.held_bytes = 0
        self._bytes_max = bytes_max
        self._waiting: dict[int, deque[tuple[Frame, dict[int, int]]]] = {}

    def offer(self, frame: Frame, dependencies: dict[int, int], vector: Mapping[int, int]) -> bool:
        """Take a frame in if it is the next of its origin; say whether it was taken."""
        queue = self._waiting.get(frame.origin)
        last = queue[-1][0].sequence if queue else vector.get(frame.origin, 0)
        if frame.sequence != last + 1 or self.held_bytes + len(frame.raw) > self._bytes_max:
            return False
        self._waiting.setdefault(frame.origin, deque()).append((frame, dependencies))
        self.held_bytes += len(frame.raw)
        return True

    def next_ready(self, vector: Mapping[int, int]) -> Frame | None:
        """Remove and return a frame that can be applied on top of ``vector``, if there is one."""
        for origin, queue in list(self._waiting.items()):
            while queue and queue[0][0].sequence <= vector.get(origin, 0):
                self._pop(origin)
            if not queue:
                continue
            frame, dependencies = queue[0]
            if frame.sequence == vector.get(origin, 0) + 1 and is_covered(dependencies, vector):
                self._pop(origin)
                return frame
        return None

    def clear(self) -> None:
        """Drop everything that waits."""
        self._waiting.clear()
        self.held_bytes = 0

    def forget(self, origin: int) -> None:
        """Drop what waits of one origin, so that it can be asked for again from the start."""
        while origin in self._waiting:
            self._pop(origin)

    def _pop(self, origin: int) -> None:
        queue = self._waiting[origin]
        frame, _ = queue.popleft()
        self.held_bytes -= len(frame.raw)
        if not queue:
            del self._waiting[origin]


def is_covered(dependencies: Mapping[int, int], vector: Mapping[int, int]) -> bool:
    """Say whether a vector has all that a frame depends on."""
    return all(vector.get(origin, 0) >= sequence for origin, sequence in dependencies.items())
