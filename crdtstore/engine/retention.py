"""Retention: how far back the journal reaches.

Every record is kept for ``journal_retention_ms`` at the most, and for less if the journal has more
than ``journal_bytes_max``. It is dropped sooner, after ``acknowledged_retention_ms``, when every
known replica has acknowledged it; but not where somebody reads the change feed, which is read from
the journal: then all is kept for ``journal_retention_ms``, for that long after the last read.
"""

from typing import Final

from crdtstore import limits
from crdtstore.clock import timestamp_at
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.known_replicas import KnownReplicas
from crdtstore.engine.ledger import Ledger, Waypoint
from crdtstore.storage.contract import Storage

FEED: Final = "feed"
"""Name of the record of when somebody read the change feed last, roughly."""


class Retention:
    """Decides which part of a journal goes next, and when a waypoint is due to let it go.

    ``known`` are the replicas for which the journal is kept.
    """

    def __init__(
        self,
        storage: Storage,
        ledger: Ledger,
        drafting: Drafting,
        *,
        journal_retention_ms: int,
        acknowledged_retention_ms: int,
        journal_bytes_max: int,
    ) -> None:
        self._ledger = ledger
        self._drafting = drafting
        self.known = KnownReplicas(storage, drafting)
        self._journal_retention_ms = journal_retention_ms
        self._acknowledged_retention_ms = acknowledged_retention_ms
        self._journal_bytes_max = journal_bytes_max
        self._storage = storage
        self._feed_read_ms = _stored_feed_read_ms(storage)
        self._cleared_through = 0
        self._cleared_by_ms = 0

    def clear_through(self, position: int, deadline_ms: int) -> None:
        """Have the journal up to a position dropped for an erasure: by then, whoever needs it.

        Before that it goes as soon as all known replicas have it, and nobody reads the feed.
        """
        self._cleared_through, self._cleared_by_ms = position, deadline_ms

    @property
    def is_half_cleared(self) -> bool:
        """Whether records that were dropped for an erasure wait for a commit to take them away."""
        if not self._cleared_through:
            return False
        return self._storage.journal_bounds()[0] < self._ledger.first_position

    def due_waypoint(self, now_ms: int, timestamp: int) -> Waypoint | None:
        """Return the waypoint to be written for the durable records, if one is due.

        One is due after so many records, and after the shorter retention if there are any: only
        at waypoints the journal can be cut.
        """
        before_ms = now_ms - self._acknowledged_retention_ms
        return self._ledger.due_waypoint(
            timestamp, _timestamp_before(before_ms), self._cleared_through
        )

    def due_trim(self, now_ms: int, position_max: int) -> Waypoint | None:
        """Return the waypoint up to which the journal should be dropped next, if any.

        Never beyond ``position_max``, where a recovery starts.
        """
        waypoint = self._ledger.next_trim(position_max)
        if waypoint is None:
            return None
        timestamp = waypoint.timestamp
        if (
            timestamp < _timestamp_before(now_ms - self._journal_retention_ms)
            or self._ledger.journal_bytes > self._journal_bytes_max
        ):
            return waypoint
        is_cleared = self._ledger.first_position <= self._cleared_through
        if is_cleared and now_ms >= self._cleared_by_ms:
            return waypoint
        before_ms = now_ms - self._acknowledged_retention_ms
        is_old = is_cleared or timestamp < _timestamp_before(before_ms)
        if not is_old or self._is_feed_read(now_ms):
            return None
        return waypoint if self.known.have(self._ledger.dropped_by(waypoint)) else None

    def _is_feed_read(self, now_ms: int) -> bool:
        kept_ms = self._journal_retention_ms + limits.FEED_NOTE_MS
        return now_ms - self._feed_read_ms <= kept_ms

    def feed_read(self, now_ms: int) -> None:
        """Take note that somebody reads the change feed; written down now and then."""
        if abs(now_ms - self._feed_read_ms) >= limits.FEED_NOTE_MS:
            self._feed_read_ms = now_ms
            self._drafting.draft.meta[FEED] = str(now_ms).encode()

    def commit_failed(self) -> None:
        """Go back to what is durable; what is news is noted again with a later commit."""
        self._feed_read_ms = _stored_feed_read_ms(self._storage)
        self.known.commit_failed()


def _stored_feed_read_ms(storage: Storage) -> int:
    return int(storage.meta(FEED) or 0)


def _timestamp_before(wall_ms: int) -> int:
    return timestamp_at(max(0, wall_ms))
