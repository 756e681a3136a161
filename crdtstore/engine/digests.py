"""Digests: the state of a whole store in one line, equal on converged replicas.

That of all documents at rest is kept up by commits. What is dirty is computed when it is asked for,
and remembered until it changes: a store that is asked again and again computes what is new.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crdtstore import limits
from crdtstore.engine.commits import Committing, is_living
from crdtstore.engine.documents import Documents
from crdtstore.engine.erasures import Erasures
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.replication import Replication
from crdtstore.model.document import Document, canonical_bytes, digest_of


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

    def __init__(
        self,
        documents: Documents,
        committing: Committing,
        ledger: Ledger,
        replication: Replication,
        erasures: Erasures,
    ) -> None:
        self._documents = documents
        self._committing = committing
        self._ledger = ledger
        self._replication = replication
        self._erasures = erasures
        self._known: dict[str, tuple[int, int, int]] = {}

    def whole(self) -> StoreDigest:
        """Return the digest of all documents as they are now, at rest or not."""
        digest, profiles = self._committing.digest, self._committing.profiles
        dirty = self._documents.dirty
        for profile_id, document in dirty.items():
            digest ^= document.stored_digest ^ self._digest(profile_id, document)
            profiles += is_living(document) - document.stored_living
        self._known = {each: self._known[each] for each in dirty}
        names = self._replication.names
        vector = {
            f"{names.get(origin, '?')}/{origin:016x}": sequence
            for origin, sequence in sorted(self._ledger.vector().items())
        }
        return StoreDigest(profiles - self._erasures.count, f"{digest:032x}", vector)

    def compute(self) -> Iterator[None]:
        """Compute ahead what ``whole`` takes; the caller may do other work between the steps."""
        dirty = self._documents.dirty
        profile_ids = list(dirty)
        for start in range(0, len(profile_ids), limits.DIGEST_DOCUMENTS):
            for profile_id in profile_ids[start : start + limits.DIGEST_DOCUMENTS]:
                document = dirty.get(profile_id)
                if document is not None:
                    self._digest(profile_id, document)
            yield

    def _digest(self, profile_id: str, document: Document) -> int:
        known = self._known.get(profile_id)
        if known is not None and known[:2] == (document.epoch, document.stamp):
            return known[2]
        digest = 0 if document.is_absent else digest_of(profile_id, canonical_bytes(document))
        self._known[profile_id] = (document.epoch, document.stamp, digest)
        return digest
