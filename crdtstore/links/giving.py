"""Giving: a snapshot on its way to a peer, read from documents at rest, in key order.

Documents that are dirty when it begins are brought to rest a slice at a time, each while the commit
with the one before it is under way. So whatever is sent is durable, and contains at least what was
durable then.
"""

from collections import deque

from crdtstore import limits
from crdtstore.engine.replication import Replication
from crdtstore.links.delivering import Durability
from crdtstore.sync.messages import SnapshotChunk


class GivenSnapshot:
    """One snapshot for one peer, of the documents above a profile id.

    ``has_ended`` is true when the last chunk was taken.
    """

    def __init__(self, replication: Replication, after: str) -> None:
        self.has_ended = False
        self._replication = replication
        self._dirty = replication.healing.dirty_after(after)
        self._after = after
        self._rests_until: str | None = after
        self._asked_until: str | None = after
        self._coming: deque[tuple[str | None, Durability]] = deque()
        self._chunks: deque[SnapshotChunk] = deque()
        self._rest_more()

    @property
    def waits(self) -> list[Durability]:
        """What it waits for to be durable."""
        return [durability for _, durability in self._coming]

    @property
    def is_ready(self) -> bool:
        """Whether ``next_chunk`` would get any further now."""
        is_reached = bool(self._coming) and self._coming[0][1].is_reached
        return bool(self._chunks) or is_reached or self._may_rest or self._may_read

    def next_chunk(self) -> SnapshotChunk | None:
        """Return the next chunk, None if it waits for a commit or has ended; raises StorageError.

        Several chunks of one read belong together: a document may be parted among them.
        """
        self._rest_more()
        while not self._chunks and self._may_read:
            self._read()
            self._rest_more()
        return self._chunks.popleft() if self._chunks else None

    @property
    def _may_read(self) -> bool:
        if self._rests_until is None:
            return not self.has_ended
        return self._after < self._rests_until

    def _read(self) -> None:
        chunks = self._replication.snapshot_chunks(self._after, self._rests_until)
        self._chunks.extend(chunks)
        if chunks:
            self._after = chunks[-1].last_id
        elif self._rests_until is None:
            self.has_ended = True
        else:
            self._after = self._rests_until

    @property
    def _may_rest(self) -> bool:
        """Whether a further slice may be brought to rest: a commit with the last has begun."""
        return self._asked_until is not None and not any(
            durability.needs_commit for durability in self.waits
        )

    def _rest_more(self) -> None:
        """Take note of what rests by now, and have the next slice of dirty documents rest."""
        while self._coming and self._coming[0][1].is_reached:
            self._rests_until, _ = self._coming.popleft()
        if self._may_rest and self._dirty.sort_some():
            part = self._dirty.take(limits.SNAPSHOT_SLICE_DOCUMENTS)
            self._replication.healing.rest(part)
            self._asked_until = part[-1] if self._dirty else None
            self._coming.append((self._asked_until, Durability(self._replication.healing)))
