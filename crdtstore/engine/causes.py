"""Causes: what each origin had seen when it wrote, so that concurrent writes are told from others.

A frame names what its origin applied since its frame before. Taken together from the first frame
on, that is all that the origin had seen. A write is known by its timestamp: those of an origin's
frame lie above the timestamp of its frame before, and at or below its own.
"""

from array import array
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

_NONE: Final[Row] = {}

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Causes:
    """What every origin had seen when it wrote its last frame that was applied here.

    ``exact_since`` is a timestamp: of writes up to it, it may not be known who had seen them, for
    documents came without causes, or there was no more room.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.exact_since = 0
        self._ledger = ledger
        self._rows: dict[int, Row] = {}
        self._size = 0
        self._recent: dict[int, array[int]] = {}

    def seen_by(self, origin: int) -> Row:
        """Return up to which timestamps an origin's last frame had surely seen the others."""
        return self._rows.get(origin, _NONE)

    def saw(self, origin: int, of_origin: int, timestamp: int) -> bool | None:
        """Say whether an origin's last frame had seen another's write; None if it is not known."""
        if origin == of_origin:
            return True
        row = self._rows.get(origin)
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
        self, origin: int, dependencies: Mapping[int, int], before: dict[int, Row | None]
    ) -> None:
        """Take note of what a frame depends on, before it is applied itself.

        ``before`` gains the origin's row as it was, if it has none of it yet.
        """
        row = self._rows.get(origin)
        if origin not in before:
            before[origin] = None if row is None else dict(row)
        if row is None:
            row = self._rows[origin] = {}
        size = len(row)
        for of_origin, sequence in dependencies.items():
            if of_origin not in self._ledger.resting:
                row[of_origin] = self._recent_timestamp(of_origin, sequence) or -sequence
        self._size += len(row) - size

    def bound(self, latest_timestamp: int) -> None:
        """Begin anew if there are too many pairs of origins to remember."""
        if self._size > limits.CAUSES_MAX:
            self._rows = {}
            self._size = 0
            self.exact_since = latest_timestamp

    def advanced(self, origin: int, timestamp: int, *, has_writes: bool) -> None:
        """Take note of the timestamp of the next frame of an origin, as it becomes its head.

        One without writes shows no more of its origin than the frame before.
        """
        recent = self._recent.get(origin)
        if not has_writes:
            if not recent:
                return
            timestamp = recent[-1]
        if recent is None:
            recent = self._recent[origin] = array("Q")
        recent.append(timestamp)
        if len(recent) > 2 * limits.RECENT_FRAMES:
            del recent[: limits.RECENT_FRAMES]

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
        self._size -= len(self._rows.pop(origin, ()))
        for row in self._rows.values():
            self._size -= row.pop(origin, None) is not None

    def went_back(self, origin: int, count: int) -> None:
        """Take note that the last frames of an origin were undone, before its head moves."""
        recent = self._recent.get(origin)
        if recent is not None:
            del recent[max(0, len(recent) - count) :]

    def restore(self, before: Mapping[int, Row | None]) -> None:
        """Put rows back as they were."""
        for origin, row in before.items():
            self._size -= len(self._rows.pop(origin, ()))
            if row is not None:
                self._rows[origin] = row
                self._size += len(row)

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps what is known now."""
        rows = [
            (origin, [number for pair in sorted(row.items()) for number in pair])
            for origin, row in sorted(self._rows.items())
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
                self._rows[origin] = {o: seen for o, seen in row.items() if o not in resting}
                self._size += len(self._rows[origin])
