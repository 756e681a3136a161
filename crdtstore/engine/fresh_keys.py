"""Fresh keys: the index keys of documents that changed since they came to rest.

They are made when somebody asks, not when somebody writes: a write only notes the profile's id.
"""

from bisect import bisect_left, insort

from crdtstore.model.document import Document
from crdtstore.query import bounds
from crdtstore.query.reading import IndexedReader


class FreshKeys:
    """The keys of documents in memory. What a profile has here goes before its keys at rest."""

    def __init__(self, reader: IndexedReader) -> None:
        self._reader = reader
        self._touched: set[str] = set()
        self._keys: dict[str, frozenset[bytes]] = {}
        self._owners: dict[bytes, str] = {}
        self._sorted: list[bytes] = []
        self._new: list[bytes] = []

    def note(self, profile_id: str) -> None:
        """Take note that a document changed."""
        self._touched.add(profile_id)

    def settle(self, profile_id: str) -> None:
        """Take note that a document rests as it is."""
        if profile_id in self._keys:
            self._touched.add(profile_id)
        else:
            self._touched.discard(profile_id)

    def catch_up(self, dirty: dict[str, Document], limit: int) -> bool:
        """Make the keys of documents that changed, so many at the most; say if there are more."""
        touched = self._touched
        for _ in range(min(limit, len(touched))):
            profile_id = touched.pop()
            document = dirty.get(profile_id)
            if document is None:
                self._forget(profile_id)
            else:
                keys = self._reader.keys(profile_id, document.epoch, document.cells)
                self._put(profile_id, keys)
        if not touched:
            self._merge()
        return bool(touched)

    def __len__(self) -> int:
        return len(self._keys)

    def holds(self, profile_id: str) -> bool:
        """Say whether the keys of a profile are here, so that those at rest do not count."""
        return profile_id in self._keys

    def between(self, lower: bytes, upper: bytes, limit: int, is_down: bool) -> list[bytes]:
        """Return the first keys from ``lower`` on and below ``upper``, or the last ones."""
        start, end = bisect_left(self._sorted, lower), bisect_left(self._sorted, upper)
        places = range(end - 1, start - 1, -1) if is_down else range(start, end)
        found: list[bytes] = []
        for place in places:
            key = self._sorted[place]
            if key in self._owners and (not found or found[-1] != key):
                found.append(key)
                if len(found) == limit:
                    break
        return found

    def _put(self, profile_id: str, keys: frozenset[bytes]) -> None:
        before = self._keys.get(profile_id, frozenset())
        self._keys[profile_id] = keys
        for key in before - keys:
            del self._owners[key]
        for key in keys - before:
            self._owners[key] = profile_id
            self._new.append(key)

    def _forget(self, profile_id: str) -> None:
        for key in self._keys.pop(profile_id, ()):
            del self._owners[key]

    def _merge(self) -> None:
        """Put new keys into their places, and drop old ones when they are most of all."""
        if len(self._sorted) > 2 * len(self._owners) + bounds.FRESH_INSERTED_MAX:
            self._sorted = sorted(self._owners)
        elif len(self._new) > bounds.FRESH_INSERTED_MAX:
            self._sorted += self._new
            self._sorted.sort()
        else:
            for key in self._new:
                insort(self._sorted, key)
        self._new = []
