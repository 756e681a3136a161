"""Replication: a store as its peers see it. Frames and snapshots in, frames and snapshots out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgpack

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.healing import Healing
from crdtstore.engine.identity import Identity, draw_origin
from crdtstore.engine.ledger import (
    NO_HEAD,
    Ledger,
    adoption_note,
    pack_numbers,
    snapshot_note,
    stored_floor,
    unpack_numbers,
)
from crdtstore.engine.snapshots import SnapshotProgress, read_chunks
from crdtstore.errors import FrameForked, MessageInvalid, ProtocolError, StorageCorrupt
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import decode_body, decode_packed, parse
from crdtstore.sync.inbox import Inbox, is_covered
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from crdtstore.sync.vector import Head, Heads, Vector, join_vectors, meet_heads

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Replication:
    """What a store gives to its peers and takes from them.

    ``names`` maps every origin heard of to its replica's name. ``progress`` is set while this
    store receives a snapshot; until it ends the store has documents, but not yet their vector.
    ``healing`` compares and exchanges single documents.
    """

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        ledger: Ledger,
        drafting: Drafting,
        committing: Committing,
        identity: Identity,
        tag: bytes,
    ) -> None:
        packed = storage.meta("names")
        self.names: dict[int, str] = {} if packed is None else unpack_numbers(packed)
        self.progress = SnapshotProgress.unpack(storage.meta("snapshot"))
        self.identity = identity
        self.healing = Healing(storage, documents, drafting, committing)
        self.quarantined = _count_quarantined(storage)
        self.counters = dict.fromkeys(("frames_duplicate", "frames_refused"), 0)
        self._storage = storage
        self._ledger = ledger
        self._drafting = drafting
        self._committing = committing
        self._tag = tag
        self._inbox = Inbox()
        self.learn_names({identity.origin: identity.name}, at_first_hand=True)

    # --- what we have -------------------------------------------------------------------------

    @property
    def heads(self) -> Heads:
        """The durable heads of all origins."""
        heads = dict(self._ledger.heads)
        heads.update(self._drafting.draft.heads_before)
        if self._committing.under_way is not None:
            heads.update(self._committing.under_way.draft.heads_before)
        return {origin: head for origin, head in heads.items() if head != NO_HEAD}

    @property
    def vector(self) -> Vector:
        """The durable vector."""
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
    def profiles_at_rest(self) -> int:
        """How many living profiles a snapshot would hold."""
        return self._committing.profiles

    def hash_at(self, origin: int, sequence: int) -> bytes | None:
        """Return the hash of a frame, None if the journal no longer has it."""
        return self._ledger.hash_at(origin, sequence)

    # --- frames out ---------------------------------------------------------------------------

    def records_after(self, position: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return durable journal records after a position."""
        return self._ledger.records_after(position, bytes_max)

    def position_before(self, wanted: Vector) -> int | None:
        """Return from where the journal serves ``wanted``, None if it no longer can."""
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
        heads = self._ledger.heads
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
        vector = _HeadsAsVector(heads)
        dependencies, writes = decode_body(frame)
        applied = 0
        if frame.sequence == head[0] + 1 and is_covered(dependencies, vector):
            self._drafting.apply_frame(frame, writes, now_ms)
            self._inbox.applied(frame)
            applied = 1
        elif not self._inbox.offer(frame, dependencies, vector):
            return 0
        while (ready := self._inbox.next_ready(vector)) is not None:
            try:
                self._drafting.apply_frame(ready, decode_body(ready)[1], now_ms)
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
        self._ledger.floor = stored_floor(self._storage)
        self.progress = SnapshotProgress.unpack(self._storage.meta("snapshot"))

    @property
    def held_bytes(self) -> int:
        """Bytes of frames that wait for others."""
        return self._inbox.held_bytes

    def _quarantine(self, raw: bytes, error: ProtocolError) -> None:
        """Keep a refused frame, the newest few of them, for inspection."""
        slot = self.counters["frames_refused"] % limits.QUARANTINE_MAX
        self.counters["frames_refused"] += 1
        self.quarantined = min(self.quarantined + 1, limits.QUARANTINE_MAX)
        self._drafting.draft.meta[_quarantine_name(slot)] = _pack(
            [error.code, str(error), raw[: limits.FRAME_BYTES_MAX]]
        )

    # --- names and incarnations ---------------------------------------------------------------

    def learn_names(self, names: Mapping[int, str], *, at_first_hand: bool = False) -> None:
        """Take note of the names of origins that are new, or ``at_first_hand`` were changed."""
        news = {
            origin: name
            for origin, name in names.items()
            if origin not in self.names or (at_first_hand and self.names[origin] != name)
        }
        if news and len(self.names.keys() | news.keys()) <= limits.ORIGINS_MAX:
            self.names.update(news)
            self._drafting.draft.meta["names"] = pack_numbers(self.names)

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
        self.learn_names({identity.origin: identity.name}, at_first_hand=True)
        return identity

    # --- snapshots out ------------------------------------------------------------------------

    def snapshot_begin(self) -> SnapshotBegin:
        """Return what a snapshot that starts now stands for: the last whole checkpoint."""
        return SnapshotBegin(
            dict(self._committing.mark.heads), dict(self.names), self._committing.profiles
        )

    def snapshot_chunks(self, after: str) -> tuple[list[SnapshotChunk], bool]:
        """Return the next chunks of a snapshot, and whether it has ended."""
        return read_chunks(self._storage, after, self._drafting.latest_timestamp)

    # --- snapshots in -------------------------------------------------------------------------

    def snapshot_begun(self, begin: SnapshotBegin) -> None:
        """Take note that a peer starts, or goes on with, a snapshot; raises MessageInvalid."""
        if len(self._ledger.heads.keys() | begin.heads.keys()) > limits.ORIGINS_MAX:
            raise MessageInvalid(
                f"a snapshot of more than the {limits.ORIGINS_MAX:,} origins that a space takes"
            )
        self.learn_names(begin.names)
        heads = begin.heads
        after = ""
        if self.progress is not None and self.progress.after:
            heads, after = meet_heads(self.progress.heads, heads), self.progress.after
        self._set_progress(SnapshotProgress(after, heads))

    def snapshot_chunk(self, chunk: SnapshotChunk, now_ms: int) -> int:
        """Apply one chunk and the progress that it means; return its number of documents.

        Raises FrameCorrupt or ClockSkew with nothing changed.
        """
        assert self.progress is not None
        entries = decode_packed(chunk.entries)
        profile_ids = self._drafting.apply_documents(entries, chunk.timestamp, now_ms)
        self._drafting.draft.records.append(snapshot_note(chunk.timestamp, profile_ids))
        self._set_progress(SnapshotProgress(chunk.last_id, self.progress.heads))
        return len(profile_ids)

    def snapshot_ended(self) -> None:
        """Take over the vector that the received snapshot stands for."""
        assert self.progress is not None
        adopted: Heads = {}
        for origin, head in self.progress.heads.items():
            if head[0] > self._ledger.head(origin)[0] and origin != self.identity.origin:
                adopted[origin] = head
        self._adopt(adopted)
        self._set_progress(None)

    def _adopt(self, adopted: Mapping[int, Head]) -> None:
        for origin, head in adopted.items():
            self._drafting.adopt(origin, head)
        self._inbox.advanced()
        if adopted:
            heads = dict(adopted)
            self._drafting.draft.records.append(adoption_note(heads))
            self._ledger.floor = join_vectors(
                self._ledger.floor, {origin: head[0] for origin, head in heads.items()}
            )
            self._drafting.draft.meta["floor"] = pack_numbers(self._ledger.floor)
            self._committing.owes_checkpoint = True

    def _set_progress(self, progress: SnapshotProgress | None) -> None:
        self.progress = progress
        self._drafting.draft.meta["snapshot"] = None if progress is None else progress.pack()


def _quarantine_name(slot: int) -> str:
    return f"quarantine/{slot:03d}"


def _count_quarantined(storage: Storage) -> int:
    """Count the refused frames that are kept: damage to one of them stops nothing."""
    count = 0
    for slot in range(limits.QUARANTINE_MAX):
        try:
            count += storage.meta(_quarantine_name(slot)) is not None
        except StorageCorrupt:
            count += 1
    return count


class _HeadsAsVector(Mapping[int, int]):
    """A live view of heads as a vector, so that nothing is copied per frame."""

    def __init__(self, heads: Mapping[int, Head]) -> None:
        self._heads = heads

    def __getitem__(self, origin: int) -> int:
        return self._heads[origin][0]

    def __iter__(self) -> Iterator[int]:
        return iter(self._heads)

    def __len__(self) -> int:
        return len(self._heads)
