"""Room: what a full disk or map refuses, and the reserves that erasures alone may use there.

A law may demand an erasure, so there must be room for one where nothing else finds any: a ballast
file is given back to the disk for its commit, and what is left of that room is taken back at once,
before a checkpoint or a write can use it.
"""

from crdtstore import limits
from crdtstore.errors import StorageError, StorageFull
from crdtstore.storage.contract import Storage, StorageSize, map_reserve_bytes


class Room:
    """What one store knows of the room for its commits.

    ``is_full`` says that the last ordinary commit found none.
    """

    def __init__(self, storage: Storage) -> None:
        self.is_full = False
        self._storage = storage
        self._is_reserve_open = False
        self._has_ballast = False
        self._refused_at_ms = self._tried_at_ms = 0

    def refuses(self, now_ms: int) -> bool:
        """Say whether an ordinary write is refused without being tried."""
        return self.is_full and now_ms < self._refused_at_ms + limits.FULL_RETRY_MS

    def is_short(self) -> bool:
        """Say whether a commit that erases should ask for no more room than the erasure needs."""
        return self.is_full or _is_short(self._storage.size())

    def open_reserve(self) -> None:
        """Give the reserves to the commit that follows."""
        self._storage.release_ballast()
        self._is_reserve_open = True

    def commit_ended(self, error: StorageError | None, now_ms: int) -> None:
        """Take note of how a commit ended, and take back what there is of the reserves.

        Raises StorageError if the disk cannot be used.
        """
        if isinstance(error, StorageFull):
            self.is_full, self._refused_at_ms = True, now_ms
        elif error is None and not self._is_reserve_open:
            self.is_full = False
        is_due = not self._has_ballast and now_ms >= self._tried_at_ms + limits.FULL_RETRY_MS
        if self._is_reserve_open or (is_due and error is None):
            self._is_reserve_open, self._tried_at_ms = False, now_ms
            self._has_ballast = self._storage.restore_ballast()


def _is_short(size: StorageSize) -> bool:
    room_bytes = size.map_bytes_max - 2 * map_reserve_bytes(size.map_bytes_max)
    return size.disk_free_bytes < limits.SHORT_DISK_BYTES or size.used_bytes > room_bytes
