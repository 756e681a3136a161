"""Commits: making a draft durable, and bringing dirty documents to rest slice by slice.

A commit has journal records, waypoint and named records, and its settlement a slice of a checkpoint
under way and the trimming of the journal. They are one transaction, or the settlement is one of its
own, after the commit and beside the next ones. Dirty documents are taken in key order. When all
that were dirty at the start of a checkpoint rest, the journal position of that start becomes the
place where a recovery begins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.clock import HybridClock
from crdtstore.engine.causes import CAUSES
from crdtstore.engine.checkpoint_pace import hurried_slice_of, slice_of
from crdtstore.engine.documents import HIDDEN, Documents, learn_structure
from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.identifiers import INDEX_NOTE, is_current, note_of
from crdtstore.engine.identity import RESTORED
from crdtstore.engine.indexes import INDEXES_NOTE
from crdtstore.engine.key_order import KeyOrder
from crdtstore.engine.ledger import Ledger, Waypoint
from crdtstore.engine.mark import Mark
from crdtstore.engine.removal import REMOVED
from crdtstore.engine.retention import Retention
from crdtstore.engine.settlement import Settlement
from crdtstore.errors import StorageError
from crdtstore.storage.contract import Batch, MapFull, Storage
from crdtstore.sync.vector import covers, vector_of

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


_KEPT: Final = frozenset(
    {"identity", "names", "births", REMOVED, RESTORED, INDEX_NOTE, INDEXES_NOTE}
)
"""Named records that are committed again when the commit with them failed."""


@dataclass(slots=True)
class Commit:
    """One commit under way. ``persist`` may run in a worker thread; it touches nothing else.

    ``settlement`` are the documents that come to rest with it, or ``is_apart`` after it.
    ``makes_room`` says that it only trims the journal: what was written waits for the next commit.
    """

    draft: Draft
    batch: Batch
    settlement: Settlement | None = None
    is_apart: bool = False
    waypoint: Waypoint | None = None
    makes_room: bool = False

    def persist(self, storage: Storage) -> None:
        """Make the commit durable; raises MapFull, StorageFull or StorageFailed."""
        storage.commit(self.batch)
        if self.is_apart and self.settlement is not None:
            storage.seal(self.settlement.batch)


class Committing:
    """Begins and finishes commits, one at a time.

    ``digest`` is the XOR of the digests of all documents at rest, ``profiles`` counts the living
    ones among them. ``settling`` is the settlement under way that is apart, ``transactions`` counts
    commits and such settlements. ``owes_checkpoint`` makes the next commit start a checkpoint: a
    snapshot that we give stands for the last one, so it must cover what we can no longer serve as
    frames.
    ``is_indexed`` says that the index of identifiers stands for the documents at rest, ``indexes``
    are those that the schema declares.
    """

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        ledger: Ledger,
        drafting: Drafting,
        clock: HybridClock,
        retention: Retention,
    ) -> None:
        self.mark = Mark.unpack(storage.meta("checkpoint"))
        self.digest, self.profiles = _unpack_totals(storage.meta("totals"))
        self.under_way: Commit | None = None
        self.settling: Settlement | None = None
        self.transactions = 0
        self.counters = dict.fromkeys(("commits", "checkpoints", "committed_bytes"), 0)
        self.traces = documents.fresh.traces
        self._storage = storage
        self._documents = documents
        self._ledger = ledger
        self._drafting = drafting
        self._clock = clock
        self._retention = retention
        self.indexes = documents.indexes
        self.owes_checkpoint = self._is_floor_above_mark()
        self.is_indexed = is_current(storage, documents.fresh.traces)
        self._pending = KeyOrder()
        self._ahead: list[str] = []
        self._next_mark: Mark | None = None
        self._next_causes = b""
        self._is_calm = False
        self._started_ms = 0
        self._begun_ms = 0

    def begin(
        self,
        now_ms: int,
        whole: bool = False,
        *,
        is_full: bool = False,
        is_lean: bool = False,
        apart: bool = False,
    ) -> Commit | None:
        """Return the next commit, None if there is none.

        ``whole`` brings documents to rest in large slices, to finish a checkpoint. ``is_full`` says
        that the last commit found no room: then the journal is trimmed first, by a commit that
        does nothing else and so finds room in the reserve. ``is_lean`` leaves a checkpoint alone,
        so that what was written finds room where its documents might not. With ``apart`` documents
        may come to rest apart: only then may it be called while others are ``settling``.
        """
        assert self.under_way is None
        is_free = self.settling is None
        assert is_free or (apart and not self.waits_for_settlement)
        starts = is_free and not is_lean and self._is_checkpoint_due(now_ms, whole)
        trim = self._retention.due_trim(now_ms, self.mark.position) if is_free else None
        if is_full and trim is not None:
            return self._begin_trim(trim)
        waypoint = self._retention.due_waypoint(now_ms, self._clock.latest)
        goes_on = is_free and self._next_mark is not None and not is_lean
        is_half_cleared = is_free and self._retention.is_half_cleared
        is_crowded = is_free and apart and self._storage.is_crowded
        is_idle = not (starts or goes_on or trim or waypoint or is_half_cleared or is_crowded)
        if is_idle and (self._drafting.is_empty or not (is_free or self.has_news)):
            return None
        draft = self._drafting.take()
        if not is_free:
            draft.leave_resting(self._drafting.draft)
        self.owes_checkpoint |= draft.has_woken
        batch = Batch(
            journal=list(enumerate(draft.records, self._ledger.position + 1)),
            meta=self._retention.known.take_news(now_ms, whole=whole) | draft.meta,
        )
        batch.meta.update((HIDDEN + profile_id, None) for profile_id in draft.healed)
        commit = Commit(draft, batch, waypoint=waypoint, is_apart=apart and not draft.has_joined)
        if waypoint is not None:
            batch.waypoints.append((waypoint.position, waypoint.pack()))
        if starts:
            self._start_checkpoint(batch, now_ms, is_calm=whole or not self._is_hurried)
        if is_free:
            self._begun_ms, elapsed_ms = now_ms, now_ms - self._begun_ms
            settlement = self._new_settlement(Batch() if commit.is_apart else batch)
            settlement.wanted = draft.resting
            self._rest_documents(settlement, draft, whole, goes_on or starts, elapsed_ms)
            if trim is not None:
                settlement.cut(trim)
            elif is_half_cleared:
                settlement.batch.trim_before = self._ledger.first_position
            if not commit.is_apart or is_crowded or settlement.batch != Batch():
                commit.settlement = settlement
        self.under_way = commit
        return commit

    @property
    def waits_for_settlement(self) -> bool:
        """Whether the next commit cannot begin before the settlement under way has ended.

        Documents of a peer are not in the journal, so they rest with their commit; an erasure may
        need the reserves, which nothing else shall take.
        """
        draft = self._drafting.draft
        return self.settling is not None and (draft.has_joined or draft.erasures > 0)

    @property
    def has_news(self) -> bool:
        """Whether there is something to commit but documents that shall rest."""
        self._drafting.seal_frame()
        return self._drafting.draft.has_news

    def _new_settlement(self, batch: Batch) -> Settlement:
        return Settlement(self.digest, self.profiles, batch)

    def _begin_trim(self, trim: Waypoint) -> Commit:
        batch = Batch()
        commit = Commit(Draft(), batch, self._new_settlement(batch), makes_room=True)
        assert commit.settlement is not None
        commit.settlement.cut(trim)
        self.under_way = commit
        return commit

    def _is_checkpoint_due(self, now_ms: int, whole: bool) -> bool:
        dirty = len(self._documents.dirty)
        if not dirty or not self._started_ms:
            self._started_ms = now_ms
        if self._next_mark is not None:
            return False
        if whole and (dirty > 0 or self._ledger.position > self.mark.position):
            return True
        return (
            self.owes_checkpoint
            or self._is_hurried
            or (dirty > 0 and now_ms - self._started_ms >= limits.CHECKPOINT_INTERVAL_MS)
        )

    @property
    def _is_hurried(self) -> bool:
        """Whether so much was written that a checkpoint cannot wait for its time."""
        journal_bytes = self._ledger.bytes_total - self.mark.bytes_total
        return (
            len(self._documents.dirty) >= limits.CHECKPOINT_DOCUMENTS
            or journal_bytes > limits.CHECKPOINT_JOURNAL_BYTES
        )

    def _is_floor_above_mark(self) -> bool:
        return not covers(vector_of(self.mark.heads), self._ledger.floor)

    def _start_checkpoint(self, batch: Batch, now_ms: int, *, is_calm: bool) -> None:
        """Start a checkpoint with this commit, whose own records it includes.

        One that is calm has its documents packed. That is bounded: it has fewer documents than one
        that is hurried, and comes when its time has come.
        """
        self._is_calm = is_calm
        if is_calm:
            learn_structure(self._documents)
        self.owes_checkpoint = False
        self._started_ms = now_ms
        self._next_mark = Mark(
            position=self._ledger.position + len(batch.journal),
            bytes_total=self._ledger.bytes_total + sum(len(raw) for _, raw in batch.journal),
            timestamp=self._clock.latest,
            heads=dict(self._ledger.heads),
        )
        self._next_causes = self._drafting.causes.pack()
        self._pending, self._ahead = KeyOrder(self._documents.dirty), []

    def _rest_documents(
        self, settlement: Settlement, draft: Draft, whole: bool, goes_on: bool, elapsed_ms: int
    ) -> None:
        meta = settlement.batch.meta
        taken = set(draft.resting)
        if taken and not self._documents.has_learned:
            learn_structure(self._documents)  # for the close, which packs what a snapshot brings
        settlement.add(self._documents, taken, is_calm=False)
        if goes_on and self._next_mark is not None:
            size = slice_of(len(self._documents.dirty), elapsed_ms)
            size = limits.HURRIED_SLICE_DOCUMENTS_MAX if whole else size
            size = min(size, limits.BATCH_DOCUMENTS_MAX - len(taken))
            if not (self._pending.sort_some() or whole):
                size = 0
            index = settlement.batch.index
            while size > 0 and self._owes and len(index) < limits.BATCH_INDEX_KEYS:
                part = self._next_ids(min(size, limits.CHECKPOINT_SLICE_DOCUMENTS))
                settlement.add(self._documents, set(part) - taken, is_calm=self._is_calm)
                size -= len(part)
            if not self._owes:
                self._documents.forget_packed()
                settlement.completed = self._next_mark
                meta["checkpoint"] = self._next_mark.pack()
                meta[CAUSES] = self._next_causes
                meta.update(self._documents.hidden())
        if draft.healed:
            self.is_indexed = False  # nobody knows what the index had of a damaged document
            self.indexes.doubt()
        if settlement.rested:
            totals = _pack([settlement.digest.to_bytes(16, "big"), settlement.profiles])
            meta["totals"] = totals
            meta[INDEX_NOTE] = note_of(self.traces, totals) if self.is_indexed else None
            if self.indexes.prefixes:
                meta[INDEXES_NOTE] = self.indexes.note(totals)

    @property
    def _owes(self) -> bool:
        """Whether documents are left that the checkpoint under way has to bring to rest."""
        return bool(self._ahead or self._pending)

    def _next_ids(self, count: int) -> list[str]:
        """Take the next ids of the checkpoint under way, up to so many."""
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken or self._pending.take(count)

    @property
    def can_prepare(self) -> bool:
        """Whether there is something to do for ``prepare``."""
        draft = self._drafting.draft
        if draft.packed_ahead < len(draft.resting):
            return True
        ahead_max = max(limits.PACKED_AHEAD_MAX, hurried_slice_of(len(self._documents.dirty)))
        return self._next_mark is not None and bool(self._pending) and len(self._ahead) < ahead_max

    def prepare(self) -> None:
        """Do a little of what the next commit takes, about 2 ms, if there is something.

        Nothing is decided here: what was packed is packed again if it changes, and what nobody
        prepared is done when the commit begins.
        """
        draft = self._drafting.draft
        if draft.packed_ahead < len(draft.resting):
            start, draft.packed_ahead = (
                draft.packed_ahead,
                draft.packed_ahead + limits.PACKED_AHEAD_AT_ONCE,
            )
            self._documents.pack_ahead(draft.resting[start : draft.packed_ahead], is_calm=False)
        elif self.can_prepare and self._pending.sort_some():
            part = self._pending.take(limits.PACKED_AHEAD_AT_ONCE)
            self._documents.pack_ahead(part, is_calm=self._is_calm)
            self._ahead += part

    def living(self) -> int:
        """Return the number of living documents, at rest or not."""
        return self.profiles + self._documents.living_beyond_rest()

    def doubt_index(self) -> None:
        """Have all indexes built anew when the store is opened the next time."""
        self.is_indexed = False
        self.indexes.distrust()
        self._drafting.draft.meta |= {INDEX_NOTE: None, INDEXES_NOTE: None}

    def finish(self, commit: Commit) -> None:
        """Take note that a commit is durable; its settlement begins, if that is apart."""
        assert self.under_way is commit
        self.under_way = None
        draft = commit.draft
        self._ledger.committed(commit.batch.journal, draft.reached, draft.rested_before)
        if commit.waypoint is not None:
            self._ledger.waypoint_committed(commit.waypoint)
        if commit.settlement is not None and commit.is_apart:
            self.settling = commit.settlement
        elif commit.settlement is not None:
            self._take_note(commit.settlement)
        self.transactions += 1
        self.counters["commits"] += 1
        self.counters["committed_bytes"] += sum(len(raw) for _, raw in commit.batch.journal)

    def settled(self, settlement: Settlement, error: StorageError | None = None) -> None:
        """Take note how the settlement under way ended; what could not rest stays dirty."""
        assert self.settling is settlement
        self.settling = None
        if error is None:
            self._take_note(settlement)
            self.transactions += 1
        else:
            self._drafting.rest(settlement.wanted)
            self.owes_checkpoint |= self._next_mark is not None
            self._abandon_checkpoint()

    def _take_note(self, settlement: Settlement) -> None:
        if settlement.trim is not None:
            self._ledger.trimmed(settlement.trim)
        settlement.take_note(self._documents)
        self.digest, self.profiles = settlement.digest, settlement.profiles
        if settlement.completed is not None:
            self.mark = settlement.completed
            self._next_mark = None
            self.counters["checkpoints"] += 1

    def abandon(self, commit: Commit) -> None:
        """Undo a commit that could not be made durable, and all that was written after it."""
        assert self.under_way is commit
        self.under_way = None
        self._abandon_checkpoint()
        newer = self._drafting.draft
        self._drafting.roll_back(commit.draft)
        for draft in (commit.draft, newer):
            self._drafting.draft.meta.update(
                (name, value)
                for name, value in draft.meta.items()
                if name in _KEPT or name.startswith("quarantine/")
            )
        self._retention.commit_failed()
        self.owes_checkpoint = self._is_floor_above_mark()

    def _abandon_checkpoint(self) -> None:
        self._pending, self._ahead = KeyOrder(), []
        self._documents.forget_packed()
        self._next_mark = None


def persist_growing(commit: Commit, storage: Storage) -> None:
    """Make a commit durable in the caller's own thread, growing the map as needed."""
    while True:
        try:
            return commit.persist(storage)
        except MapFull:
            if not storage.grow():
                raise


def _unpack_totals(packed: bytes | None) -> tuple[int, int]:
    if packed is None:
        return 0, 0
    digest, profiles = msgpack.unpackb(packed)
    return int.from_bytes(digest, "big"), profiles
