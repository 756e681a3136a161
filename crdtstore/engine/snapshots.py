"""Snapshots: documents in key order, for a peer that the journal cannot serve.

A snapshot stands for a vector: the sender's durable one when it began. It may be broken off and go
on later, with another peer too: what was received so far stands for the lower of both vectors.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.engine.entries import entries_of
from crdtstore.engine.number_maps import pack_numbers, unpack_numbers
from crdtstore.engine.texts import texts_at_rest
from crdtstore.model.document import checked_canonical, has_texts
from crdtstore.storage.contract import Storage
from crdtstore.sync.messages import SnapshotChunk
from crdtstore.sync.vector import Heads, meet_heads

SNAPSHOT: Final = "snapshot"
"""Name of the record of how far a snapshot has come."""

SNAPSHOT_RESTING: Final = "snapshot-resting"
"""Name of the record of the origins at rest that it stands for: written once, as it may be long."""

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


def read_chunks(
    storage: Storage, after: str, until: str | None, timestamp: int
) -> list[SnapshotChunk]:
    """Return the next chunks after a profile id, up to another one if there is one.

    Only documents at rest are read, which are durable. One chunk, or several when it would be too
    large: those belong together; none if there are no more documents. Raises StorageCorrupt for a
    damaged record.
    """
    records = storage.documents(
        after.encode(), limit=limits.CHUNK_DOCUMENTS_MAX, bytes_max=limits.SNAPSHOT_READ_BYTES
    )
    if until is not None:
        records = records[: bisect_right(records, until.encode(), key=itemgetter(0))]
    chunks: list[SnapshotChunk] = []
    entries: list[bytes] = []
    size = 0
    last_id = after
    for key, record in records:
        profile_id = key.decode()
        canonical = checked_canonical(profile_id, record)
        texts = texts_at_rest(storage, profile_id, canonical) if has_texts(record) else ()
        for entry in entries_of(profile_id, canonical, texts):
            if size + len(entry) > limits.FRAME_BYTES_MAX and entries:
                chunks.append(_chunk(last_id, timestamp, entries))
                entries, size = [], 0
            entries.append(entry)
            size += len(entry)
        last_id = profile_id
    if entries:
        chunks.append(_chunk(last_id, timestamp, entries))
    return chunks


def packed_entries(entries: list[bytes]) -> bytes:
    """Return packed documents as the one array that a chunk holds."""
    header: bytes = msgpack.Packer().pack_array_header(len(entries))
    return header + b"".join(entries)


def _chunk(last_id: str, timestamp: int, entries: list[bytes]) -> SnapshotChunk:
    return SnapshotChunk(last_id, timestamp, packed_entries(entries))


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How far this replica has come in receiving a snapshot, and what it will stand for.

    ``resting`` are the heads of origins at rest at the peer, ``heads`` those of all others.
    """

    after: str
    heads: Heads
    resting: Heads = field(default_factory=dict)

    @classmethod
    def begin(cls, heads: Heads, resting: Heads) -> "SnapshotProgress":
        """Return the progress of a snapshot that begins; of one origin the greater head counts."""
        active = {o: head for o, head in heads.items() if head[0] > resting.get(o, (0,))[0]}
        return cls("", active, {o: head for o, head in resting.items() if o not in active})

    def resumed(self, other: "SnapshotProgress") -> "SnapshotProgress":
        """Return how it goes on with what another peer gives: both together stand for the meet."""
        met = meet_heads(self.heads | self.resting, other.heads | other.resting)
        resting = {
            origin: head
            for origin, head in met.items()
            if head in (self.resting.get(origin), other.resting.get(origin))
        }
        heads = {origin: head for origin, head in met.items() if origin not in resting}
        return SnapshotProgress(self.after, heads, resting)

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps the progress, but for the origins at rest."""
        return _pack([self.after, pack_numbers(self.heads)])

    @classmethod
    def stored(cls, storage: Storage) -> "SnapshotProgress | None":
        """Return the progress that storage keeps, None if no snapshot is under way."""
        packed, packed_resting = storage.meta(SNAPSHOT), storage.meta(SNAPSHOT_RESTING)
        if packed is None:
            return None
        after, heads = msgpack.unpackb(packed)
        resting = {} if packed_resting is None else unpack_numbers(packed_resting)
        return cls(after, unpack_numbers(heads), resting)
