"""Replication: a store as its peers see it. Frames and snapshots in, frames and snapshots out."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import msgpack

from crdtstore import limits
from crdtstore.clock import wall_ms_of
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.fence import Fence
from crdtstore.engine.healing import Healing
from crdtstore.engine.identity import Identity, draw_origin
from crdtstore.engine.ledger import NO_HEAD, Ledger, adoption_note, snapshot_note
from crdtstore.engine.number_maps import pack_numbers
from crdtstore.engine.origins import Origins, without_births
from crdtstore.engine.quarantine import Quarantine
from crdtstore.engine.removal import Removal
from crdtstore.engine.resting import entry_digest
from crdtstore.engine.snapshots import (
    SNAPSHOT,
    SNAPSHOT_RESTING,
    SnapshotProgress,
    read_chunks,
)
from crdtstore.errors import (
    FrameForked,
    MessageInvalid,
    ProtocolError,
    ReplicaFenced,
    ReplicaRemoved,
)
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import decode_body, decode_packed, parse, space_tag
from crdtstore.sync.inbox import Inbox, is_covered
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from crdtstore.sync.vector import Head, Heads, Names, Vector, join_vectors, vector_of

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Replication:
    """What a store gives to its peers and takes from them.

    ``origins`` has names and births of all origins heard of. ``progress`` is set while this
    store receives a snapshot; until it ends the store has documents, but not yet their vector.
    ``healing`` compares and exchanges single documents. ``removal`` has the names of replicas that
    were removed. ``quarantine`` has the frames that were refused.
    """

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        ledger: Ledger,
        drafting: Drafting,
        committing: Committing,
        identity: Identity,
        now_ms: int,
    ) -> None:
        self.origins = Origins(storage, drafting)
        self.progress = SnapshotProgress.stored(storage)
        self.identity = identity
        self.fence = Fence(drafting)
        self.healing = Healing(storage, documents, drafting, committing)
        self.removal = Removal(storage, drafting, identity.name)
        self.quarantine = Quarantine(storage, drafting)
        self.counters = dict.fromkeys(("frames_duplicate", "frames_refused", "links_refused"), 0)
        self._storage = storage
        self._documents = documents
        self._ledger = ledger
        self._drafting = drafting
        self._committing = committing
        self._tag = space_tag(identity.space)
        self._inbox = Inbox()
        self.origins.born(identity.origin, identity.name, now_ms)

    @property
    def names(self) -> dict[int, str]:
        """The name of the replica of every origin that was heard of."""
        return self.origins.names

    # --- what we have -------------------------------------------------------------------------

    @property
    def refusal(self) -> ReplicaFenced | ReplicaRemoved | None:
        """Why this replica takes no writes, as its peers see it; None if it takes them."""
        if self.fence.reason:
            return ReplicaFenced(self.fence.reason)
        return ReplicaRemoved(self.identity.name) if self.removal.is_own else None

    @property
    def heads(self) -> Heads:
        """The durable heads of all origins that are not at rest."""
        heads = dict(self._ledger.heads)
        for draft in self._drafts:
            heads.update(draft.heads_before)
        return {origin: head for origin, head in heads.items() if head != NO_HEAD}

    @property
    def resting(self) -> Heads:
        """The durable heads of the origins at rest."""
        heads: dict[int, Head | None] = dict(self._ledger.resting.items())
        for draft in self._drafts:
            heads.update(draft.rested_before)
        return {origin: head for origin, head in heads.items() if head is not None}

    @property
    def resting_summary(self) -> tuple[int, int]:
        """Number and digest of the durable heads at rest, without going through them."""
        resting = self._ledger.resting
        count, digest = len(resting), resting.digest
        moved: dict[int, Head | None] = {}
        for draft in self._drafts:
            moved.update(draft.rested_before)
        for origin, before in moved.items():
            for head, change in ((resting.get(origin), -1), (before, 1)):
                if head is not None:
                    count += change
                    digest ^= entry_digest(origin, head)
        return count, digest

    @property
    def _drafts(self) -> list[Draft]:
        """What is not durable yet, the newest first."""
        under_way = self._committing.under_way
        return [self._drafting.draft] + ([] if under_way is None else [under_way.draft])

    @property
    def vector(self) -> Vector:
        """The durable vector, without the origins at rest."""
        return self._ledger.durable

    @property
    def floor(self) -> Vector:
        """The vector that a peer must cover to be served by frames."""
        return self._ledger.floor

    @property
    def position(self) -> int:
        """The position of the last durable journal record."""
        return self._ledger.position

    @property
    def profiles(self) -> int:
        """How many living profiles there are, at rest or not."""
        return self._committing.living()

    def hash_at(self, origin: int, sequence: int) -> bytes | None:
        """Return the hash of a frame, None if the journal no longer has it."""
        return self._ledger.hash_at(origin, sequence)

    # --- frames out ---------------------------------------------------------------------------

    def records_after(self, position: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return durable journal records after a position."""
        return self._ledger.records_after(position, bytes_max)

    def position_before(self, wanted: Vector) -> int | None:
        """Return from where the journal serves ``wanted``.

        None if it no longer can, or if all documents are fewer bytes than the frames.
        """
        frames_bytes = self._ledger.bytes_after(wanted)
        is_long = frames_bytes >= limits.SNAPSHOT_FRAMES_BYTES_MIN
        if is_long and frames_bytes > self.healing.documents_bytes():
            return None
        return self._ledger.position_before(wanted)

    # --- frames in ----------------------------------------------------------------------------

    def receive_frames(self, frames: Iterable[bytes], now_ms: int) -> int:
        """Apply frames as far as their causes are here; return how many were applied.

        What must wait is held, what is known already is dropped. Raises a ProtocolError for a
        frame that cannot be accepted, after keeping it for inspection; those before it stay.
        """
        applied = 0
        for raw in frames:
            try:
                applied += self._receive_frame(raw, now_ms)
            except ProtocolError as error:
                self._quarantine(raw, error)
                raise
        return applied

    def _receive_frame(self, raw: bytes, now_ms: int) -> int:
        frame = parse(raw, self._tag)
        heads, vector = self._ledger.heads, self._ledger.applied
        head = self._ledger.head(frame.origin)
        if frame.sequence <= head[0]:
            if frame.sequence == head[0] and frame.hash != head[1]:
                raise FrameForked(
                    f"origin {frame.origin:016x} has two different frames {frame.sequence}: it was "
                    "cloned, or rolled back and written to again"
                )
            self.counters["frames_duplicate"] += 1
            return 0
        if frame.origin == self.identity.origin:
            return 0
        if frame.origin not in heads and len(heads) >= limits.ORIGINS_MAX:
            raise MessageInvalid(
                f"a frame of one origin more than the {limits.ORIGINS_MAX:,} that a space takes"
            )
        self._drafting.check_clock(frame.timestamp, now_ms)
        dependencies, writes = decode_body(frame)
        applied = 0
        if frame.sequence == head[0] + 1 and is_covered(dependencies, vector):
            self._drafting.apply_frame(frame, dependencies, writes, now_ms)
            self._inbox.applied(frame)
            applied = 1
        elif not self._inbox.offer(frame, dependencies, vector):
            return 0
        while (ready := self._inbox.next_ready(vector)) is not None:
            try:
                self._drafting.apply_frame(ready, *decode_body(ready), now_ms)
            except ProtocolError as error:
                self._inbox.forget(ready.origin)
                self._quarantine(ready.raw, error)
            else:
                self._inbox.applied(ready)
                applied += 1
        return applied

    def commit_failed(self) -> None:
        """Go back to what is durable: frames that wait are dropped, a snapshot's progress too."""
        self._inbox.clear()
        self._ledger.load_floor()
        self.progress = SnapshotProgress.stored(self._storage)

    @property
    def held_bytes(self) -> int:
        """Bytes of frames that wait for others."""
        return self._inbox.held_bytes

    def _quarantine(self, raw: bytes, error: ProtocolError) -> None:
        self.counters["frames_refused"] += 1
        self.quarantine.keep(raw, error)

    # --- origins ------------------------------------------------------------------------------

    def learn_names(self, names: Mapping[int, str], *, at_first_hand: bool = False) -> None:
        """Take note of the names of origins that are new, or ``at_first_hand`` were changed."""
        self.origins.learn(without_births(names), at_first_hand=at_first_hand)

    @property
    def told_names(self) -> Names:
        """Names and births of the origins that matter to peers: those not at rest."""
        present = self.origins.present().values()
        return self.origins.named({*self._ledger.heads, *present, self.identity.origin})

    def retired(self) -> Heads:
        """Return the heads of origins that may come to rest.

        They write no more, their last frame was trimmed, and its effects rest in the documents.
        """
        ledger, mark = self._ledger, self._committing.mark.heads
        room = limits.RESTING_MAX - len(ledger.resting)
        heads = {
            origin: head
            for origin, head in ledger.heads.items()
            if ledger.floor.get(origin) == head[0]
            and mark.get(origin) == head
            and self._has_retired(origin)
        }
        return dict(islice(heads.items(), room))

    def rest_origin(self, origin: int, head: Head) -> None:
        """Have a retired origin at rest from the next commit on."""
        self._drafting.rest_origin(origin, head)

    def forget_silent(self, claimed: Container[int]) -> None:
        """Forget the names of origins that have retired and never wrote, as far as anybody knows.

        ``claimed`` are those of which a peer has frames.
        """
        applied = self._ledger.applied
        self.origins.forget(
            [
                origin
                for origin in self.origins.names
                if origin not in applied and origin not in claimed and self._has_retired(origin)
            ]
        )

    def _has_retired(self, origin: int) -> bool:
        is_own = origin == self.identity.origin
        return not is_own and self.origins.has_retired(origin, self.removal.names)

    def renew_incarnation(self, random_bits: Callable[[int], int]) -> Identity:
        """Go on as a new incarnation: the present origin is found to have another history."""
        self._drafting.seal_frame()
        identity = replace(
            self.identity,
            origin=draw_origin(random_bits),
            incarnations=self.identity.incarnations + 1,
        )
        self._drafting.rename(identity.origin)
        self._drafting.draft.meta["identity"] = identity.pack()
        self.identity = identity
        self.origins.born(
            identity.origin, identity.name, wall_ms_of(self._drafting.latest_timestamp)
        )
        return identity

    # --- snapshots out ------------------------------------------------------------------------

    def snapshot_begin(self) -> tuple[Heads, SnapshotBegin]:
        """Return what a snapshot that starts now stands for: origins at rest, and all others.

        What is durable rests in documents, or will when they are read: see ``Healing.dirty_after``.
        """
        return self.resting, SnapshotBegin(self.heads, self.told_names, self.profiles)

    def snapshot_chunks(self, after: str, until: str | None = None) -> list[SnapshotChunk]:
        """Return the next chunks of a snapshot, of documents at rest up to an id; none at the end.

        Raises StorageError.
        """
        return read_chunks(self._storage, after, until, self._drafting.latest_timestamp)

    # --- snapshots in -------------------------------------------------------------------------

    def snapshot_begun(self, resting: Heads, begin: SnapshotBegin) -> None:
        """Take note that a peer starts, or goes on with, a snapshot; raises MessageInvalid.

        ``resting`` are the heads of origins at rest there.
        """
        if len(self._ledger.heads.keys() | begin.heads.keys()) > limits.ORIGINS_MAX:
            raise MessageInvalid(
                f"a snapshot of more than the {limits.ORIGINS_MAX:,} origins that a space takes"
            )
        self.origins.learn(begin.names)
        progress = SnapshotProgress.begin(begin.heads, resting)
        if self.progress is not None and self.progress.after:
            progress = self.progress.resumed(progress)
        self._set_progress(progress)
        self._drafting.draft.meta[SNAPSHOT_RESTING] = pack_numbers(progress.resting)

    def snapshot_chunk(self, chunk: SnapshotChunk, now_ms: int) -> int:
        """Apply one chunk and the progress that it means; return its number of documents.

        Raises FrameCorrupt or ClockSkew with nothing changed.
        """
        assert self.progress is not None
        entries = decode_packed(chunk.entries)
        profile_ids = self._drafting.apply_documents(entries, chunk.timestamp, now_ms)
        self._drafting.draft.records.append(snapshot_note(chunk.timestamp, profile_ids))
        self._set_progress(replace(self.progress, after=chunk.last_id))
        return len(profile_ids)

    def snapshot_ended(self) -> None:
        """Take over the vector that the received snapshot stands for."""
        assert self.progress is not None
        ledger = self._ledger
        adopted = dict(self._news(self.progress.heads))
        for origin, head in self._news(self.progress.resting):
            if len(ledger.resting) < limits.RESTING_MAX:
                self._drafting.adopt_at_rest(origin, head)
            else:
                adopted[origin] = head
        for origin, head in adopted.items():
            self._drafting.adopt(origin, head)
        self._inbox.advanced()
        if adopted:
            self._drafting.draft.records.append(adoption_note(adopted))
            ledger.floor = join_vectors(ledger.floor, vector_of(adopted))
            self._drafting.draft.meta["floor"] = pack_numbers(ledger.floor)
            self._committing.owes_checkpoint = True
        self._set_progress(None)
        self._drafting.draft.meta[SNAPSHOT_RESTING] = None

    def _news(self, heads: Heads) -> Iterator[tuple[int, Head]]:
        """Yield the heads of other origins that are above what was applied here."""
        for origin, head in heads.items():
            if origin != self.identity.origin and head[0] > self._ledger.head(origin)[0]:
                yield origin, head

    def _set_progress(self, progress: SnapshotProgress | None) -> None:
        self.progress = progress
        self._drafting.draft.meta[SNAPSHOT] = None if progress is None else progress.pack()
