"""Fetching: the snapshot that this replica asks for, from one link at a time.

It goes on with another link where the one before broke off, and until it has ended no frames are
asked for.
"""

import logging

from crdtstore import limits
from crdtstore.links.serving import LinkState
from crdtstore.store import Store
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk, SnapshotRequest
from crdtstore.sync.vector import Heads

_log = logging.getLogger("crdtstore.links")


class SnapshotFetch:
    """Which link was asked for a snapshot, and when something of it came last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number: int | None = None
        self._heard_ms = 0
        self._resting: Heads = {}

    @property
    def is_under_way(self) -> bool:
        """Whether a snapshot was asked for, or was broken off and has to go on."""
        return self._number is not None or self._store.replication.progress is not None

    def ask(self, number: int, link: LinkState) -> None:
        """Ask a link for a snapshot, unless another was asked."""
        if self._number is not None:
            return
        self._number = number
        self._resting = {}
        self._heard_ms = self._store.now_ms()
        progress = self._store.replication.progress
        after = "" if progress is None else progress.after
        _log.info("asking for a snapshot%s", f" after {len(after)} bytes of id" if after else "")
        link.session.send(SnapshotRequest(after))

    def resume(self, links: dict[int, LinkState]) -> None:
        """Ask an open link for the rest of a snapshot that was broken off, if there is one."""
        if self._number is not None or self._store.replication.progress is None:
            return
        for number, link in links.items():
            if link.session.state == "open":
                self.ask(number, link)
                return

    def forget(self, number: int) -> None:
        """Take note that a link is gone."""
        if self._number == number:
            self._number = None

    def is_overdue(self, number: int, now_ms: int) -> bool:
        """Say whether a link was asked, and has sent nothing of a snapshot for too long."""
        return number == self._number and now_ms - self._heard_ms > limits.SNAPSHOT_PATIENCE_MS

    def hear_resting(self, number: int, heads: Heads) -> None:
        """Take note of origins at rest that a link tells: its snapshot stands for them too."""
        if number == self._number:
            self._resting.update(heads)

    def begin(self, number: int, begin: SnapshotBegin) -> None:
        """Take note that a link starts, or goes on with, the snapshot that it was asked for."""
        if number == self._number:
            self._store.replication.snapshot_begun(self._resting, begin)

    def receive(self, number: int, link: LinkState, chunk: SnapshotChunk) -> bool:
        """Apply a chunk, unless nobody asked for it; return whether. Raises a ProtocolError."""
        if number != self._number or self._store.replication.progress is None:
            return False
        now_ms = self._store.now_ms()
        link.snapshot_profiles += self._store.replication.snapshot_chunk(chunk, now_ms)
        self._heard_ms = now_ms
        return True

    def end(self, number: int) -> bool:
        """Take over what the snapshot stands for; return False if nobody asked for it."""
        if number != self._number or self._store.replication.progress is None:
            return False
        self._store.replication.snapshot_ended()
        self._number = None
        return True
