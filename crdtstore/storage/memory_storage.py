"""A storage in memory: the same contract with no file, for tests and simulation.

It is deterministic, and it can be crashed: only commits make state, so ``reopen`` after any
exception gives exactly what a disk would hold.
"""

import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import msgpack

from crdtstore import limits
from crdtstore.errors import StorageError, StorageFailed, StorageFull
from crdtstore.storage.contract import (
    Batch,
    CopyInterrupted,
    MapFull,
    StorageSize,
    map_reserve_bytes,
)
from crdtstore.storage.sealing import meta_place, sealed, unsealed, waypoint_place
from crdtstore.storage.witness import went_back

DISK_BYTES_DEFAULT: Final = 1 << 50
"""A disk that no test fills unless it says so: one pebibyte."""


class _Tables:
    """What commits made: four tables, and a lock that keeps half a commit out of sight."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.documents: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.journal: dict[int, bytes] = {}
        self.positions: list[int] = []
        self.waypoints: dict[int, bytes] = {}
        self.meta: dict[str, bytes] = {}
        self.used_bytes = 0
        self.commit_number = 0

    def seal(self, batch: Batch) -> Batch:
        """Return a batch with its records as they rest."""
        return replace(
            batch,
            waypoints=[(at, sealed(waypoint_place(at), value)) for at, value in batch.waypoints],
            meta={
                name: None if value is None else sealed(meta_place(name), value)
                for name, value in batch.meta.items()
            },
        )

    def apply(self, batch: Batch) -> None:
        """Change all tables by one batch."""
        self.commit_number += 1
        for position, value in batch.journal:
            self.positions.append(position)
            self.journal[position] = value
            self.used_bytes += 8 + len(value)
        for key, document in batch.documents:
            self._put_document(key, document)
        for position, value in batch.waypoints:
            self._drop_waypoint(position)
            self.waypoints[position] = value
            self.used_bytes += 8 + len(value)
        for name, record in batch.meta.items():
            old = self.meta.pop(name, None)
            self.used_bytes -= 0 if old is None else len(name) + len(old)
            if record is not None:
                self.meta[name] = record
                self.used_bytes += len(name) + len(record)
        self._trim(batch.trim_before)

    def used_bytes_after(self, batch: Batch) -> int:
        """Return an upper bound of the bytes used once a batch is applied."""
        freed_bytes = 0
        for key in {key for key, _ in batch.documents}:
            old = self.documents.get(key)
            freed_bytes += 0 if old is None else len(key) + len(old)
        return self.used_bytes + batch.size_bytes() - freed_bytes

    def _put_document(self, key: bytes, document: bytes | None) -> None:
        old = self.documents.pop(key, None)
        if old is not None:
            self.used_bytes -= len(key) + len(old)
        if document is not None:
            self.documents[key] = document
            self.used_bytes += len(key) + len(document)
        if old is None and document is not None:
            insort(self.keys, key)
        elif old is not None and document is None:
            del self.keys[bisect_right(self.keys, key) - 1]

    def _drop_waypoint(self, position: int) -> None:
        old = self.waypoints.pop(position, None)
        if old is not None:
            self.used_bytes -= 8 + len(old)

    def _trim(self, trim_before: int) -> None:
        if not self.positions:
            return
        bound = min(trim_before, self.positions[-1])
        count = min(limits.TRIM_RECORDS_MAX, bisect_right(self.positions, bound - 1))
        for position in self.positions[:count]:
            self.used_bytes -= 8 + len(self.journal.pop(position))
        del self.positions[:count]
        bound = min(bound, self.positions[0])
        below = sorted(position for position in self.waypoints if position < bound)
        for position in below[: limits.TRIM_RECORDS_MAX]:
            self._drop_waypoint(position)


class _Reader:
    """The reading half of the contract, over the tables."""

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self._is_closed = False

    def document(self, key: bytes) -> bytes | None:
        """Return the document under a key, or None."""
        with (tables := self._open_tables()).lock:
            return tables.documents.get(key)

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        with (tables := self._open_tables()).lock:
            start = bisect_right(tables.keys, after)
            keys = tables.keys[start : start + limit]
            found = [(key, tables.documents[key]) for key in keys]
        return found[: _count_within([len(value) for _, value in found], bytes_max)]

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        with (tables := self._open_tables()).lock:
            start = bisect_right(tables.positions, after)
            positions = tables.positions[start : start + limit]
            found = [(position, tables.journal[position]) for position in positions]
        return found[: _count_within([len(value) for _, value in found], bytes_max)]

    def journal_headers(
        self, after: int, *, limit: int, header_bytes: int
    ) -> list[tuple[int, bytes]]:
        """Return the first ``header_bytes`` of the journal records above ``after``, in order."""
        with (tables := self._open_tables()).lock:
            start = bisect_right(tables.positions, after)
            positions = tables.positions[start : start + limit]
            return [(position, tables.journal[position][:header_bytes]) for position in positions]

    def journal_bounds(self) -> tuple[int, int]:
        """Return the first and the last position of the journal, (0, 0) when it is empty."""
        with (tables := self._open_tables()).lock:
            if not tables.positions:
                return 0, 0
            return tables.positions[0], tables.positions[-1]

    def waypoints(self) -> list[tuple[int, bytes]]:
        """Return all waypoints in position order."""
        with (tables := self._open_tables()).lock:
            found = sorted(tables.waypoints.items())
        return [(at, unsealed(waypoint_place(at), record)) for at, record in found]

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        with (tables := self._open_tables()).lock:
            record = tables.meta.get(name)
        return None if record is None else unsealed(meta_place(name), record)

    def metas(self, prefix: str) -> dict[str, bytes]:
        """Return all named records whose name starts with ``prefix``, in order of their bytes."""
        with (tables := self._open_tables()).lock:
            names = [name for name in tables.meta if name.startswith(prefix)]
            names.sort(key=str.encode)
            found = {name: tables.meta[name] for name in names}
        return {name: unsealed(meta_place(name), record) for name, record in found.items()}

    def _open_tables(self) -> _Tables:
        if self._is_closed:
            raise StorageFailed("the storage was closed")
        return self._tables


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
        packed: bytes = msgpack.packb([*tables, self._commit_number])
        yield packed

    def close(self) -> None:
        """End the copy; a second call does nothing."""
        self._batch = None


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


class MemoryStorage(_Reader):
    """A Storage in memory.

    ``map_bytes_initial`` and ``map_bytes_max`` bound it as a map does, ``disk_bytes_max`` as a disk
    does; that one may be changed at any time, to fill the disk or to free it. ``fingerprint`` names
    the file; what the ``machine`` remembers of it is added.
    """

    def __init__(
        self,
        *,
        map_bytes_initial: int = limits.MAP_BYTES_INITIAL,
        map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT,
        disk_bytes_max: int = DISK_BYTES_DEFAULT,
        ballast_bytes: int = limits.BALLAST_BYTES,
        fingerprint: str = "memory",
        machine: MachineMemory | None = None,
        _tables: _Tables | None = None,
    ) -> None:
        super().__init__(_tables or _Tables())
        self.disk_bytes_max = disk_bytes_max
        self.fingerprint = self._file_name = fingerprint
        self._machine = machine
        if machine is not None:
            self.fingerprint += ":" + machine.token(fingerprint, self._tables.commit_number)
        self._map_bytes = min(map_bytes_initial, map_bytes_max)
        self._map_bytes_max = map_bytes_max
        self._ballast_bytes = ballast_bytes
        self._ballast_held_bytes = 0
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

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum."""
        self._open_tables()
        if self._map_bytes >= self._map_bytes_max:
            return False
        self._map_bytes = min(2 * self._map_bytes, self._map_bytes_max)
        return True

    def size(self) -> StorageSize:
        """Return how full the storage is."""
        used_bytes = self._open_tables().used_bytes
        free_bytes = self.disk_bytes_max - self._ballast_held_bytes - used_bytes
        return StorageSize(used_bytes, self._map_bytes, self._map_bytes_max, max(0, free_bytes))

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits."""
        was_held = self._ballast_held_bytes > 0
        self._ballast_held_bytes = 0
        self._is_reserve_open = True
        return was_held

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its one."""
        self._is_reserve_open = False
        if self._ballast_held_bytes == 0:
            free_bytes = self.disk_bytes_max - self._open_tables().used_bytes
            if free_bytes < 2 * self._ballast_bytes:
                return False
            self._ballast_held_bytes = self._ballast_bytes
        return True

    def pinned_copy(self) -> MemoryCopy:
        """Return a copy of all that is committed now."""
        with (tables := self._open_tables()).lock:
            return MemoryCopy(
                Batch(
                    journal=[(position, tables.journal[position]) for position in tables.positions],
                    documents=[(key, tables.documents[key]) for key in tables.keys],
                    waypoints=sorted(tables.waypoints.items()),
                    meta=dict(tables.meta),
                ),
                tables.commit_number,
            )

    @classmethod
    def of_copy(cls, packed: bytes, *, fingerprint: str = "memory") -> "MemoryStorage":
        """Return a new storage that holds what a copy held."""
        return cls(fingerprint=fingerprint, _tables=_unpacked(packed))

    def image(self) -> bytes:
        """Return all that was committed, and how often, as one image of the disk."""
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

    def fail_next_commit(self, error: StorageError) -> None:
        """Let the next commit raise ``error`` and keep nothing; any but StorageFull is final."""
        self._next_failure = error


def _unpacked(packed: bytes) -> _Tables:
    journal, documents, waypoints, meta, commit_number = msgpack.unpackb(packed, use_list=False)
    tables = _Tables()
    tables.apply(Batch(list(journal), list(documents), list(waypoints), dict(meta)))
    tables.commit_number = commit_number
    return tables


def _check_order(tables: _Tables, batch: Batch) -> None:
    last = tables.positions[-1] if tables.positions else 0
    for position, _ in batch.journal:
        assert position > last, f"journal position {position} does not follow {last}"
        last = position
    assert len(batch.documents) <= limits.BATCH_DOCUMENTS_MAX, "a batch has too many documents"
    for key, _ in batch.documents:
        assert 0 < len(key) <= limits.DOCUMENT_KEY_BYTES_MAX, f"a key has {len(key)} bytes"
    assert all(batch.meta), "a meta record needs a name"


def _count_within(sizes_bytes: list[int], bytes_max: int) -> int:
    """Return how many leading sizes fit into ``bytes_max``, at least one."""
    total_bytes = 0
    for count, size_bytes in enumerate(sizes_bytes):
        total_bytes += size_bytes
        if total_bytes > bytes_max and count > 0:
            return count
    return len(sizes_bytes)
