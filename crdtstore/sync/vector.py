"""Version vectors: which frames of which origin were applied, without gaps.

A vector maps origin to the last sequence applied; an origin that is not in it stands at 0. Heads
also carry that frame's hash. Source: Parker et al. 1983, "Detection of mutual inconsistency".
"""

from collections.abc import Mapping
from typing import TypeAlias

Vector: TypeAlias = dict[int, int]
Head: TypeAlias = tuple[int, bytes]
Heads: TypeAlias = dict[int, Head]
Names: TypeAlias = dict[int, tuple[str, int]]
"""Origin to the name of its replica, and the Unix milliseconds when it was born (0: not known)."""


def covers(mine: Mapping[int, int], theirs: Mapping[int, int]) -> bool:
    """Say whether one vector has everything that another has."""
    return all(mine.get(origin, 0) >= sequence for origin, sequence in theirs.items())


def missing_count(mine: Mapping[int, int], theirs: Mapping[int, int]) -> int:
    """Return how many frames ``theirs`` has that ``mine`` lacks."""
    return sum(
        sequence - mine.get(origin, 0)
        for origin, sequence in theirs.items()
        if sequence > mine.get(origin, 0)
    )


def join_vectors(one: Mapping[int, int], other: Mapping[int, int]) -> Vector:
    """Return the least vector that covers both."""
    joined = dict(one)
    for origin, sequence in other.items():
        if sequence > joined.get(origin, 0):
            joined[origin] = sequence
    return joined


def meet_heads(one: Mapping[int, Head], other: Mapping[int, Head]) -> Heads:
    """Return the heads that both have reached: the lower of each origin."""
    return {origin: min(head, other[origin]) for origin, head in one.items() if origin in other}


def vector_of(heads: Mapping[int, Head]) -> Vector:
    """Return the vector of heads, without their hashes."""
    return {origin: head[0] for origin, head in heads.items()}
