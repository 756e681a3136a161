"""Watch: what the three replicas look like at one moment."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtstore.demo import limits
from crdtstore.demo.client import Client
from crdtstore.demo.failure import DemoFailed
from crdtstore.demo.ledger import Ledger

_RATE_WINDOW_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One replica at one moment.

    ``behind_frames`` are frames that some other replica has and this one lacks, cut off or not.
    ``edits_per_s`` are field edits that clients made here. ``links`` names the peers of live links.
    """

    name: str
    profiles: int
    frames: int
    edits_per_s: float
    behind_frames: int
    digest: str
    links: tuple[str, ...]

    @property
    def state(self) -> str:
        """What the replica's links say, in words."""
        return f"linked to {', '.join(self.links)}" if self.links else "cut off"


class Watch:
    """Looks at the replicas; ``ledger`` counts the edits made at each."""

    def __init__(self, clients: Sequence[Client], ledger: Ledger) -> None:
        self._clients = clients
        self._ledger = ledger
        self._edits: deque[tuple[float, dict[str, int]]] = deque()

    def restart(self) -> None:
        """Forget the rates so far: another step begins."""
        self._edits.clear()

    async def look(self) -> list[Observation]:
        """Ask every replica for its status and digest."""
        answers = await asyncio.gather(*(_ask(client) for client in self._clients))
        vectors = [_vector_of(digest) for _, digest in answers]
        known: dict[str, int] = {}
        for vector in vectors:
            for origin, sequence in vector.items():
                known[origin] = max(sequence, known.get(origin, 0))
        rates = self._rates()
        return [
            Observation(
                name=client.name,
                profiles=digest["profiles"],
                frames=status["frames"],
                edits_per_s=rates[client.name],
                behind_frames=sum(
                    sequence - vector.get(origin, 0) for origin, sequence in known.items()
                ),
                digest=digest["digest"],
                links=_links_of(status),
            )
            for client, (status, digest), vector in zip(
                self._clients, answers, vectors, strict=True
            )
        ]

    def _rates(self) -> dict[str, float]:
        """Return the edits per second of each replica over the last second or so."""
        now_s = time.monotonic()
        names = [client.name for client in self._clients]
        self._edits.append((now_s, {name: self._ledger.edits[name] for name in names}))
        while len(self._edits) > 2 and now_s - self._edits[1][0] >= _RATE_WINDOW_S:
            self._edits.popleft()
        then_s, then = self._edits[0]
        span_s = max(now_s - then_s, limits.DEMO_LOOK_S)
        return {name: (self._ledger.edits[name] - then[name]) / span_s for name in names}


def have_converged(observations: Sequence[Observation]) -> bool:
    """Say whether all digests are equal and nobody lacks a frame."""
    digests = {observation.digest for observation in observations}
    return len(digests) == 1 and not any(seen.behind_frames for seen in observations)


def not_converged(observations: Sequence[Observation], patience_s: float) -> DemoFailed:
    """Return the error that tells how the replicas still differ."""
    states = "; ".join(
        f"{seen.name}: digest {seen.digest[:8]}, {seen.behind_frames:,} frames behind, {seen.state}"
        for seen in observations
    )
    return DemoFailed(f"the replicas did not converge within {patience_s:g} s: {states}")


async def _ask(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    return await client.status(), await client.digest()


def _vector_of(digest: Mapping[str, Any]) -> dict[str, int]:
    """Return the vector by origin: a replica may not have heard an origin's name yet."""
    return {key.rpartition("/")[2]: sequence for key, sequence in digest["vector"].items()}


def _links_of(status: Mapping[str, Any]) -> tuple[str, ...]:
    peers = {peer["name"] for peer in status["peers"] if peer["state"] == "live" and peer["name"]}
    return tuple(sorted(peers))
