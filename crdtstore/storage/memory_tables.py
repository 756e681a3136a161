"""The tables of a storage in memory, and how they are read."""

import threading
from bisect import bisect_left, bisect_right, insort
from dataclasses import replace

from crdtstore import limits
from crdtstore.errors import StorageFailed
from crdtstore.storage.contract import Batch
from crdtstore.storage.sealing import meta_place, sealed, unsealed, waypoint_place


class MemoryTables:
    """What commits made: five tables, and a lock that keeps half a commit out of sight."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.documents: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.journal: dict[int, bytes] = {}
        self.positions: list[int] = []
        self.waypoints: dict[int, bytes] = {}
        self.meta: dict[str, bytes] = {}
        self.index: list[bytes] = []
        self.used_bytes = 0
        self.documents_bytes = 0
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
        for key, is_there in batch.index:
            self._change_index(key, is_there)
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
        change_bytes = 0 if old is None else -len(key) - len(old)
        if document is not None:
            self.documents[key] = document
            change_bytes += len(key) + len(document)
        self.used_bytes += change_bytes
        self.documents_bytes += change_bytes
        if old is None and document is not None:
            insort(self.keys, key)
        elif old is not None and document is None:
            del self.keys[bisect_right(self.keys, key) - 1]

    def _change_index(self, key: bytes, is_there: bool) -> None:
        place = bisect_left(self.index, key)
        was_there = self.index[place : place + 1] == [key]
        if is_there and not was_there:
            self.index.insert(place, key)
            self.used_bytes += len(key)
        elif was_there and not is_there:
            del self.index[place]
            self.used_bytes -= len(key)

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


class MemoryReader:
    """The reading half of the contract, over the tables."""

    def __init__(self, tables: MemoryTables) -> None:
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
        return found[: count_within([len(value) for _, value in found], bytes_max)]

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        with (tables := self._open_tables()).lock:
            start = bisect_right(tables.positions, after)
            positions = tables.positions[start : start + limit]
            found = [(position, tables.journal[position]) for position in positions]
        return found[: count_within([len(value) for _, value in found], bytes_max)]

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

    def index(self, prefix: bytes, after: bytes, *, limit: int) -> list[bytes]:
        """Return the first index keys above ``after`` that begin with ``prefix``, in order."""
        with (tables := self._open_tables()).lock:
            start = max(bisect_left(tables.index, prefix), bisect_right(tables.index, after))
            keys = tables.index[start : start + limit]
        return [key for key in keys if key.startswith(prefix)]

    def index_range(
        self, lower: bytes, upper: bytes, *, limit: int, is_down: bool = False
    ) -> list[bytes]:
        """Return the first index keys from ``lower`` on and below ``upper``; or the last ones."""
        with (tables := self._open_tables()).lock:
            start, end = bisect_left(tables.index, lower), bisect_left(tables.index, upper)
            if is_down:
                return tables.index[max(start, end - limit) : end][::-1]
            return tables.index[start : min(end, start + limit)]

    def _open_tables(self) -> MemoryTables:
        if self._is_closed:
            raise StorageFailed("the storage was closed")
        return self._tables


def count_within(sizes_bytes: list[int], bytes_max: int) -> int:
    """Return how many leading sizes fit into ``bytes_max``, at least one."""
    total_bytes = 0
    for count, size_bytes in enumerate(sizes_bytes):
        total_bytes += size_bytes
        if total_bytes > bytes_max and count > 0:
            return count
    return len(sizes_bytes)
