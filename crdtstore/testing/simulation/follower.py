"""A follower of a replica's change feed: a cache as a user would keep it, with a durable cursor.

It reads a profile again whenever the feed names it. So if the feed misses nothing, the cache is
equal to the replica when both are quiet.
"""

from collections.abc import Iterable
from typing import Any, Final

from crdtstore.engine.feed import end_cursor
from crdtstore.errors import CursorExpired, ProfileErased, ProfileNotFound, StorageCorrupt
from crdtstore.store import Store
from crdtstore.testing.simulation.history import Broken

PAGE_CHANGES: Final = 40
"""Changes that a follower asks for at a time: few, so that it often stops in the middle."""


class Follower:
    """A cache of one replica's profiles. ``resyncs`` counts how often its cursor had expired."""

    def __init__(self) -> None:
        self.cursor = ""
        self.cache: dict[str, Any] = {}
        self.changes = 0
        self.resyncs = 0

    def follow(self, store: Store, *, pages: int = 1) -> None:
        """Take up to so many pages of changes."""
        for _ in range(pages):
            try:
                changes = store.changes(since=self.cursor, limit=PAGE_CHANGES)
            except CursorExpired:
                self.resync(store)
                return
            if not changes:
                return
            self.refresh(store, dict.fromkeys(change.id for change in changes))
            self.changes += len(changes)
            self.cursor = changes[-1].cursor

    def resync(self, store: Store) -> None:
        """Start over: read every profile, and go on from the end of the feed."""
        self.resyncs += 1
        durable = [key.decode() for key, _ in
                   store.storage.documents(b"", limit=1 << 40, bytes_max=1 << 50)]  # fmt: skip
        self.cache = {}
        self.cursor = end_cursor(store.ledger)
        self.refresh(store, sorted({*durable, *store.documents.dirty}))

    def refresh(self, store: Store, profiles: Iterable[str]) -> None:
        """Read some profiles again."""
        for profile in profiles:
            self.cache[profile] = shown(store, profile)

    def check(self, store: Store) -> None:
        """Compare the cache with the replica, which must be quiet; raises Broken."""
        self.follow(store, pages=1 << 40)
        for profile, cached in self.cache.items():
            now = shown(store, profile)
            if cached != now:
                raise Broken(f"the feed missed {profile}: it was {cached!r:.80}, is {now!r:.80}")
        listed = {profile.id for profile in store.profiles(limit=1_000)}
        missed = listed - self.cache.keys()
        if missed:
            raise Broken(f"the feed never told of {sorted(missed)[:3]}")


def shown(store: Store, profile: str) -> Any:
    """Return what a reader is shown of a profile."""
    try:
        return dict(store.read(profile))
    except (ProfileErased, ProfileNotFound, StorageCorrupt) as refusal:
        return refusal.code
