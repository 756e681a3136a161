"""Digests: the state of a whole store in one line, equal on converged replicas."""

from collections.abc import Iterator
from dataclasses import dataclass

from crdtstore.engine.erasures import Erasures
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.replication import Replication


@dataclass(frozen=True, slots=True)
class StoreDigest:
    """The state of a store in one line: replicas with equal digests hold equal documents.

    ``profiles`` counts the living ones. ``digest`` is 32 hex digits: the XOR of the 128-bit digests
    of all documents, erased ones too. ``vector`` maps "name/origin" to the last frame applied.
    """

    profiles: int
    digest: str
    vector: dict[str, int]


class Digests:
    """The digest of one store, and the number of its living profiles."""

    def __init__(self, ledger: Ledger, replication: Replication, erasures: Erasures) -> None:
        self._totals = replication.healing.totals
        self._ledger = ledger
        self._replication = replication
        self._erasures = erasures

    def whole(self) -> StoreDigest:
        """Return the digest of all documents as they are now, at rest or not."""
        digest, profiles = self._totals.whole()
        names = self._replication.names
        vector = {
            f"{names.get(origin, '?')}/{origin:016x}": sequence
            for origin, sequence in sorted(self._ledger.vector().items())
        }
        return StoreDigest(profiles - self._erasures.count, f"{digest:032x}", vector)

    def compute(self) -> Iterator[None]:
        """Compute ahead what ``whole`` takes; the caller may do other work between the steps."""
        return self._totals.compute()
