"""Snapshots: documents in key order, for a peer that the journal cannot serve.

A snapshot stands for a vector: the sender's when it began. It may be broken off and go on later,
with another peer too: what was received so far stands for the lower of both vectors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from crdtstore import limits
from crdtstore.engine.ledger import pack_numbers, unpack_numbers
from crdtstore.model.document import checked_canonical, unpack_canonical
from crdtstore.model.values import pack
from crdtstore.storage.contract import Storage
from crdtstore.sync.messages import SnapshotChunk
from crdtstore.sync.vector import Heads

_CHUNK_BYTES = limits.FRAME_BYTES_MAX - 16 * limits.KIBIBYTE

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


def read_chunks(storage: Storage, after: str, timestamp: int) -> tuple[list[SnapshotChunk], bool]:
    """Return the next chunks after a profile id, and whether the snapshot has ended.

    Only documents at rest are read, which are durable. One chunk, or several when it would be too
    large: those belong together. Raises StorageCorrupt for a damaged record.
    """
    records = storage.documents(
        after.encode(), limit=limits.CHUNK_DOCUMENTS_MAX, bytes_max=_CHUNK_BYTES
    )
    chunks: list[SnapshotChunk] = []
    entries: list[bytes] = []
    size = 0
    last_id = after
    for key, record in records:
        profile_id = key.decode()
        for entry in entries_of(profile_id, checked_canonical(profile_id, record)):
            if size + len(entry) > limits.FRAME_BYTES_MAX and entries:
                chunks.append(_chunk(last_id, timestamp, entries))
                entries, size = [], 0
            entries.append(entry)
            size += len(entry)
        last_id = profile_id
    if entries:
        chunks.append(_chunk(last_id, timestamp, entries))
    return chunks, not records


def entries_of(profile_id: str, canonical: bytes) -> Iterator[bytes]:
    """Yield a document as packed entries, each small enough for a chunk."""
    if len(canonical) <= _CHUNK_BYTES - 2 * limits.PROFILE_ID_BYTES_MAX:
        yield b"".join((b"\x93", pack(profile_id), canonical[1:]))
        return
    epoch, cells = unpack_canonical(canonical)
    parts = [dict(cells)]
    while parts:
        part = parts.pop()
        entry = pack((profile_id, epoch, part))
        if len(entry) <= _CHUNK_BYTES:
            yield entry
            continue
        keys = list(part)
        for half in (keys[len(keys) // 2 :], keys[: len(keys) // 2]):
            parts.append({key: part[key] for key in half})


def packed_entries(entries: list[bytes]) -> bytes:
    """Return packed documents as the one array that a chunk holds."""
    header: bytes = msgpack.Packer().pack_array_header(len(entries))
    return header + b"".join(entries)


def _chunk(last_id: str, timestamp: int, entries: list[bytes]) -> SnapshotChunk:
    return SnapshotChunk(last_id, timestamp, packed_entries(entries))


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How far this replica has come in receiving a snapshot, and what it will stand for."""

    after: str
    heads: Heads

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps the progress."""
        return _pack([self.after, pack_numbers(self.heads)])

    @classmethod
    def unpack(cls, packed: bytes | None) -> "SnapshotProgress | None":
        """Return the progress that storage keeps, None if no snapshot is under way."""
        if packed is None:
            return None
        after, heads = msgpack.unpackb(packed)
        return cls(after, unpack_numbers(heads))
