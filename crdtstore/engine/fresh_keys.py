"""Fresh keys: the index keys of documents that changed since they came to rest.

They are made when somebody asks, not when somebody writes: a write only notes the profile's id.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import msgpack

from crdtstore.engine.sorted_keys import SortedKeys
from crdtstore.model.document import Document
from crdtstore.query.reading import IndexedReader

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class FreshKeys:
    """The keys of documents in memory. What a profile has here goes before its keys at rest."""

    def __init__(self, reader: IndexedReader) -> None:
        self._reader = reader
        self._touched: set[str] = set()
        self._keys: dict[str, bytes] = {}  # packed: the garbage collector looks at none of them
        self._sorted = SortedKeys()

    def __len__(self) -> int:
        return len(self._keys)

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
            packed = self._keys.pop(profile_id, None)
            before = frozenset(() if packed is None else msgpack.unpackb(packed))
            after: frozenset[bytes] = frozenset()
            if document is not None:
                after = self._reader.keys(profile_id, document.epoch, document.cells)
                self._keys[profile_id] = _pack(list(after))
            for key in before - after:
                self._sorted.remove(key)
            for key in after - before:
                self._sorted.add(key)
        return bool(touched)

    def holds(self, profile_id: str) -> bool:
        """Say whether the keys of a profile are here, so that those at rest do not count."""
        return profile_id in self._keys

    def between(self, lower: bytes, upper: bytes, limit: int, *, is_down: bool) -> list[bytes]:
        """Return the first keys from ``lower`` on and below ``upper``, or the last ones."""
        return list(islice(self._sorted.between(lower, upper, is_down=is_down), limit))
