"""Whose events are where, of the newest files of the log: those that have no index yet.

It follows the log from behind, so that accepting events does not wait for it. An event costs 16
bytes here until its file is full; then the file gets an index of its own.
"""

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from replicas.cdp.events import Subject
from replicas.cdp.seen import hash_of


class Tail:
    """Hashes of profile ids, and the sequences of their events, up to the event ``after``."""

    def __init__(self, after: int) -> None:
        self.after = after
        self._hashes = array("Q")
        self._sequences = array("Q")

    def add(self, subjects: Iterable[tuple[int, Subject]], last: int) -> None:
        """Take in the events up to one."""
        for sequence, subject in subjects:
            self._hashes.append(hash_of(subject.profile_id))
            self._sequences.append(sequence)
        self.after = last

    def sequences_of(self, profile_hash: int) -> list[int]:
        """Return where there are events of profiles with a hash, in order."""
        if not self._hashes:
            return []
        places = np.flatnonzero(np.frombuffer(self._hashes, np.uint64) == np.uint64(profile_hash))
        found: list[int] = np.frombuffer(self._sequences, np.uint64)[places].tolist()
        return found

    def take(self, last: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the index of the events up to one, sorted by hash, and keep it no longer."""
        hashes, sequences = (np.array(each, np.uint64) for each in (self._hashes, self._sequences))
        is_due = sequences <= np.uint64(last)
        self._hashes = array("Q", hashes[~is_due].tobytes())
        self._sequences = array("Q", sequences[~is_due].tobytes())
        hashes, sequences = hashes[is_due], sequences[is_due]
        order = np.argsort(hashes, kind="stable")
        return hashes[order], sequences[order]
