"""Totals: the digest of all documents of a store, known without reading them.

That of all documents at rest is kept up by commits. What is dirty is computed when it is asked for,
and remembered until it changes: a store that is asked again and again computes what is new.
"""

from collections.abc import Iterator

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents, is_living
from crdtstore.model.document import Document, canonical_bytes, digest_of


class Totals:
    """XOR of the digests of all documents of a store, at rest or not, and how many are living."""

    def __init__(self, documents: Documents, committing: Committing) -> None:
        self._documents = documents
        self._committing = committing
        self._known: dict[str, tuple[int, int, int]] = {}

    def whole(self) -> tuple[int, int]:
        """Return digest and number as they are now."""
        digest, profiles = self._committing.digest, self._committing.profiles
        dirty = self._documents.dirty
        for profile_id, document in dirty.items():
            digest ^= document.stored_digest ^ self._digest(profile_id, document)
            profiles += is_living(document) - document.stored_living
        self._known = {each: self._known[each] for each in dirty}
        return digest, profiles

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
