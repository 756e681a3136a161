"""A file of the event log: blocks of events by sequence, the ids of their messages, an index.

    blocks    sequence of the first event -> msgpack array of events, null for a forgotten one
    messages  sequence of the first event of an append -> its time, and 8 bytes for each message id
    index     "profiles" and "sequences": sorted hashes of profile ids, and the events of each

Files are written by one thread at a time, at the end only; nothing in them is changed but by
``write_without``, which makes another file.
"""

import os
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import lmdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from replicas.cdp import limits
from replicas.cdp.errors import LogUnusable
from replicas.cdp.events import Event, Subject

_SEQUENCE: Final = struct.Struct(">Q")
_TIME: Final = struct.Struct("<q")
_TABLES: Final = (b"blocks", b"messages", b"index")
_SUFFIX: Final = ".events"

_events: Final = msgspec.msgpack.Decoder(list[Event | None])
_subjects: Final = msgspec.msgpack.Decoder(list[Subject | None])
_parts: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event: Final = msgspec.msgpack.Decoder(Event | None)
_NULL: Final = b"\xc0"


def block_of(packed: Sequence[bytes | msgspec.Raw]) -> bytes:
    """Return packed events as one block: a msgpack array of them."""
    return b"\xdc" + len(packed).to_bytes(2, "big") + b"".join(packed)


def count_in(block: bytes) -> int:
    """Return how many events a block has, with those that were forgotten."""
    return int.from_bytes(block[1:3], "big")


class Segment:
    """One file of the log, open. ``first`` is the sequence of the first event that it may hold."""

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self.path = path
        self.first = int(path.name.split(".")[0])
        self.last = self.first - 1
        self.first_ms = self.last_ms = 0
        self.is_indexed = False
        self._bytes_max = bytes_max
        self._open()

    def _open(self) -> None:
        try:
            self._env = lmdb.open(
                str(self.path),
                subdir=False,
                map_size=self._bytes_max + limits.SEGMENT_SPARE_BYTES,
                max_dbs=len(_TABLES),
                max_readers=64,
                mode=0o600,
            )
            self._blocks, self._messages, self._index = map(self._env.open_db, _TABLES)
            self._look()
        except lmdb.Error as error:
            raise LogUnusable(f"{self.path} cannot be opened: {error}") from error

    def _look(self) -> None:
        with self._env.begin() as txn:
            cursor = txn.cursor(self._blocks)
            if cursor.last():
                (sequence,) = _SEQUENCE.unpack(cursor.key())
                self.last = sequence + count_in(cursor.value()) - 1
            times = txn.cursor(self._messages)
            if times.first():
                (self.first_ms,) = _TIME.unpack_from(times.value())
                times.last()
                (self.last_ms,) = _TIME.unpack_from(times.value())
            self.is_indexed = txn.get(b"profiles", db=self._index) is not None

    @property
    def size_bytes(self) -> int:
        """The bytes of the pages that are in use, or were."""
        pages: int = self._env.info()["last_pgno"] + 1
        return pages * 4096

    def append(self, packed: Sequence[bytes], hashes: bytes, now_ms: int) -> None:
        """Add events at the end, durably."""
        first = self.last + 1
        try:
            with self._env.begin(write=True) as txn:
                for start in range(0, len(packed), limits.EVENTS_PER_BLOCK_MAX):
                    block = block_of(packed[start : start + limits.EVENTS_PER_BLOCK_MAX])
                    txn.put(_SEQUENCE.pack(first + start), block, db=self._blocks, append=True)
                value = _TIME.pack(now_ms) + hashes
                txn.put(_SEQUENCE.pack(first), value, db=self._messages, append=True)
        except lmdb.Error as error:
            raise LogUnusable(f"{self.path} cannot be written: {error}") from error
        self.last += len(packed)
        self.first_ms = self.first_ms or now_ms
        self.last_ms = now_ms

    def blocks_after(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield each block that holds events after a sequence, with its first sequence.

        To be used up at once, for it holds a view of the file.
        """
        with self._env.begin() as txn:
            cursor = txn.cursor(self._blocks)
            key = _SEQUENCE.pack(after + 1)
            if cursor.set_range(key):
                if cursor.key() != key and not cursor.prev():
                    cursor.first()
            elif not cursor.last():
                return
            for found, value in cursor.iternext():
                (first,) = _SEQUENCE.unpack(found)
                if first + count_in(value) - 1 > after:
                    yield first, value

    def event(self, sequence: int) -> Event | None:
        """Return one event, None if it was forgotten."""
        first, block = next(self.blocks_after(sequence - 1))
        found: Event | None = _event.decode(_parts.decode(block)[sequence - first])
        return found

    def messages(self) -> list[tuple[int, bytes]]:
        """Return when messages came, and their hashes, in the order of arrival."""
        with self._env.begin() as txn:
            return [
                (_TIME.unpack_from(value)[0], value[_TIME.size :])
                for _, value in txn.cursor(self._messages)
            ]

    def write_index(self, profiles: NDArray[np.uint64], sequences: NDArray[np.uint64]) -> None:
        """Keep whose events are where: hashes of profile ids, sorted, each with a sequence."""
        with self._env.begin(write=True) as txn:
            txn.put(b"profiles", profiles.tobytes(), db=self._index)
            txn.put(b"sequences", sequences.tobytes(), db=self._index)
        self.is_indexed = True

    def sequences_of(self, profile_hash: int) -> list[int]:
        """Return where the index has events of profiles with a hash, in order."""
        with self._env.begin(buffers=True) as txn:
            profiles = np.frombuffer(txn.get(b"profiles", b"", db=self._index), np.uint64)
            sequences = np.frombuffer(txn.get(b"sequences", b"", db=self._index), np.uint64)
            wanted = np.uint64(profile_hash)
            start, end = (int(profiles.searchsorted(wanted, side)) for side in ("left", "right"))
            found: list[int] = sequences[start:end].tolist()
            del profiles, sequences
        return sorted(found)

    def write_without(self, sequences: Collection[int]) -> Path:
        """Write a copy of the file without some events, to be put in its place; return its path.

        The caller sees to it that nobody appends meanwhile.
        """
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        map_size = self._env.info()["map_size"]
        env = lmdb.open(
            str(new), subdir=False, map_size=map_size, max_dbs=3, mode=0o600, lock=False
        )
        forgotten = frozenset(sequences)
        try:
            tables = [env.open_db(name) for name in _TABLES]
            with self._env.begin() as old, env.begin(write=True) as txn:
                for source, target in zip((self._messages, self._index), tables[1:], strict=True):
                    for key, value in old.cursor(source):
                        txn.put(key, value, db=target, append=True)
                for key, block in old.cursor(self._blocks):
                    (first,) = _SEQUENCE.unpack(key)
                    txn.put(key, _thinned(first, block, forgotten), db=tables[0], append=True)
        except lmdb.Error as error:
            raise LogUnusable(f"{new} cannot be written: {error}") from error
        finally:
            env.close()
        return new

    def replace(self, new: Path) -> None:
        """Put another file in the place of this one. Nobody reads it meanwhile."""
        self.close()
        new.replace(self.path)
        sync_directory(self.path.parent)
        self._open()

    def close(self) -> None:
        """Let the file go."""
        self._env.close()

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        for path in (self.path, self.path.with_name(self.path.name + "-lock")):
            path.unlink(missing_ok=True)


def _thinned(first: int, block: bytes, forgotten: frozenset[int]) -> bytes:
    parts = _parts.decode(block)
    if forgotten.isdisjoint(range(first, first + len(parts))):
        return block
    return block_of([_NULL if first + n in forgotten else part for n, part in enumerate(parts)])


def events_in(first: int, block: bytes) -> list[tuple[int, Event]]:
    """Return the events of a block with their sequences, without those that were forgotten."""
    return [(first + n, event) for n, event in enumerate(_events.decode(block)) if event]


def subjects_in(first: int, block: bytes) -> list[tuple[int, Subject]]:
    """Return whose the events of a block are."""
    return [(first + n, each) for n, each in enumerate(_subjects.decode(block)) if each]


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def segment_path(directory: Path, first: int) -> Path:
    """Return where the file lies whose first event has a sequence."""
    return directory / f"{first:020d}{_SUFFIX}"


def segment_paths(directory: Path) -> list[Path]:
    """Return all files of a log, in order."""
    return sorted(directory.glob(f"*{_SUFFIX}"))
