"""Returning: a replica that was restored from a backup shows nothing before it has met a peer.

The backup may hold people who were erased since. Which those are a peer knows: once this replica
has everything that a peer had when they met, it has erased them too.
"""

from typing import Final

from crdtstore.engine.drafting import Drafting
from crdtstore.storage.contract import Storage

AWAITED: Final = "returning"
"""Name of the record that a restored replica has until it has met a peer."""


class Returning:
    """Whether this store still waits for what happened since its backup."""

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        self.is_awaited = storage.meta(AWAITED) is not None
        self._drafting = drafting

    def returned(self) -> None:
        """Take note that it has caught up with a peer: it may be read."""
        self.is_awaited = False
        self._drafting.draft.meta[AWAITED] = None
