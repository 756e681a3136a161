"""What of the history a store shows, and what its vector says that it has."""

from crdtstore.errors import ProfileErased, ProfileNotFound, StorageCorrupt
from crdtstore.store import Store
from crdtstore.testing.simulation.history import Entry, History


def visible(store: Store, profile: str, history: History) -> list[Entry]:
    """Return the register writes to a profile that stand at a store."""
    try:
        candidates = store.explain(profile)
    except (ProfileErased, ProfileNotFound, StorageCorrupt):
        return []
    times = {(c.field, c.source, c.timestamp, c.origin) for c in candidates if c.kind == "register"}
    return [
        entry
        for entry in history.by_profile.get(profile, [])
        if (entry.field, entry.source, entry.timestamp, entry.origin) in times
    ]


def is_covered(store: Store, entry: Entry) -> bool:
    """Say whether a store's vector says that it has a write.

    What came by a repair, or by a snapshot that is not whole, is there without being covered: no
    order of causes is promised for it.
    """
    if entry.ticket.sequence == 0:
        return entry.origin == store.replication.identity.origin
    return store.ledger.head(entry.origin)[0] >= entry.ticket.sequence
