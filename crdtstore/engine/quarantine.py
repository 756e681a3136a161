"""Quarantine: the frames that were refused lately, kept for inspection."""

from collections.abc import Callable
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.engine.drafting import Drafting
from crdtstore.errors import ProtocolError, StorageCorrupt
from crdtstore.storage.contract import Storage

QUARANTINE: Final = "quarantine/"
"""Beginning of the names of records that hold refused frames."""

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Quarantine:
    """The newest few refused frames of one store; ``count`` is how many are kept."""

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        self.count = _count_kept(storage)
        self._drafting = drafting
        self._refused = 0

    def keep(self, raw: bytes, error: ProtocolError) -> None:
        """Keep a refused frame, in the place of the oldest if there are too many."""
        slot = self._refused % limits.QUARANTINE_MAX
        self._refused += 1
        self.count = min(self.count + 1, limits.QUARANTINE_MAX)
        self._drafting.draft.meta[_name_of(slot)] = _pack(
            [error.code, str(error), raw[: limits.FRAME_BYTES_MAX]]
        )

    def forget(self) -> None:
        """Drop them all: they may be about anybody."""
        for slot in range(limits.QUARANTINE_MAX if self.count else 0):
            self._drafting.draft.meta[_name_of(slot)] = None
        self.count = 0


def _name_of(slot: int) -> str:
    return f"{QUARANTINE}{slot:03d}"


def _count_kept(storage: Storage) -> int:
    """Count the refused frames that are kept: damage to one of them stops nothing."""
    count = 0
    for slot in range(limits.QUARANTINE_MAX):
        try:
            count += storage.meta(_name_of(slot)) is not None
        except StorageCorrupt:
            count += 1
    return count
