"""Removal: the names of replicas that were removed from the space for good.

The set only grows, and spreads with HELLO and GOSSIP, so all replicas come to the same one.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.engine.drafting import Drafting
from crdtstore.errors import LimitExceeded
from crdtstore.storage.contract import Storage

REMOVED: Final = "removed"
"""Name of the record that holds the removed names."""

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Removal:
    """The removed names. ``is_own`` says that this replica's name is one of them."""

    def __init__(self, storage: Storage, drafting: Drafting, own_name: str) -> None:
        packed = storage.meta(REMOVED)
        self.names: set[str] = set() if packed is None else set(msgpack.unpackb(packed))
        self.is_own = own_name in self.names
        self._own_name = own_name
        self._drafting = drafting

    def check_room(self) -> None:
        """Check that one more name may be removed here; raises LimitExceeded."""
        count = len(self.names) + 1
        if count > limits.REMOVED_REPLICAS_MAX:
            subject = "the space's set of removed names"
            raise LimitExceeded(subject, count, limits.REMOVED_REPLICAS_MAX, "names")

    def learn(self, names: Iterable[str]) -> set[str]:
        """Take over names that were removed, here or elsewhere; return those that are news."""
        news = set(names) - self.names
        if news:
            self.names |= news
            self.is_own = self._own_name in self.names
            self._drafting.draft.meta[REMOVED] = _pack(sorted(self.names))
        return news
