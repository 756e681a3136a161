"""Batches applied to a store, profiles read from one, and the small bounds of the campaign."""

from collections.abc import Callable
from typing import Any

from crdtstore import Replica, Settings, Store, limits
from tests.faults.promises import Batch

SMALL_LIMITS = {
    "CHECKPOINT_DOCUMENTS": 120,
    "CHECKPOINT_JOURNAL_BYTES": 96 * 1024,
    "CHECKPOINT_SLICE_DOCUMENTS": 20,
    "WAYPOINT_RECORDS": 8,
    "COMMIT_LOG_BYTES": 32 * 1024,
    "LOGGED_BATCH_BYTES_MAX": 12 * 1024,
    "BALLAST_BYTES": 256 * 1024,
    "FILE_EXTENSION_BYTES": 256 * 1024,
}
"""Bounds at which checkpoints, trimming and growth happen all the time."""

SMALL_SETTINGS = Settings(map_bytes_initial=512 * 1024, journal_bytes_max=512 * 1024)


def set_limits(small: dict[str, int | float]) -> None:
    """Give this process other bounds, before it opens anything."""
    for name, value in small.items():
        assert hasattr(limits, name), name
        setattr(limits, name, value)


def apply(store: Store, batch: Batch) -> None:
    """Write a batch and make it durable at once."""
    for entry in batch.entries:
        write = entry.write()
        store.write(write.id, write.fields, source=write.source)
    if batch.erased:
        store.erase(batch.erased)
    store.commit()


def profiles_of(store: Store | Replica) -> dict[str, dict[str, Any]]:
    """Return all living profiles, read as anybody reads them."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while page := store.profiles(after=after, limit=limits.PAGE_PROFILES_MAX):
        for profile in page:
            found[profile.id] = dict(profile)
        after = page[-1].id
    return found


def announce_growth(store: Store, say: Callable[[], None]) -> None:
    """Have it said whenever the map is about to grow."""
    grow = store.storage.grow

    def announced() -> bool:
        say()
        return grow()

    store.storage.grow = announced  # type: ignore[method-assign]
