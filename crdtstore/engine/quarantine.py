"""Quarantine: the named records of refused frames, the newest few, kept for inspection."""

from crdtstore import limits
from crdtstore.errors import StorageCorrupt
from crdtstore.storage.contract import Storage


def quarantine_name(slot: int) -> str:
    """Return the name of the record in a slot."""
    return f"quarantine/{slot:03d}"


def count_quarantined(storage: Storage) -> int:
    """Count the refused frames that are kept: damage to one of them stops nothing."""
    count = 0
    for slot in range(limits.QUARANTINE_MAX):
        try:
            count += storage.meta(quarantine_name(slot)) is not None
        except StorageCorrupt:
            count += 1
    return count
