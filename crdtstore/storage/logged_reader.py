"""Reading from LMDB and from what the commit log holds before it, as one.

Reads look at what is pending first, the older part before the newer one, then at LMDB, so what is
brought there meanwhile is seen at least once; a journal record that is seen twice has one position.
"""

from bisect import bisect_right
from typing import Final

from crdtstore.storage.contract import Batch
from crdtstore.storage.lmdb_storage import LmdbStorage

SEQUENCE: Final = "log"
"""Name of the record that says which commit LMDB has last; readers do not see it."""


class Pending:
    """What the log holds: commits that LMDB does not have yet, as one batch."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.size_bytes = 0

    def add(self, batch: Batch) -> None:
        """Add one commit."""
        self.batch.waypoints += batch.waypoints
        self.batch.meta.update(batch.meta)
        self.batch.journal += batch.journal
        self.size_bytes += batch.size_bytes()

    def journal_after(self, position: int) -> list[tuple[int, bytes]]:
        """Return the journal records above a position."""
        journal = list(self.batch.journal)
        return journal[bisect_right(journal, position, key=lambda record: record[0]) :]


def joined(older: Pending, newer: Pending) -> Pending:
    """Return all that the log holds as one."""
    both = Pending()
    both.add(older.batch)
    both.add(newer.batch)
    return both


class LoggedReader:
    """The reading half of a LoggedStorage, which brings its parts."""

    _lmdb: LmdbStorage
    _unsettled: tuple[Pending, Pending]  # what is sealed, and what came after it

    @property
    def _unsettled_bytes(self) -> int:
        return sum(pending.size_bytes for pending in self._unsettled)

    def document(self, key: bytes) -> bytes | None:
        """Return the document under a key, or None."""
        return self._lmdb.document(key)

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after``."""
        return self._lmdb.documents(after, limit=limit, bytes_max=bytes_max)

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        unsettled = self._unsettled
        last = self._lmdb.journal_bounds()[1]
        found = self._lmdb.journal(after, limit=limit, bytes_max=bytes_max)
        if found and found[-1][0] < last:
            return found
        total_bytes = sum(len(value) for _, value in found)
        for position, value in _journal_after(found[-1][0] if found else after, unsettled):
            total_bytes += len(value)
            if len(found) >= limit or (found and total_bytes > bytes_max):
                break
            found.append((position, value))
        return found

    def journal_headers(
        self, after: int, *, limit: int, header_bytes: int
    ) -> list[tuple[int, bytes]]:
        """Return the first ``header_bytes`` of the journal records above ``after``, in order."""
        unsettled = self._unsettled
        found = self._lmdb.journal_headers(after, limit=limit, header_bytes=header_bytes)
        if len(found) < limit:
            more = _journal_after(found[-1][0] if found else after, unsettled)
            found += [(position, value[:header_bytes]) for position, value in more]
        return found[:limit]

    def journal_bounds(self) -> tuple[int, int]:
        """Return the first and the last position of the journal, (0, 0) when it is empty."""
        pending = _journal_after(0, self._unsettled)
        first, last = self._lmdb.journal_bounds()
        if pending:
            first, last = first or pending[0][0], max(last, pending[-1][0])
        return first, last

    def waypoints(self) -> list[tuple[int, bytes]]:
        """Return all waypoints in position order."""
        pending = [each for part in self._unsettled for each in part.batch.waypoints]
        return sorted({**dict(self._lmdb.waypoints()), **dict(pending)}.items())

    def index(self, prefix: bytes, after: bytes, *, limit: int) -> list[bytes]:
        """Return the first index keys above ``after`` that begin with ``prefix``, in order."""
        return self._lmdb.index(prefix, after, limit=limit)

    def index_range(
        self, lower: bytes, upper: bytes, *, limit: int, is_down: bool = False
    ) -> list[bytes]:
        """Return the first index keys from ``lower`` on and below ``upper``; or the last ones."""
        return self._lmdb.index_range(lower, upper, limit=limit, is_down=is_down)

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        for part in reversed(self._unsettled):
            if name in part.batch.meta:
                return part.batch.meta[name]
        return self._lmdb.meta(name)

    def metas(self, prefix: str) -> dict[str, bytes]:
        """Return all named records whose name starts with ``prefix``, in order of their bytes."""
        sealed, pending = self._unsettled
        newer = sealed.batch.meta | pending.batch.meta
        found: dict[str, bytes | None] = {**self._lmdb.metas(prefix), **newer}
        names = [name for name in found if name.startswith(prefix) and name != SEQUENCE]
        names.sort(key=str.encode)
        return {name: value for name in names if (value := found[name]) is not None}


def _journal_after(position: int, unsettled: tuple[Pending, Pending]) -> list[tuple[int, bytes]]:
    return [record for part in unsettled for record in part.journal_after(position)]
