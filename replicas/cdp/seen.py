"""Message ids that were seen lately, so that what a client sends again counts once.

An id is remembered as 8 bytes of its hash. The newest ids are in a set, older ones in sorted runs
that are dropped whole: the memory is bounded by the count, and does not grow with time. That two of
four million ids have the same hash, and the later event is taken for a repetition, happens once in
two million million events.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replicas.cdp import limits

_blake2b: Final = hashlib.blake2b
_int_of: Final = int.from_bytes


def hash_of(text: str) -> int:
    """Return the hash of an id, of 63 bits."""
    digest = _blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return _int_of(digest, "little") >> 1


class Seen:
    """The hashes of the ids that were seen in a time, at most so many."""

    def __init__(self, count_max: int, age_ms_max: int) -> None:
        self._count_max = count_max
        self._age_ms_max = age_ms_max
        self._newest: set[int] = set()
        self._since_ms = 0
        self._runs: deque[tuple[int, NDArray[np.uint64]]] = deque()

    def __len__(self) -> int:
        return len(self._newest) + sum(len(run) - 1 for _, run in self._runs)

    def unseen(self, hashes: Sequence[int]) -> list[bool]:
        """Say of each hash whether it is new, the first time that it occurs in the sequence."""
        newest, met = self._newest, set[int]()
        fresh = []
        for one in hashes:
            fresh.append(one not in newest and one not in met)
            met.add(one)
        if self._runs and any(fresh):
            needles = np.array(hashes, np.uint64)
            known = np.zeros(len(hashes), bool)
            for _, run in self._runs:
                known |= run[run.searchsorted(needles)] == needles
            if known.any():
                fresh = [is_new and not was for is_new, was in zip(fresh, known, strict=True)]
        return fresh

    def add(self, hashes: Sequence[int], at_ms: int) -> None:
        """Remember hashes, and forget what is too old or too much."""
        if not self._newest:
            self._since_ms = at_ms
        self._newest.update(hashes)
        is_old = at_ms - self._since_ms > self._age_ms_max // limits.SEEN_RUNS_MAX
        if is_old or len(self._newest) >= self._count_max // limits.SEEN_RUNS_MAX:
            # The greatest number ends a run, so that every search finds a place within it.
            ids = np.fromiter(self._newest, np.uint64, len(self._newest))
            self._runs.append((at_ms, np.append(np.sort(ids), np.uint64(2**64 - 1))))
            self._newest = set()
        while self._runs and (
            self._runs[0][0] < at_ms - self._age_ms_max
            or len(self) - len(self._runs[0][1]) >= self._count_max
        ):
            self._runs.popleft()
