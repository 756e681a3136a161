"""A storage in memory: the same contract with no file, for tests and simulation.

It is deterministic, and it can be crashed: only commits make state, so ``reopen`` after any
exception gives exactly what a disk would hold.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgpack

from crdtstore import limits
from crdtstore.errors import StorageError, StorageFailed, StorageFull
from crdtstore.storage.contract import (
    Batch,
    CopyInterrupted,
    MapFull,
    Packing,
    StorageSize,
    map_reserve_bytes,
)
from crdtstore.storage.memory_tables import MemoryReader, MemoryTables, count_within
from crdtstore.storage.sealing import meta_place, unsealed
from crdtstore.storage.witness import went_back

DISK_BYTES_DEFAULT: Final = 1 << 50
"""A disk that no test fills unless it says so: one pebibyte."""


class MemoryCopy:
    """A StorageCopy of the tables: one msgpack document, which ``MemoryStorage.of_copy`` reads."""

    form = "memory"

    def __init__(self, batch: Batch, commit_number: int) -> None:
        self._batch: Batch | None = batch
        self._commit_number = commit_number

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the copy."""
        batch, self._batch = self._batch, None
        if batch is None:
            raise CopyInterrupted("the copy was closed")
        tables = [batch.journal, batch.documents, batch.waypoints, list(batch.meta.items())]
        packed: bytes = msgpack.packb([*tables, batch.index, self._commit_number])
        yield packed

    def close(self) -> None:
        """End the copy; a second call does nothing."""
        self._batch = None


class MemoryScrub:
    """A StorageScrub of tables in memory, in which nothing is left of what was deleted."""

    def step(self) -> bool:
        """Say that all is done."""
        return True

    def close(self) -> None:
        """Do nothing."""


class MemoryView:
    """A StorageView of the tables: the documents themselves, in key order."""

    def __init__(self, documents: list[tuple[bytes, bytes]], meta: Mapping[str, bytes]) -> None:
        self._documents: list[tuple[bytes, bytes]] | None = documents
        self._meta = meta

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        if self._documents is None:
            raise CopyInterrupted("the view was closed")
        start = bisect_right(self._documents, after, key=lambda record: record[0])
        found = self._documents[start : start + limit]
        return found[: count_within([len(value) for _, value in found], bytes_max)]

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        if self._documents is None:
            raise CopyInterrupted("the view was closed")
        record = self._meta.get(name)
        return None if record is None else unsealed(meta_place(name), record)

    def close(self) -> None:
        """End the view; a second call does nothing."""
        self._documents = None


class MemoryPacking:
    """A Packing for tables in memory, where documents are kept as they are."""

    def learn(self, parts: Sequence[bytes]) -> None:
        """Do nothing."""

    def packed(self, record: bytes) -> bytes:
        """Return the record itself."""
        return record


class MachineMemory:
    """What one simulated machine remembers of its files: the witness, by the same rule.

    A machine that starts anew has a new one. ``crdtstore.storage.witness`` says what it is for.
    """

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._records: dict[str, tuple[str, int]] = {}

    def token(self, file_name: str, commit_number: int) -> str:
        """Return the token of a file, a new one if it is not known or went back."""
        token, number = self._records.get(file_name, ("", 0))
        if not token or went_back(number, commit_number):
            token = f"{self._random_bits(64):016x}"
        self._records[file_name] = (token, commit_number)
        return token

    def note(self, file_name: str, commit_number: int) -> None:
        """Remember that a file has this commit."""
        self._records[file_name] = (self._records[file_name][0], commit_number)


class MemoryStorage(MemoryReader):
    """A Storage in memory.

    ``map_bytes_initial`` and ``map_bytes_max`` bound it as a map does, ``disk_bytes_max`` as a disk
    does; that one may be changed at any time, to fill the disk or to free it. ``fingerprint`` names
    the file; what the ``machine`` remembers of it is added.
    """

    is_crowded = False

    def __init__(
        self,
        *,
        map_bytes_initial: int = limits.MAP_BYTES_INITIAL,
        map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT,
        disk_bytes_max: int = DISK_BYTES_DEFAULT,
        ballast_bytes: int = limits.BALLAST_BYTES,
        fingerprint: str = "memory",
        machine: MachineMemory | None = None,
        _tables: MemoryTables | None = None,
    ) -> None:
        super().__init__(_tables or MemoryTables())
        self.disk_bytes_max = disk_bytes_max
        self.fingerprint = self._file_name = fingerprint
        self.packing: Packing = MemoryPacking()
        self._machine = machine
        if machine is not None:
            self.fingerprint += ":" + machine.token(fingerprint, self._tables.commit_number)
        self._map_bytes = min(map_bytes_initial, map_bytes_max)
        self._map_bytes_max = map_bytes_max
        self._ballast_bytes = ballast_bytes
        self._ballast_held_bytes = 0
        self._is_ballast_given_up = False
        self._is_reserve_open = False
        self._is_failed = False
        self._next_failure: StorageError | None = None
        self.restore_ballast()

    def commit(self, batch: Batch) -> None:
        """Apply a batch whole, or raise and apply nothing of it."""
        tables = self._open_tables()
        if self._is_failed:
            raise StorageFailed("an earlier commit failed; the storage takes no more")
        if self._next_failure is not None:
            error, self._next_failure = self._next_failure, None
            self._is_failed = not isinstance(error, StorageFull)
            raise error
        _check_order(tables, batch)
        batch = tables.seal(batch)
        used_bytes = tables.used_bytes_after(batch)
        is_privileged = self._is_reserve_open or batch.is_relief()
        reserve_bytes = 0 if is_privileged else map_reserve_bytes(self._map_bytes)
        if used_bytes > tables.used_bytes and used_bytes > self._map_bytes - reserve_bytes:
            raise MapFull(f"the map of {self._map_bytes:,} bytes is full")
        room_bytes = self.disk_bytes_max - self._ballast_held_bytes
        if used_bytes > tables.used_bytes and used_bytes > room_bytes:
            raise StorageFull(f"the disk is full: {room_bytes:,} bytes are all it gives")
        with tables.lock:
            tables.apply(batch)
        if self._machine is not None:
            self._machine.note(self._file_name, tables.commit_number)

    def seal(self, batch: Batch) -> None:
        """Do nothing: what is committed is where it belongs."""

    def settle(self, batch: Batch) -> None:
        """Apply a batch of documents whole, or raise and apply nothing of it."""
        assert not batch.journal, "a commit has these"
        assert not batch.waypoints, "a commit has these"
        self.commit(batch)

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum."""
        self._open_tables()
        if self._map_bytes >= self._map_bytes_max:
            return False
        self._map_bytes = min(2 * self._map_bytes, self._map_bytes_max)
        return True

    def shed(self) -> None:
        """Do nothing: reads hold nothing."""

    def size(self) -> StorageSize:
        """Return how full the storage is."""
        tables = self._open_tables()
        free_bytes = self.disk_bytes_max - self._ballast_held_bytes - tables.used_bytes
        return StorageSize(
            tables.used_bytes,
            tables.documents_bytes,
            self._map_bytes,
            self._map_bytes_max,
            max(0, free_bytes),
        )

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits."""
        was_held = self._ballast_held_bytes > 0
        self._is_ballast_given_up |= was_held
        self._ballast_held_bytes = 0
        self._is_reserve_open = True
        return was_held

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its whole one."""
        self._is_reserve_open = False
        room_bytes = self.disk_bytes_max - self._open_tables().used_bytes
        share = 1 if self._is_ballast_given_up else limits.BALLAST_DIVISOR
        size_bytes = min(self._ballast_bytes, room_bytes // share)
        self._ballast_held_bytes = max(self._ballast_held_bytes, size_bytes)
        self._is_ballast_given_up &= self._ballast_held_bytes <= 0
        return self._ballast_held_bytes == self._ballast_bytes

    def scrub(self) -> "MemoryScrub":
        """Return a scrub that has nothing to do: what is deleted here is gone."""
        return MemoryScrub()

    def pinned_copy(self) -> MemoryCopy:
        """Return a copy of all that is committed now."""
        with (tables := self._open_tables()).lock:
            return MemoryCopy(
                Batch(
                    journal=[(position, tables.journal[position]) for position in tables.positions],
                    documents=[(key, tables.documents[key]) for key in tables.keys],
                    waypoints=sorted(tables.waypoints.items()),
                    meta=dict(tables.meta),
                    index=[(key, True) for key in tables.index],
                ),
                tables.commit_number,
            )

    def pinned_view(self) -> MemoryView:
        """Return a view of all documents that are committed now."""
        with (tables := self._open_tables()).lock:
            return MemoryView(
                [(key, tables.documents[key]) for key in tables.keys], dict(tables.meta)
            )

    @classmethod
    def of_copy(
        cls, packed: bytes, *, fingerprint: str = "memory", machine: MachineMemory | None = None
    ) -> "MemoryStorage":
        """Return a new storage that holds what a copy held."""
        return cls(fingerprint=fingerprint, machine=machine, _tables=_unpacked(packed))

    @property
    def image(self) -> bytes:
        """All that was committed, and how often, as one image of the disk."""
        return b"".join(self.pinned_copy().chunks())

    def close(self) -> None:
        """Refuse every later call; what was committed can be opened again with ``reopen``."""
        self._is_closed = True

    def reopen(
        self, *, image: bytes | None = None, machine: MachineMemory | None = None
    ) -> "MemoryStorage":
        """Close this storage, and return one with all that was committed, as after a crash.

        With an ``image`` the disk is put back to that; with a ``machine`` it is another machine, or
        the same started anew.
        """
        self.close()
        return MemoryStorage(
            _tables=self._tables if image is None else _unpacked(image),
            map_bytes_initial=self._map_bytes,
            map_bytes_max=self._map_bytes_max,
            disk_bytes_max=self.disk_bytes_max,
            ballast_bytes=self._ballast_bytes,
            fingerprint=self._file_name,
            machine=machine or self._machine,
        )

    def fail_next_commit(self, error: StorageError | None) -> None:
        """Let the next commit raise ``error`` and keep nothing; any but StorageFull is final."""
        self._next_failure = error


def _unpacked(packed: bytes) -> MemoryTables:
    journal, documents, waypoints, meta, index, commit_number = msgpack.unpackb(
        packed, use_list=False
    )
    tables = MemoryTables()
    tables.apply(Batch(list(journal), list(documents), list(waypoints), dict(meta), list(index)))
    tables.commit_number = commit_number
    return tables


def _check_order(tables: MemoryTables, batch: Batch) -> None:
    last = tables.positions[-1] if tables.positions else 0
    for position, _ in batch.journal:
        assert position > last, f"journal position {position} does not follow {last}"
        last = position
    assert len(batch.documents) <= limits.BATCH_DOCUMENTS_MAX, "a batch has too many documents"
    for key, _ in (*batch.documents, *batch.index):
        assert 0 < len(key) <= limits.DOCUMENT_KEY_BYTES_MAX, f"a key has {len(key)} bytes"
    assert all(batch.meta), "a meta record needs a name"
