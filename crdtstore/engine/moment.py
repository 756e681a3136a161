"""A moment: all documents of a store as they are now, to be read later, by any one thread.

Documents at rest come from a view of the storage, which no later commit changes, and so do texts.
Those that are not at rest are copied: the cells of documents are values, so only the maps are, and
texts are packed as they would rest.
"""

from bisect import bisect_right
from collections.abc import Iterator

from crdtstore import limits
from crdtstore.engine.documents import Documents
from crdtstore.engine.texts import row_name
from crdtstore.errors import StorageCorrupt
from crdtstore.model.cells import KIND_OF_LETTER
from crdtstore.model.document import Document, from_record
from crdtstore.model.profile import TextPlace
from crdtstore.model.texts import Text
from crdtstore.model.values import Value
from crdtstore.names import OWN_IDS
from crdtstore.storage.contract import Storage

_PAGE_RECORDS = 500


class Moment:
    """The documents of one moment. Close it: while it is open the data file keeps what it needs."""

    def __init__(self, storage: Storage, documents: Documents) -> None:
        self._view = storage.pinned_view()
        self._fresh = {
            profile_id: _copy_of(document) for profile_id, document in documents.dirty.items()
        }
        self._fresh_ids: list[str] = []
        self._fresh_texts = {
            row_name(profile_id, name): text.to_row(document.epoch)
            for profile_id, document in documents.dirty.items()
            for name, text in document.texts.items()
            if text.changes != text.rested
        }

    def __enter__(self) -> "Moment":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pages(self) -> Iterator[list[tuple[str, Document]]]:
        """Yield all living documents in the order of their ids, page by page.

        Raises StorageCorrupt for a damaged record, CopyInterrupted if the moment was closed.
        """
        self._fresh_ids = self._fresh_ids or sorted(self._fresh)
        after, place, is_last = "", 0, False
        while not is_last:
            records = self._view.documents(
                after.encode(), limit=_PAGE_RECORDS, bytes_max=4 * limits.MEBIBYTE
            )
            is_last = not records
            stored = {key.decode(): record for key, record in records}
            end = len(self._fresh_ids)
            if records:
                after = records[-1][0].decode()
                end = bisect_right(self._fresh_ids, after)
            ids = sorted({*stored, *self._fresh_ids[place:end]})
            place = end
            page = []
            for profile_id in ids:
                document = self._fresh.get(profile_id)
                if document is None:
                    document = from_record(profile_id, stored[profile_id])
                is_profile = not profile_id.startswith(OWN_IDS)
                if is_profile and not (document.is_erased or document.is_absent):
                    page.append((profile_id, document))
            yield page

    def value_of(self, place: TextPlace) -> Value:
        """Return a text as a string, or the items of a list; raises as ``pages`` does."""
        name = row_name(place.profile_id, place.name)
        row = self._fresh_texts.get(name) or self._view.meta(name)
        if row is None:
            raise StorageCorrupt(
                f"the text {place.name[1:]!r} of profile {place.profile_id!r} was lost; "
                "heal it from a peer: crdtstore verify --repair PEER"
            )
        value = Text.from_row(KIND_OF_LETTER[place.name[0]], row)[1].value
        return list(value) if isinstance(value, list) else value

    def close(self) -> None:
        """Let the storage use again what was kept for this moment."""
        self._view.close()


def _copy_of(document: Document) -> Document:
    copy = Document.__new__(Document)
    copy.epoch, copy.cells, copy.stamp = document.epoch, dict(document.cells), document.stamp
    copy.size_bytes = document.size_bytes
    return copy
