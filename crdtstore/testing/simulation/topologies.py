"""Topologies: which replicas are wired to which."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

SHAPES: Final = ("mesh", "chain", "hub", "ring", "regions")
"""``regions`` is two meshes with one wire between them."""


def topology(shape: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of replicas that a shape wires; the first of a pair dials."""
    assert shape in SHAPES, shape
    if shape == "mesh":
        return list(combinations(names, 2))
    if shape == "hub":
        return [(names[0], name) for name in names[1:]]
    if shape == "regions":
        middle = (len(names) + 1) // 2
        pairs = [*combinations(names[:middle], 2), *combinations(names[middle:], 2)]
        return [*pairs, *([(names[0], names[middle])] if middle < len(names) else [])]
    pairs = list(pairwise(names))
    if shape == "ring" and len(names) > 2:
        pairs.append((names[-1], names[0]))
    return pairs
