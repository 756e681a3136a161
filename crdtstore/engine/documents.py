"""Documents at hand: a bounded cache over storage, and those that a checkpoint still owes.

Two generations stand in for "least recently used": what is touched moves to the young one, and
when that is full it becomes the old one and the old one is dropped. Dirty documents are held
apart and are never dropped.
"""

from crdtstore import limits
from crdtstore.model.document import Document, from_record, to_record
from crdtstore.storage.contract import Storage

_DOCUMENT_OVERHEAD_BYTES = 700


class Documents:
    """The documents of one store. Each profile id has one live ``Document`` object at most.

    ``dirty`` are those that differ from their stored record.
    """

    def __init__(self, storage: Storage, bytes_max: int) -> None:
        self._storage = storage
        self._generation_bytes_max = bytes_max // 2
        self._young: dict[str, Document] = {}
        self._old: dict[str, Document] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self.dirty: dict[str, Document] = {}

    @property
    def cached_bytes(self) -> int:
        """Estimated memory of the cached documents."""
        return self._young_bytes + self._old_bytes

    def get(self, profile_id: str) -> Document:
        """Return the document of a profile, an absent one if there is none.

        Raises StorageCorrupt if its stored record is damaged.
        """
        document = self._young.get(profile_id)
        if document is not None:
            return document
        document = self._old.pop(profile_id, None) or self.dirty.get(profile_id)
        if document is None:
            record = self._storage.document(profile_id.encode())
            document = Document() if record is None else from_record(profile_id, record)
        self._admit(profile_id, document)
        return document

    def _admit(self, profile_id: str, document: Document) -> None:
        self._young[profile_id] = document
        self._young_bytes += (
            document.size_bytes * limits.CACHED_BYTES_PER_PACKED_BYTE + _DOCUMENT_OVERHEAD_BYTES
        )
        if self._young_bytes > self._generation_bytes_max:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0

    def rest(self, profile_ids: list[str]) -> list[tuple[str, bytes, Document, int]]:
        """Return (id, record, document, digest) of documents, as storage shall keep them."""
        rested = []
        for profile_id in profile_ids:
            document = self.get(profile_id)
            if document.is_absent:
                self.dirty.pop(profile_id, None)
            else:
                record, digest = to_record(profile_id, document)
                rested.append((profile_id, record, document, digest))
        return rested
