"""Commits: making a draft durable, and bringing dirty documents to rest slice by slice.

A commit is one LMDB transaction: journal records, and with them a slice of a checkpoint under way,
waypoint, trimming and named records. Dirty documents are taken in key order. When all that were
dirty at the start of a checkpoint rest, the journal position of that start becomes the place where
a recovery begins.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgpack

from crdtstore import limits
from crdtstore.clock import HybridClock
from crdtstore.engine.causes import CAUSES
from crdtstore.engine.documents import HIDDEN, Documents, learn_structure
from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.identifiers import INDEX_NOTE, changes_between, is_current, note_of
from crdtstore.engine.identity import RESTORED
from crdtstore.engine.indexes import INDEXES_NOTE
from crdtstore.engine.key_order import KeyOrder
from crdtstore.engine.ledger import Ledger, Waypoint
from crdtstore.engine.mark import Mark
from crdtstore.engine.removal import REMOVED
from crdtstore.engine.retention import Retention
from crdtstore.model.cells import texts_in
from crdtstore.model.document import Document
from crdtstore.model.texts import Text
from crdtstore.storage.contract import Batch, MapFull, Storage
from crdtstore.sync.vector import covers, vector_of

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


_KEPT: Final = frozenset(
    {"identity", "names", "births", REMOVED, RESTORED, INDEX_NOTE, INDEXES_NOTE}
)
"""Named records that are committed again when the commit with them failed."""


class Rested(NamedTuple):
    """A document as a commit brings it to rest."""

    profile_id: str
    document: Document
    epoch: int
    stamp: int
    digest: int
    identifiers: frozenset[str]
    texts: tuple[tuple[Text, int], ...]
    text_names: frozenset[str]


@dataclass(slots=True)
class Commit:
    """One commit under way. ``persist`` may run in a worker thread; it touches nothing else.

    ``makes_room`` says that it only trims the journal: what was written waits for the next commit.
    """

    draft: Draft
    batch: Batch
    rested: list[Rested] = field(default_factory=list)
    waypoint: Waypoint | None = None
    trim: Waypoint | None = None
    completed: Mark | None = None
    digest: int = 0
    profiles: int = 0
    makes_room: bool = False

    def persist(self, storage: Storage) -> None:
        """Make the commit durable; raises MapFull, StorageFull or StorageFailed."""
        storage.commit(self.batch)


class Committing:
    """Begins and finishes commits, one at a time.

    ``digest`` is the XOR of the digests of all documents at rest, ``profiles`` counts the living
    ones among them. ``owes_checkpoint`` makes the next commit start a checkpoint: a snapshot that
    we give stands for the last one, so it must cover what we can no longer serve as frames.
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
        self.counters = dict.fromkeys(("commits", "checkpoints", "committed_bytes"), 0)
        self.traces = documents.fresh.traces
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
        self, now_ms: int, whole: bool = False, *, is_full: bool = False, is_lean: bool = False
    ) -> Commit | None:
        """Return the next commit, None if there is none.

        ``whole`` brings documents to rest in large slices, to finish a checkpoint. ``is_full`` says
        that the last commit found no room: then the journal is trimmed first, by a commit that
        does nothing else and so finds room in the reserve. ``is_lean`` leaves a checkpoint alone,
        so that what was written finds room where its documents might not.
        """
        assert self.under_way is None
        starts = not is_lean and self._is_checkpoint_due(now_ms, whole)
        trim = self._retention.due_trim(now_ms, self.mark.position)
        if is_full and trim is not None:
            return self._begin_trim(trim)
        waypoint = self._retention.due_waypoint(now_ms, self._clock.latest)
        goes_on = self._next_mark is not None and not is_lean
        is_half_cleared = self._retention.is_half_cleared
        is_idle = not (starts or goes_on or trim or waypoint or is_half_cleared)
        if self._drafting.is_empty and is_idle:
            return None
        draft = self._drafting.take()
        self.owes_checkpoint |= draft.has_woken
        batch = Batch(
            journal=list(enumerate(draft.records, self._ledger.position + 1)),
            meta=self._retention.known.take_news(now_ms, whole=whole) | draft.meta,
        )
        batch.meta.update((HIDDEN + profile_id, None) for profile_id in draft.healed)
        commit = Commit(draft, batch, waypoint=waypoint, trim=trim)
        if starts:
            self._start_checkpoint(batch, now_ms, is_calm=whole or not self._is_hurried)
        self._rest_documents(commit, whole, goes_on or starts, now_ms)
        if waypoint is not None:
            batch.waypoints.append((waypoint.position, waypoint.pack()))
        if trim is not None:
            _trim(batch, trim)
        elif is_half_cleared:
            batch.trim_before = self._ledger.first_position
        self.under_way = commit
        return commit

    def _begin_trim(self, trim: Waypoint) -> Commit:
        commit = Commit(
            Draft(), Batch(), trim=trim, digest=self.digest, profiles=self.profiles, makes_room=True
        )
        _trim(commit.batch, trim)
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

    def _rest_documents(self, commit: Commit, whole: bool, goes_on: bool, now_ms: int) -> None:
        commit.digest, commit.profiles = self.digest, self.profiles
        elapsed_ms, self._begun_ms = now_ms - self._begun_ms, now_ms
        taken = set(commit.draft.resting)
        if taken and not self._documents.has_learned:
            learn_structure(self._documents)  # for the close, which packs what a snapshot brings
        self._rest(commit, taken, is_calm=False)
        if goes_on and self._next_mark is not None:
            size = _slice_of(len(self._documents.dirty), elapsed_ms)
            size = limits.HURRIED_SLICE_DOCUMENTS_MAX if whole else size
            size = min(size, limits.BATCH_DOCUMENTS_MAX - len(taken))
            if not (self._pending.sort_some() or whole):
                size = 0
            while size > 0 and self._owes and len(commit.batch.index) < limits.BATCH_INDEX_KEYS:
                part = self._next_ids(min(size, limits.CHECKPOINT_SLICE_DOCUMENTS))
                self._rest(commit, set(part) - taken, is_calm=self._is_calm)
                size -= len(part)
            if not self._owes:
                self._documents.forget_packed()
                commit.completed = self._next_mark
                commit.batch.meta["checkpoint"] = self._next_mark.pack()
                commit.batch.meta[CAUSES] = self._next_causes
                commit.batch.meta.update(self._documents.hidden())
        if commit.draft.healed:
            self.is_indexed = False  # nobody knows what the index had of a damaged document
            self.indexes.doubt()
        if commit.rested:
            totals = _pack([commit.digest.to_bytes(16, "big"), commit.profiles])
            commit.batch.meta["totals"] = totals
            note = note_of(self.traces, totals) if self.is_indexed else None
            commit.batch.meta[INDEX_NOTE] = note
            if self.indexes.prefixes:
                commit.batch.meta[INDEXES_NOTE] = self.indexes.note(totals)

    @property
    def _owes(self) -> bool:
        """Whether documents are left that the checkpoint under way has to bring to rest."""
        return bool(self._ahead or self._pending)

    def _next_ids(self, count: int) -> list[str]:
        """Take the next ids of the checkpoint under way, up to so many."""
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken or self._pending.take(count)

    def prepare(self) -> bool:
        """Do a little of what the next commit takes; return whether there may be more to do.

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
            return True
        ahead_max = max(limits.PACKED_AHEAD_MAX, _hurried_slice_of(len(self._documents.dirty)))
        if self._next_mark is None or len(self._ahead) >= ahead_max:
            return False
        if not self._pending.sort_some():
            return True
        part = self._pending.take(limits.PACKED_AHEAD_AT_ONCE)
        self._documents.pack_ahead(part, is_calm=self._is_calm)
        self._ahead += part
        return bool(part)

    def _rest(self, commit: Commit, profile_ids: Iterable[str], *, is_calm: bool) -> None:
        """Put documents, and what they change in the index, into a commit."""
        rested = self._documents.rest(sorted(profile_ids), is_calm=is_calm)
        for profile_id, document, (record, digest, identifiers) in rested:
            commit.batch.documents.append((profile_id.encode(), record))
            commit.batch.index += changes_between(
                self.traces, profile_id, document.stored_identifiers, identifiers
            )
            commit.batch.index += self.indexes.changes(profile_id, document)
            commit.batch.meta.update(self._documents.texts.rows(profile_id, document))
            texts = tuple((text, text.changes) for text in document.texts.values())
            has_texts = bool(texts or document.stored_texts)
            commit.rested.append(
                Rested(
                    profile_id,
                    document,
                    document.epoch,
                    document.stamp,
                    digest,
                    identifiers,
                    texts,
                    texts_in(document.cells) if has_texts else frozenset(),
                )
            )
            commit.digest ^= document.stored_digest ^ digest
            commit.profiles += (1 - (document.epoch & 1)) - document.stored_living

    def living(self) -> int:
        """Return the number of living documents, at rest or not."""
        return self.profiles + self._documents.living_beyond_rest()

    def doubt_index(self) -> None:
        """Have all indexes built anew when the store is opened the next time."""
        self.is_indexed = False
        self.indexes.distrust()
        self._drafting.draft.meta |= {INDEX_NOTE: None, INDEXES_NOTE: None}

    def finish(self, commit: Commit) -> None:
        """Take note that a commit is durable."""
        assert self.under_way is commit
        self.under_way = None
        draft = commit.draft
        self._ledger.committed(commit.batch.journal, draft.reached, draft.rested_before)
        if commit.waypoint is not None:
            self._ledger.waypoint_committed(commit.waypoint)
        if commit.trim is not None:
            self._ledger.trimmed(commit.trim)
        for rested in commit.rested:
            profile_id, document, epoch, stamp, digest, identifiers, texts, text_names = rested
            document.stored_digest = digest
            document.stored_living = 1 - (epoch & 1)
            document.stored_identifiers = identifiers
            document.stored_texts = text_names
            for text, changes in texts:
                text.rested = changes
            if document.stamp == stamp and document.epoch == epoch:
                self._documents.settle(profile_id)
        self.digest, self.profiles = commit.digest, commit.profiles
        if commit.completed is not None:
            self.mark = commit.completed
            self._next_mark = None
            self.counters["checkpoints"] += 1
        self.counters["commits"] += 1
        self.counters["committed_bytes"] += sum(len(raw) for _, raw in commit.batch.journal)

    def abandon(self, commit: Commit) -> None:
        """Undo a commit that could not be made durable, and all that was written after it."""
        assert self.under_way is commit
        self.under_way = None
        self._pending, self._ahead = KeyOrder(), []
        self._documents.forget_packed()
        self._next_mark = None
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


def _slice_of(dirty: int, elapsed_ms: int) -> int:
    """Return how many documents a commit of ordinary size brings to rest.

    A checkpoint takes about as long whether commits are quick and many or slow and few. If more are
    dirty than it waits for, they come in faster than they rest.
    """
    hurried = _hurried_slice_of(dirty)
    if hurried:
        return hurried
    paced = dirty * min(elapsed_ms, limits.CHECKPOINT_PACE_MS_MAX) // limits.CHECKPOINT_MS
    return max(limits.CHECKPOINT_SLICE_DOCUMENTS, paced)


def _hurried_slice_of(dirty: int) -> int:
    """Return how many that is when a quarter more are dirty than start a checkpoint, 0 before."""
    excess = dirty - limits.CHECKPOINT_DOCUMENTS * 5 // 4
    if excess <= 0:
        return 0
    return min(max(excess, limits.HURRIED_SLICE_DOCUMENTS), limits.HURRIED_SLICE_DOCUMENTS_MAX)


def _trim(batch: Batch, trim: Waypoint) -> None:
    batch.trim_before = trim.position + 1
    batch.meta["trimmed"] = trim.pack()


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
