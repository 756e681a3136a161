"""Causes: what each origin had seen when it wrote, so that concurrent writes are told from others.

A frame names what its origin applied since its frame before. Taken together from the first frame
on, that is all that the origin had seen. A write is known by its timestamp: those of an origin's
frame lie above the timestamp of its frame before, and at or below its own.
"""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.engine.ledger import Ledger
from crdtstore.errors import StorageCorrupt

CAUSES: Final = "causes"
"""Name of the record that holds what the mark of the last checkpoint stands for."""

Row: TypeAlias = dict[int, int]
"""Origin to the timestamp of the last of its frames that was seen. Below zero it is the sequence of
that frame, whose timestamp is not known yet."""

RowUndo: TypeAlias = list[tuple[Row, int, int | None]]
"""What a row had of an origin before, None for nothing. Undone from the end to the start."""

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Causes:
    """What every origin had seen when it wrote its last frame that was applied here.

    ``rows`` tells it by origin: what stands there with a timestamp was surely seen up to it.
    ``exact_since`` is a timestamp: of writes up to it, it may not be known who had seen them, for
    documents came without causes, or there was no more room.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.exact_since = 0
        self._ledger = ledger
        self.rows: dict[int, Row] = {}
        self._size = 0
        self._recent: dict[int, deque[int]] = {}

    def saw(self, origin: int, of_origin: int, timestamp: int) -> bool | None:
        """Say whether an origin's last frame had seen another's write; None if it is not known."""
        if origin == of_origin:
            return True
        row = self.rows.get(origin)
        seen = 0 if row is None else row.get(of_origin, 0)
        if row is not None and seen < 0:
            found = self._timestamp_at(of_origin, -seen)
            if found is None:
                return None
            row[of_origin] = seen = found
        if timestamp <= seen:
            return True
        is_known = timestamp > self.exact_since and of_origin not in self._ledger.resting
        return False if is_known else None

    def _timestamp_at(self, origin: int, sequence: int) -> int | None:
        """Return the timestamp of a frame in the journal; damage there is not found by asking."""
        found = self._recent_timestamp(origin, sequence)
        if not found:
            with suppress(StorageCorrupt):
                return self._ledger.timestamp_at(origin, sequence)
        return found or None

    def learn(
        self, origin: int, dependencies: Mapping[int, int], undo: RowUndo, latest_timestamp: int
    ) -> None:
        """Take note of what a frame depends on, before it is applied itself.

        ``undo`` gains what was known before. If there are too many pairs of origins to remember,
        it begins anew: nothing is above ``latest_timestamp`` yet.
        """
        row = self.rows.get(origin)
        if row is None:
            row = self.rows[origin] = {}
        size = len(row)
        heads = self._ledger.heads
        for of_origin, sequence in dependencies.items():
            if of_origin in heads:  # or it is at rest
                undo.append((row, of_origin, row.get(of_origin)))
                row[of_origin] = self._recent_timestamp(of_origin, sequence) or -sequence
        self._size += len(row) - size
        if self._size > limits.CAUSES_MAX:
            self.rows.clear()
            undo.clear()
            self._size = 0
            self.exact_since = latest_timestamp

    def advanced(self, origin: int, timestamp: int, has_writes: bool) -> None:
        """Take note of the timestamp of the next frame of an origin, as it becomes its head.

        One without writes shows no more of its origin than the frame before.
        """
        recent = self._recent.get(origin)
        if recent is None:
            recent = self._recent[origin] = deque(maxlen=limits.RECENT_FRAMES)
        if has_writes:
            recent.append(timestamp)
        elif recent:
            recent.append(recent[-1])

    def _recent_timestamp(self, origin: int, sequence: int) -> int:
        """Return the timestamp of a frame that was applied lately, 0 for another."""
        recent = self._recent.get(origin)
        if recent is None:
            return 0
        place = len(recent) - 1 - (self._ledger.head(origin)[0] - sequence)
        return recent[place] if 0 <= place < len(recent) else 0

    def documents_came(self, timestamp: int) -> None:
        """Take note that documents came without causes; ``timestamp`` is above all they hold."""
        self.exact_since = max(self.exact_since, timestamp)

    def jumped(self, origin: int, timestamp: int) -> None:
        """Take note that an origin's head moves on without frames; all is up to ``timestamp``."""
        self._recent.pop(origin, None)
        self.documents_came(timestamp)

    def rested(self, origin: int) -> None:
        """Forget an origin that is at rest: nothing more is asked of it or told by it."""
        self._recent.pop(origin, None)
        self._size -= len(self.rows.pop(origin, ()))
        for row in self.rows.values():
            self._size -= row.pop(origin, None) is not None

    def went_back(self, origin: int, count: int) -> None:
        """Take note that the last frames of an origin were undone, before its head moves."""
        recent = self._recent.get(origin, deque())
        for _ in range(min(count, len(recent))):
            recent.pop()

    def restore(self, undo: RowUndo) -> None:
        """Put rows back as they were, and empty the undo log."""
        while undo:
            row, of_origin, before = undo.pop()
            if before is not None:
                row[of_origin] = before
            elif row.pop(of_origin, None) is not None:
                self._size -= 1

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps what is known now."""
        rows = [
            (origin, [number for pair in sorted(row.items()) for number in pair])
            for origin, row in sorted(self.rows.items())
        ]
        return _pack([self.exact_since, rows])

    def load(self, packed: bytes | None, timestamp: int) -> None:
        """Take over what storage keeps beside a mark, whose timestamp this is.

        An older crdtstore kept nothing: then what came before the mark is not judged.
        """
        if packed is None:
            self.exact_since = timestamp
            return
        self.exact_since, rows = msgpack.unpackb(packed, use_list=False)
        resting = self._ledger.resting
        for origin, flat in rows:
            if origin not in resting:
                row = dict(zip(flat[::2], flat[1::2], strict=True))
                self.rows[origin] = {o: seen for o, seen in row.items() if o not in resting}
                self._size += len(self.rows[origin])
