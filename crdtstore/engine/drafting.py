"""Drafting: applying writes and frames in memory, and gathering what the next commit makes durable.

Every change is undoable until its commit is durable: a full disk then leaves the store as if the
refused writes had never been made.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from crdtstore import limits
from crdtstore.clock import HybridClock, wall_ms_of
from crdtstore.engine.causes import Causes
from crdtstore.engine.conflict_log import ConflictLog
from crdtstore.engine.document_size import check_document_size
from crdtstore.engine.documents import Documents
from crdtstore.engine.draft import Draft
from crdtstore.engine.entries import Entry, WholeTexts, check_chunk, check_entry, whole_texts
from crdtstore.engine.ledger import NO_HEAD, Ledger
from crdtstore.engine.number_maps import pack_numbers
from crdtstore.engine.suppression import Suppression
from crdtstore.errors import (
    ClockSkew,
    FrameCorrupt,
    FrameForked,
    InvalidValue,
    LimitExceeded,
    StorageCorrupt,
)
from crdtstore.model.cells import Cells, timestamp_before
from crdtstore.model.document import Document, Meetings, absorb, absorb_texts, begin, undo_all
from crdtstore.model.values import pack
from crdtstore.names import OWN_IDS
from crdtstore.sync.frame import Frame, seal
from crdtstore.sync.vector import Head, Vector

_FRAME_ENTRIES_BYTES = limits.WRITE_BYTES_MAX
_FRAME_BODY_BYTES = limits.FRAME_BYTES_MAX - 1 * limits.KIBIBYTE
_DEPENDENCY_BYTES = 18


class Drafting:
    """The one place where documents change.

    ``origin`` signs the frames made here. ``counters`` counts what happened, for the metrics.
    ``suppression`` has the erasures, and takes note of what arrives for them.
    ``causes`` and ``conflicts`` take note of what was written without having been seen.
    """

    def __init__(
        self,
        documents: Documents,
        ledger: Ledger,
        clock: HybridClock,
        causes: Causes,
        conflicts: ConflictLog,
        *,
        origin: int,
        tag: bytes,
        clock_skew_ms_max: int,
    ) -> None:
        self.origin = origin
        self.causes = causes
        self.conflicts = conflicts
        self._logged = conflicts.logged
        self.draft = Draft(meta=dict(conflicts.unreadable))
        self.counters = dict.fromkeys(
            ("writes", "frames_sealed", "frames_applied", "snapshot_documents"), 0
        )
        self._documents = documents
        self._ledger = ledger
        self._clock = clock
        self._tag = tag
        self._clock_skew_ms_max = clock_skew_ms_max
        self.suppression = Suppression(documents.fresh.traces)
        self.erased_writes = 0
        self._entries: list[bytes] = []
        self._entries_bytes = 0
        self._sealed_timestamp = clock.latest
        # Which causes the last frame before a restart named is not noted: the next names all.
        self._dependencies = ledger.durable_of_others(origin)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        draft = self.draft
        has_moved = bool(draft.rested_before)
        return not (self._entries or draft.records or draft.resting or draft.meta or has_moved)

    @property
    def latest_timestamp(self) -> int:
        """A timestamp at or above all that was written or applied here."""
        return self._clock.latest

    # --- local writes -------------------------------------------------------------------------

    def record(self, profile_id: str, document: Document, epoch: int, delta: Cells) -> None:
        """Apply a local write's delta and put it into the frame being filled.

        Raises LimitExceeded, with nothing changed, if the write or the document is too large.
        """
        entry = pack((profile_id, epoch, delta))
        if len(entry) > limits.WRITE_BYTES_MAX:
            raise LimitExceeded(
                f"the write to profile {profile_id!r}", len(entry), limits.WRITE_BYTES_MAX, "bytes"
            )
        document.size_bytes += len(entry)
        if document.size_bytes > limits.DOCUMENT_BYTES_MAX:
            check_document_size(profile_id, document, epoch, delta)
        if (
            self._entries_bytes + len(entry) > _FRAME_ENTRIES_BYTES
            or len(self._entries) >= limits.WRITES_PER_FRAME_MAX
        ):
            self.seal_frame(timestamp_before(delta))
        self._notice(profile_id, document, epoch, delta)
        absorb(document, epoch, delta, self.draft.undo)
        self._documents.note_change(profile_id, document, delta)
        if profile_id in self._logged:
            self.conflicts.written(profile_id, document, delta, self.draft.meta)
        self._entries.append(entry)
        self._entries_bytes += len(entry)
        self.draft.writes += 1
        self.draft.erasures += epoch & 1
        self.erased_writes += epoch & 1

    def seal_frame(self, timestamp: int = 0) -> None:
        """Close the frame being filled, if it holds anything, and start the next one.

        Its timestamp is the latest if none is given. Dependencies that leave no room for the
        writes go ahead in a frame of their own.
        """
        if not self._entries:
            return
        timestamp = timestamp or self._clock.latest
        while len(self._dependencies) > limits.ORIGINS_MAX:
            ahead = list(self._dependencies)[: limits.ORIGINS_MAX]
            self._seal([], {o: self._dependencies.pop(o) for o in ahead}, timestamp)
        dependencies_bytes = _DEPENDENCY_BYTES * len(self._dependencies)
        if self._entries_bytes + dependencies_bytes > _FRAME_BODY_BYTES:
            self._seal([], self._dependencies, timestamp)
            self._dependencies = {}
        self.counters["writes"] += len(self._entries)
        self._seal(self._entries, self._dependencies, timestamp)
        self._dependencies = {}
        self._entries = []
        self._entries_bytes = 0

    def _seal(self, entries: list[bytes], dependencies: Vector, timestamp: int) -> None:
        frame = seal(
            origin=self.origin,
            previous=self._ledger.head(self.origin),
            timestamp=timestamp,
            dependencies=dependencies,
            entries=entries,
            tag=self._tag,
        )
        if dependencies:
            undo, latest = self.draft.causes_before, self._clock.latest
            self.causes.learn(self.origin, dependencies, undo, latest)
        self._sealed_timestamp = timestamp
        self._advance(frame, bool(entries))
        self.counters["frames_sealed"] += 1

    # --- from elsewhere -----------------------------------------------------------------------

    def apply_frame(
        self, frame: Frame, dependencies: Vector, writes: Sequence[Any], now_ms: int
    ) -> None:
        """Apply the next frame of another origin, whole or not at all, with what its body holds.

        Raises FrameForked, FrameCorrupt or ClockSkew.
        """
        head = self._ledger.head(frame.origin)
        assert frame.sequence == head[0] + 1, (frame.sequence, head[0])
        if frame.previous_hash != head[1]:
            raise FrameForked(
                f"frame {frame.sequence} of origin {frame.origin:016x} does not follow the frame "
                "before it here: the origin wrote two histories"
            )
        self.check_clock(frame.timestamp, now_ms)
        for write in writes:
            check_entry(write, frame.timestamp, frame.origin)
        documents = self._documents
        fitted = documents.texts.fitted(writes, documents.get_to_join, self.origin)
        if frame.origin not in self._ledger.heads and head[0]:
            self.causes.documents_came(self._clock.latest)  # what it had seen was forgotten
        if dependencies:
            undo, latest = self.draft.causes_before, self._clock.latest
            self.causes.learn(frame.origin, dependencies, undo, latest)
        if self._absorb_frame(frame.origin, fitted, has_edits=fitted is not writes):
            self.seal_frame()  # or it would depend on a frame that its writes had not seen
        self._clock.observe(frame.timestamp)
        self._dependencies[frame.origin] = frame.sequence
        self._advance(frame, bool(writes))
        self.counters["frames_applied"] += 1

    def apply_documents(
        self, entries: Any, timestamp: int, now_ms: int, allowed: Container[str] | None = None
    ) -> list[str]:
        """Join whole documents of a peer, to rest with the next commit; return their ids.

        Those that were damaged here are healed by it. ``allowed`` are the ids asked for, None if
        any may come. Raises FrameCorrupt or ClockSkew with nothing changed.
        """
        self.check_clock(timestamp, now_ms)
        profile_ids = check_chunk(entries, timestamp, allowed)
        self.seal_frame()
        with_texts = {entry[0] for entry in entries if len(entry) > 3}
        unknown = self._documents.unknown([each for each in profile_ids if each not in with_texts])
        undo = self.draft.undo
        start = len(undo)
        try:
            for profile_id, epoch, cells, *texts in self._begin_documents(entries, unknown):
                self._absorb_document(profile_id, epoch, cells, whole_texts(*texts))
        except (InvalidValue, StorageCorrupt) as error:
            taken_back = undo[start:]
            del undo[start:]
            undo_all(taken_back)
            self._documents.note_undone()
            raise FrameCorrupt(f"a text cannot be accepted: {error}") from error
        self.causes.documents_came(timestamp)
        for profile_id in profile_ids:
            if profile_id not in unknown and self._documents.make_whole(profile_id):
                self.draft.healed.append(profile_id)
        self._clock.observe(timestamp)
        self.draft.join(profile_ids)
        self.counters["snapshot_documents"] += len(profile_ids)
        return profile_ids

    def _begin_documents(
        self, entries: Iterable[tuple[Any, ...]], unknown: set[str]
    ) -> Iterator[tuple[Any, ...]]:
        """Begin the documents that are unknown here; yield the entries that are to be joined."""
        begun = set[str]()
        suppression = self.suppression
        for entry in entries:
            profile_id = entry[0]
            if profile_id not in unknown or profile_id in begun:
                yield entry
                continue
            _, epoch, cells = entry
            self.erased_writes += epoch & 1
            begun.add(profile_id)
            document = Document()
            begin(document, epoch, cells, self.draft.undo)
            document.size_bytes = 64 * len(cells)
            self._documents.note_new(profile_id, document)
            if suppression.erasures or profile_id[0] == OWN_IDS[0]:
                suppression.note(profile_id, document, epoch, cells)

    def check_clock(self, timestamp: int, now_ms: int) -> None:
        """Refuse a timestamp too far ahead of the wall clock; raises ClockSkew."""
        ahead_ms = wall_ms_of(timestamp) - now_ms
        if ahead_ms > self._clock_skew_ms_max:
            raise ClockSkew(
                f"a frame is stamped {ahead_ms:,} ms ahead of this replica's clock; "
                f"the limit is {self._clock_skew_ms_max:,} ms"
            )

    def adopt(self, origin: int, head: Head) -> None:
        """Take over a snapshot's head of an origin."""
        self.causes.jumped(origin, self._clock.latest)
        self._set_head(origin, head)
        self._dependencies[origin] = head[0]

    def adopt_at_rest(self, origin: int, head: Head) -> None:
        """Take over a snapshot's head of an origin that rests at the peer: it rests here too."""
        self._dependencies[origin] = head[0]
        self.rest_origin(origin, head)

    def rest_origin(self, origin: int, head: Head) -> None:
        """Have an origin at rest at a head, whose effects all rest in the documents."""
        ledger = self._ledger
        self.draft.heads_before.setdefault(origin, ledger.heads.pop(origin, NO_HEAD))
        self.draft.rested_before.setdefault(origin, ledger.resting.get(origin))
        ledger.resting.put(origin, head)
        ledger.floor.pop(origin, None)
        self.causes.rested(origin)

    def _wake(self, origin: int, head: Head) -> None:
        """Have an origin at rest back among the heads, for there is more of it."""
        ledger = self._ledger
        self.draft.rested_before.setdefault(origin, head)
        self.draft.has_woken = True
        ledger.resting.put(origin, None)
        ledger.floor[origin] = head[0]
        self.draft.meta["floor"] = pack_numbers(ledger.floor)

    def _absorb_frame(self, origin: int, writes: Iterable[Entry], has_edits: bool) -> bool:
        """Join a frame's writes; say whether one met a write of the frame that is being filled."""
        documents, logged, draft = self._documents, self._logged, self.draft
        undo, suppression = draft.undo, self.suppression
        seen = self.causes.rows.get(origin, {})
        met: Meetings = []
        meets_open = False
        for profile_id, epoch, cells in writes:
            self.erased_writes += epoch & 1
            document = documents.get_to_join(profile_id)
            self._notice(profile_id, document, epoch, cells)
            if has_edits:
                documents.texts.load(profile_id, document, epoch, cells)
            if absorb(document, epoch, cells, undo, seen, met):
                document.size_bytes += 64 * len(cells)
                documents.note_change(profile_id, document, cells)
            if suppression.erasures or profile_id[0] == OWN_IDS[0]:
                suppression.note(profile_id, document, epoch, cells)
            if met or profile_id in logged:
                meets_open = meets_open or (bool(self._entries) and self._meets_open(met))
                self.conflicts.applied(profile_id, document, epoch, cells, met, draft.meta)
                met.clear()
        return meets_open

    def _meets_open(self, met: Meetings) -> bool:
        sealed = self._sealed_timestamp
        return any(old[1] == self.origin and old[0] > sealed for _, old, _ in met)

    def _absorb_document(
        self, profile_id: str, epoch: int, cells: Cells, texts: WholeTexts
    ) -> None:
        """Join (a part of) a document: whole texts, or parts of them, before their trails."""
        documents, undo, suppression = self._documents, self.draft.undo, self.suppression
        document = documents.get_to_join(profile_id)
        self.erased_writes += epoch & 1
        self._notice(profile_id, document, epoch, {})
        changed = False
        if texts and epoch >= document.epoch:
            changed = absorb(document, epoch, {}, undo)
            for name in texts:
                documents.texts.get(profile_id, document, name)
            self.draft.notices += [(profile_id, name, None) for name in texts]
            changed |= absorb_texts(document, texts, undo)
        if absorb(document, epoch, cells, undo) or changed:
            document.size_bytes += 64 * len(cells)
            documents.note_change(profile_id, document, cells)
            if profile_id in self._logged:
                self.conflicts.joined(profile_id, document, self.draft.meta)
        if suppression.erasures or profile_id[0] == OWN_IDS[0]:
            suppression.note(profile_id, document, epoch, cells)

    def _notice(self, profile_id: str, document: Document, epoch: int, cells: Cells) -> None:
        """Note what those who watch texts are told of a change, when it is durable."""
        watches = self._documents.texts.watches
        if watches.is_watched(profile_id) and epoch >= document.epoch:
            self.draft.notices += watches.notices(profile_id, cells, epoch > document.epoch)

    def _advance(self, frame: Frame, has_writes: bool) -> None:
        self._set_head(frame.origin, frame.head)
        self.causes.advanced(frame.origin, frame.timestamp, has_writes)
        self.draft.records.append(frame.raw)

    def _set_head(self, origin: int, head: Head) -> None:
        heads = self._ledger.heads
        if origin not in heads and (rested := self._ledger.resting.get(origin)) is not None:
            self._wake(origin, rested)
        self.draft.heads_before.setdefault(origin, heads.get(origin, NO_HEAD))
        heads[origin] = head
        self.draft.reached[origin] = head[0]

    def rest(self, profile_ids: Iterable[str]) -> None:
        """Have documents that are dirty brought to rest with the next commit."""
        self.draft.resting += [each for each in profile_ids if each in self._documents.dirty]

    # --- handing over and going back ----------------------------------------------------------

    def take(self) -> Draft:
        """Return what is to be committed, and start anew."""
        self.seal_frame()
        draft, self.draft = self.draft, Draft()
        draft.meta.update(self._ledger.resting.packed(set(draft.rested_before)))
        return draft

    def roll_back(self, taken: Draft | None) -> None:
        """Undo everything that is not durable: what is being filled, then what was taken."""
        for draft in (self.draft, taken):
            if draft is None:
                continue
            undo_all(draft.undo)
            for profile_id in draft.healed:
                self._documents.unmake_whole(profile_id)
            self.causes.restore(draft.causes_before)
            if draft.rested_before:
                self.causes.documents_came(self._clock.latest)
            for origin, head in draft.heads_before.items():
                self.causes.went_back(origin, self._ledger.head(origin)[0] - head[0])
                if head == NO_HEAD:
                    self._ledger.heads.pop(origin, None)
                else:
                    self._ledger.heads[origin] = head
            for origin, rested in draft.rested_before.items():
                self._ledger.resting.put(origin, rested)
        self._documents.note_undone()
        self.draft = Draft()
        self._entries = []
        self._entries_bytes = 0
        self._dependencies = self._ledger.durable_of_others(self.origin)

    def rename(self, origin: int) -> None:
        """Write under a new origin from now on; what was written so far must be sealed."""
        assert not self._entries
        self.origin = origin
        self._dependencies = self._ledger.vector()
