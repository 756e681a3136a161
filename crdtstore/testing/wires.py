"""Wires: ways between two replicas in lockstep, and the shapes that they make."""

from collections import deque
from dataclasses import dataclass, field
from itertools import combinations, pairwise


@dataclass(slots=True)
class Wire:
    """A way between two replicas; ``ends`` are the link's numbers at both while it is linked."""

    one: str
    two: str
    is_cut: bool = False
    delay_steps: int = 0
    ends: tuple[int, int] | None = None
    relink_at: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)
    to_one: deque[tuple[int, bytes]] = field(default_factory=deque)
    to_two: deque[tuple[int, bytes]] = field(default_factory=deque)

    def lose(self, relink_at: int) -> None:
        """Forget the link and what was on its way."""
        self.ends = None
        self.relink_at = relink_at
        self.to_one.clear()
        self.to_two.clear()


def topology(shape: str, names: list[str]) -> list[tuple[str, str]]:
    """Return the pairs that a mesh, chain, hub or ring wires."""
    if shape == "mesh":
        return list(combinations(names, 2))
    if shape == "hub":
        return [(names[0], name) for name in names[1:]]
    pairs = list(pairwise(names))
    if shape == "ring" and len(names) > 2:
        pairs.append((names[-1], names[0]))
    return pairs
