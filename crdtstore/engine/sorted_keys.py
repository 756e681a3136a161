"""Sorted keys: a set of bytes in order, in blocks, so that no change moves more than one block."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

_BLOCK_KEYS: Final = 512


class SortedKeys:
    """A sorted set of keys."""

    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = []
        self._last: list[bytes] = []
        """The last key of each block."""

    def add(self, key: bytes) -> None:
        """Add a key that is not there."""
        if not self._blocks:
            self._blocks, self._last = [[key]], [key]
            return
        place = min(bisect_left(self._last, key), len(self._blocks) - 1)
        block = self._blocks[place]
        insort(block, key)
        if len(block) > 2 * _BLOCK_KEYS:
            self._blocks[place : place + 1] = [block[:_BLOCK_KEYS], block[_BLOCK_KEYS:]]
            self._last.insert(place, block[_BLOCK_KEYS - 1])
            place += 1
        self._last[place] = self._blocks[place][-1]

    def remove(self, key: bytes) -> None:
        """Remove a key that is there."""
        place = bisect_left(self._last, key)
        block = self._blocks[place]
        del block[bisect_left(block, key)]
        if block:
            self._last[place] = block[-1]
        else:
            del self._blocks[place], self._last[place]

    def between(self, lower: bytes, upper: bytes, *, is_down: bool) -> Iterator[bytes]:
        """Yield the keys from ``lower`` on and below ``upper``, or the same backwards."""
        first, last = bisect_left(self._last, lower), bisect_left(self._last, upper)
        blocks = self._blocks[first : last + 1]
        for block in reversed(blocks) if is_down else blocks:
            keys = block[bisect_left(block, lower) : bisect_left(block, upper)]
            yield from reversed(keys) if is_down else keys
