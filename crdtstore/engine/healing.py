"""Healing: a store's documents, compared by digests and exchanged one by one.

A comparison reads documents at rest and lays over them those that are not yet. A record that does
not match its checksum counts as absent, and is written anew when a peer sends the document.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents, just_below
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.entries import entries_of
from crdtstore.engine.key_order import KeyOrder
from crdtstore.engine.ledger import snapshot_note
from crdtstore.engine.texts import check_texts_at_rest, texts_at_rest
from crdtstore.engine.totals import Totals
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import (
    canonical_bytes,
    checked_canonical,
    digest_of,
    has_texts,
    record_digest,
)
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import decode_packed
from crdtstore.sync.ranges import ABSENT, Item, Scan

_SCAN_RECORDS_LEAST = 16


class Healing:
    """The store as a repair sees it: scans, records to send, documents to join.

    ``totals`` know the digest of all documents without a scan.
    """

    def __init__(
        self, storage: Storage, documents: Documents, drafting: Drafting, committing: Committing
    ) -> None:
        self._storage = storage
        self._documents = documents
        self._drafting = drafting
        self._committing = committing
        self.totals = Totals(documents, committing)
        self._dirty_ids: list[str] = []
        self._dirty_as_of = (-1, -1)

    # --- comparing ----------------------------------------------------------------------------

    def reading(self, scan: Scan) -> "Reading":
        """Begin to read the range of a scan."""
        as_of = (self._drafting.latest_timestamp, self._committing.transactions)
        if as_of != self._dirty_as_of:
            self._dirty_ids, self._dirty_as_of = sorted(self._documents.dirty), as_of
        lower = bisect_left(self._dirty_ids, scan.span.lower)
        upper = bisect_left(self._dirty_ids, scan.span.upper) if scan.span.upper else None
        return Reading(self._storage, self._documents, scan, self._dirty_ids[lower:upper])

    # --- giving -------------------------------------------------------------------------------

    def rest(self, profile_ids: Sequence[str]) -> None:
        """Have documents brought to rest, if they are not: only what is durable is given away."""
        self._drafting.rest(profile_ids)

    def dirty_after(self, profile_id: str) -> KeyOrder:
        """Return the ids above one of the documents that do not rest."""
        return KeyOrder(each for each in self._documents.dirty if each > profile_id)

    def documents_bytes(self) -> int:
        """Estimate the bytes of all documents."""
        dirty_bytes = sum(document.size_bytes for document in self._documents.dirty.values())
        return self._storage.size().documents_bytes + dirty_bytes

    @property
    def is_durable(self) -> bool:
        """Whether all that was written and joined so far is durable, with no commit under way."""
        committing = self._committing
        return self._drafting.is_empty and not (committing.under_way or committing.settling)

    @property
    def is_drafted(self) -> bool:
        """Whether something waits for a commit that has not begun."""
        return not self._drafting.is_empty

    @property
    def latest_timestamp(self) -> int:
        """A timestamp at or above that of every cell."""
        return self._drafting.latest_timestamp

    def digest_at_rest(self, profile_id: str) -> int:
        """Return the digest of a document at rest, ABSENT if there is none or it is damaged."""
        record = self._storage.document(profile_id.encode())
        return ABSENT if record is None else _digest_at_rest(self._storage, profile_id, record)

    def entries_at_rest(self, profile_id: str) -> list[bytes]:
        """Return a document at rest as packed entries; none if it is absent or damaged."""
        record = self._storage.document(profile_id.encode())
        if record is None:
            return []
        try:
            canonical = checked_canonical(profile_id, record)
            texts = texts_at_rest(self._storage, profile_id, canonical) if has_texts(record) else ()
            return list(entries_of(profile_id, canonical, texts))
        except StorageCorrupt:
            return []

    # --- taking -------------------------------------------------------------------------------

    def join(self, packed: bytes, timestamp: int, now_ms: int, allowed: set[str] | None) -> int:
        """Join documents of a peer, to rest with the next commit; return their number.

        ``allowed`` are the ids that they may have. The journal notes them, for the change feed.
        Raises FrameCorrupt or ClockSkew with nothing changed.
        """
        entries = decode_packed(packed)
        profile_ids = self._drafting.apply_documents(entries, timestamp, now_ms, allowed)
        if profile_ids:
            self._drafting.draft.records.append(snapshot_note(timestamp, profile_ids))
        return len(profile_ids)


class Reading:
    """One range being read, a page at a time: ``step`` until it says that it is done.

    ``fresh`` are the ids of dirty documents in the range, ``records`` is what the last step read.
    """

    def __init__(
        self, storage: Storage, documents: Documents, scan: Scan, fresh: list[str]
    ) -> None:
        self._storage = storage
        self._documents = documents
        self._scan = scan
        self._after = just_below(scan.span.lower)
        self._limit = scan.hint + _SCAN_RECORDS_LEAST
        self._fresh = fresh
        self.records = 0

    def step(self) -> bool:
        """Read and check the next page, give it to the scan; return whether it was the last."""
        limit = min(self._limit, limits.SCAN_RECORDS)
        records = self._storage.documents(self._after, limit=limit, bytes_max=limits.SCAN_BYTES)
        stored = [(key.decode(errors="replace"), record) for key, record in records]
        is_last = not records
        place = len(stored)
        upper = self._scan.span.upper
        if upper and stored and stored[-1][0] >= upper:
            is_last = True
            place = bisect_left(stored, upper, key=lambda pair: pair[0])
        fresh = self._take_fresh(None if is_last else stored[-1][0])
        self.records = len(records) + len(fresh)
        self._scan.add(self._overlaid(stored[:place], fresh))
        if is_last:
            self._scan.finish()
        else:
            self._after = records[-1][0]
            self._limit = limits.SCAN_RECORDS
        return is_last

    def _take_fresh(self, last_id: str | None) -> list[str]:
        """Remove and return the ids of dirty documents up to one, all if it is None."""
        end = len(self._fresh) if last_id is None else bisect_right(self._fresh, last_id)
        taken, self._fresh = self._fresh[:end], self._fresh[end:]
        return taken

    def _overlaid(self, stored: list[tuple[str, bytes]], fresh: list[str]) -> list[Item]:
        """Return the digests of a page's documents, dirty ones over those at rest."""
        storage = self._storage
        found = {
            profile_id: _digest_at_rest(storage, profile_id, record)
            for profile_id, record in stored
        }
        for profile_id in fresh:
            document = self._documents.dirty.get(profile_id)
            if document is None:
                record = storage.document(profile_id.encode())
                found[profile_id] = (
                    ABSENT if record is None else _digest_at_rest(storage, profile_id, record)
                )
            elif document.is_absent:
                found[profile_id] = ABSENT
            else:
                found[profile_id] = digest_of(profile_id, canonical_bytes(document))
        items = found.items() if not fresh else sorted(found.items())
        return [item for item in items if item[1] != ABSENT]


def _digest_at_rest(storage: Storage, profile_id: str, record: bytes) -> int:
    """Return the digest of a record, ABSENT if it or a text of its document is damaged."""
    try:
        checked_canonical(profile_id, record)
        check_texts_at_rest(storage, profile_id, record)
    except StorageCorrupt:
        return ABSENT
    return record_digest(record)
