"""Cleaning: after an erasure, getting rid of every old byte of it on this replica, and saying so.

    owed        an erasure was learned of, or something late came for it; its commit is durable
    heard       written down; a whole checkpoint has to rest, and the journal up to here has to go:
                as soon as all known replicas have it and nobody reads the feed, or after the grace
    scrubbing   what was deleted is overwritten in all files
    confirmed   written down: the receipt

Several erasures are cleaned up in one round; what comes meanwhile waits for the next.
"""

import logging
from typing import Final

from crdtstore import limits
from crdtstore.engine.commits import Commit, Committing
from crdtstore.engine.erasing import Erasing
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.replication import Replication
from crdtstore.engine.retention import Retention
from crdtstore.errors import StorageError
from crdtstore.model.erasure import CONFIRMED, HEARD, Erasure
from crdtstore.storage.contract import ScrubInterrupted, Storage, StorageScrub

_REST_PER_WORK: Final = 10
"""After a scrub the next one waits for so many times as long as the scrub took."""

_log = logging.getLogger("crdtstore.erasures")


class Cleaning:
    """What one store still has to do for erasures.

    ``scrub`` is set while files are overwritten: who drives the store calls ``step`` between
    commits. ``rounds`` counts those that are done.
    """

    def __init__(
        self,
        storage: Storage,
        ledger: Ledger,
        erasing: Erasing,
        committing: Committing,
        retention: Retention,
        replication: Replication,
        *,
        grace_ms: int,
    ) -> None:
        self.scrub: StorageScrub | None = None
        self.rounds = 0
        self._storage = storage
        self._ledger = ledger
        self._erasing = erasing
        self._committing = committing
        self._retention = retention
        self._replication = replication
        self._grace_ms = grace_ms
        self._drafted: set[str] = set()
        self._has_moved = False
        self._begun: set[str] = set()
        self._durable: set[str] = set()
        self._round: dict[str, Erasure] = {}
        self._through = 0
        self._scrub_began_ms = 0
        self._rests_until_ms = 0
        self._is_scrubbed = False

    def resume(self) -> None:
        """Take up what was not confirmed when the store was closed, or a commit failed."""
        self._end_round()
        self._drafted.clear()
        self._begun.clear()
        self._durable = {
            document_id
            for document_id, erasure in self._erasing.suppression.erasures.items()
            if self._state_of(erasure) != CONFIRMED
        }

    def _state_of(self, erasure: Erasure) -> str:
        receipt = erasure.receipts.get(self._replication.identity.name)
        return "" if receipt is None else receipt.state

    # --- with commits -------------------------------------------------------------------------

    def advance(self, now_ms: int) -> None:
        """Do what can be done now; what it writes goes with the commit that begins after it."""
        erasing = self._erasing
        if self._is_scrubbed:
            self._confirm()
        elif self._round:
            may_scrub = self.scrub is None and self._committing.settling is None
            if may_scrub and self._is_forgotten() and now_ms >= self._rests_until_ms:
                self._begin_scrub(now_ms)
        elif self._durable:
            self._begin_round(now_ms)
        self._drafted |= erasing.owed
        erasing.owed.clear()

    def commit_begun(self, commit: Commit | None) -> None:
        """Take note of a commit that begins, which makes durable what was drafted.

        If there is none to begin, all of it is durable already.
        """
        self._begun = set()
        if commit is None:
            self._durable |= self._drafted
            self._has_moved, self._drafted = bool(self._drafted), set()
        elif not commit.makes_room:
            self._begun, self._drafted = self._drafted, set()

    def commit_finished(self) -> None:
        """Take note that the commit that had begun is durable."""
        self._durable |= self._begun
        self._begun = set()

    def can_go_on(self, now_ms: int) -> bool:
        """Whether another commit would bring it further, with no need to wait for anything."""
        if self._is_scrubbed or self._drafted or self._begun or self._erasing.owed:
            return True
        if not self._round:
            return bool(self._durable)
        position = self._committing.mark.position
        return (
            position < self._through
            or self._retention.is_half_cleared
            or self._retention.due_trim(now_ms, position) is not None
            or (self._is_forgotten() and now_ms >= self._rests_until_ms)
        )

    def _begin_round(self, now_ms: int) -> None:
        """Write down what was heard, and have everything up to here rest and leave the journal."""
        erasures = self._erasing.suppression.erasures
        self._round = {document_id: erasures[document_id] for document_id in self._durable}
        self._durable = set()
        self._through = self._ledger.position
        for document_id in sorted(self._round):
            self._erasing.say(document_id, self._replication.identity.name, HEARD)
        self._replication.quarantine.forget()
        self._committing.owes_checkpoint = True
        self._retention.clear_through(self._through, now_ms + self._grace_ms)

    def _is_forgotten(self) -> bool:
        """Say whether nothing but deleted bytes is left."""
        is_resting = self._committing.mark.position >= self._through
        return is_resting and self._storage.journal_bounds()[0] > self._through

    def _begin_scrub(self, now_ms: int) -> None:
        self._erasing.forget(self._round.values())
        self._scrub_began_ms = now_ms
        try:
            self.scrub = self._storage.scrub()
        except StorageError as error:
            _log.error("what was erased could not be overwritten yet: %s", error)
            self._rests_until_ms = now_ms + limits.SCRUB_RETRY_MS

    def _confirm(self) -> None:
        self._is_scrubbed = False
        for document_id, erasure in list(self._round.items()):
            if erasure.traces and erasure.key_check != self._erasing.suppression.traces.check:
                del self._round[document_id]
                _log.error(
                    "erasure %s was made with another suppression_key: this replica cannot look "
                    "for its identifiers, and does not confirm; give all replicas the same key",
                    erasure.id,
                )
        again = self._drafted | self._begun | self._durable | self._erasing.owed
        for document_id in sorted(self._round.keys() - again):
            self._erasing.say(document_id, self._replication.identity.name, CONFIRMED)
        self.rounds += 1
        self._end_round()

    def _end_round(self) -> None:
        self._round = {}
        self._is_scrubbed = False
        self._retention.clear_through(0, 0)
        if self.scrub is not None:
            self.scrub.close()
            self.scrub = None

    # --- between commits ----------------------------------------------------------------------

    def finish(self, commit: Commit | None, now_ms: int) -> bool:
        """Overwrite all there is to overwrite now; return whether another commit goes on with it.

        For a store that is driven by one thread, which does nothing else meanwhile.
        """
        is_news = (commit is not None or self._has_moved) and self.can_go_on(now_ms)
        self._has_moved = False
        while self.scrub is not None:
            self.step(now_ms)
            is_news = True
        return is_news

    def step(self, now_ms: int) -> None:
        """Overwrite some more, in the owner's thread; nothing else may use the storage."""
        assert self.scrub is not None
        try:
            is_done = self.scrub.step()
        except StorageError as error:
            self.step_failed(error, now_ms)
        else:
            self.stepped(is_done, now_ms)

    def stepped(self, is_done: bool, now_ms: int) -> None:
        """Take note of the end of a step that was made in another thread."""
        if self.scrub is None or not is_done:
            return
        self.scrub.close()
        self.scrub = None
        self._is_scrubbed = True
        self._rests_until_ms = now_ms + _REST_PER_WORK * (now_ms - self._scrub_began_ms)

    def step_failed(self, error: StorageError, now_ms: int) -> None:
        """Take note that a step failed: the scrub begins anew, later if the disk is ill."""
        if self.scrub is not None:
            self.scrub.close()
            self.scrub = None
        if not isinstance(error, ScrubInterrupted):
            _log.error("what was erased could not be overwritten yet: %s", error)
            self._rests_until_ms = now_ms + limits.SCRUB_RETRY_MS
