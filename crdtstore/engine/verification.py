"""Verification: the check of every record at rest."""

from collections.abc import Generator
from dataclasses import dataclass

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.identifiers import (
    INDEX_TAG,
    identifiers_at_rest,
    index_key,
    profile_of,
)
from crdtstore.engine.indexes import owner_of
from crdtstore.engine.texts import check_texts_at_rest
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import checked_canonical, record_digest, unpack_canonical
from crdtstore.model.identity import identifiers_in
from crdtstore.names import OWN_IDS
from crdtstore.query.reading import INDEX_TAG as QUERY_TAG
from crdtstore.storage.contract import Storage

_PAGE_RECORDS = 2_000
_PAGE_KEYS = 500


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of every record found.

    ``damaged`` names profiles whose record does not match its checksum (the first thousand).
    ``index_faults`` counts keys that the indexes lack or have in vain, those of identifiers and of
    the schema: they are built anew at the next start. ``is_sound`` also asks that count and digest
    agree with what the store believes, as far as nothing was committed during the check.
    """

    documents: int
    profiles: int
    digest: str
    damaged: tuple[str, ...]
    index_keys: int
    index_faults: int
    is_sound: bool


class Verification:
    """One check of every record at rest: ``step`` until it says it is done, then ``report``."""

    def __init__(self, storage: Storage, committing: Committing) -> None:
        self._storage = storage
        self._committing = committing
        self._transactions_before = committing.transactions
        self._after = b""
        self._is_at_index = False
        self._documents = self._living = self._own = self._digest = 0
        self._index_keys = self._index_faults = 0
        self._damaged: list[str] = []

    def steps(self) -> Generator[None, None, VerifyReport]:
        """Check all records with a pause after each page; return what was found."""
        while not self.step():
            yield
        return self.report()

    def step(self) -> bool:
        """Check the next page of records, then of index keys; return whether it was the last."""
        if self._is_at_index:
            return self._step_index()
        records = self._storage.documents(
            self._after, limit=_PAGE_RECORDS, bytes_max=limits.JOURNAL_CACHE_BYTES
        )
        for key, record in records:
            self._check(key, record)
        self._after = records[-1][0] if records else b""
        self._is_at_index = not records
        return False

    def _check(self, key: bytes, record: bytes) -> None:
        profile_id = key.decode(errors="replace")
        self._documents += 1
        try:
            epoch, cells = unpack_canonical(checked_canonical(profile_id, record))
            check_texts_at_rest(self._storage, profile_id, record)
        except StorageCorrupt:
            self._damaged.append(profile_id)
            return
        self._digest ^= record_digest(record)
        self._living += 1 - (epoch & 1)
        self._own += profile_id.startswith(OWN_IDS)
        traces = self._committing.traces
        wanted_keys = {index_key(traces, text, profile_id) for text in identifiers_in(cells)}
        for wanted in wanted_keys | self._committing.indexes.keys(profile_id, epoch, cells):
            if self._storage.index(wanted, b"", limit=1) != [wanted] and (
                self._storage.document(key) == record  # or a commit came between
            ):
                self._index_faults += 1

    def _step_index(self) -> bool:
        keys = self._storage.index(b"", self._after, limit=_PAGE_KEYS)
        self._index_keys += len(keys)
        for key in keys:
            indexes = self._committing.indexes
            if indexes.is_doubted and indexes.is_trusted and not key.startswith(INDEX_TAG):
                continue  # keys of a record that was damaged may be left, and none is relied on
            if not key.startswith((INDEX_TAG, QUERY_TAG)):
                continue
            profile_id = self._profile_of(key)
            record = self._storage.document(profile_id.encode())
            wanted = frozenset() if record is None else self._keys_at_rest(profile_id, key, record)
            if wanted is None:
                continue  # the record is damaged: nobody knows
            if key not in wanted and (
                self._storage.index(key, b"", limit=1)[:1] == [key]
                and self._storage.document(profile_id.encode()) == record
            ):
                self._index_faults += 1
        self._after = keys[-1] if keys else b""
        if not keys and self._index_faults:
            self._committing.doubt_index()
        return not keys

    def whole(self) -> VerifyReport:
        """Take all steps at one time, and return what was found."""
        while not self.step():
            pass
        return self.report()

    def _profile_of(self, key: bytes) -> str:
        """Return the id of the profile to which a key of any index leads."""
        return profile_of(key) if key.startswith(INDEX_TAG) else owner_of(key)

    def _keys_at_rest(self, profile_id: str, key: bytes, record: bytes) -> frozenset[bytes] | None:
        """Return the keys that a stored record asks for in the index of a key; None if damaged."""
        if not key.startswith(INDEX_TAG):
            return self._committing.indexes.keys_at_rest(profile_id, record)
        texts = identifiers_at_rest(profile_id, record)
        if texts is None:
            return None
        traces = self._committing.traces
        return frozenset(index_key(traces, text, profile_id) for text in texts)

    def report(self) -> VerifyReport:
        """Return what was found. Totals are compared only if nothing was committed meanwhile.

        A commit under way may be on the disk already, and is not yet in the totals.
        """
        committing = self._committing
        is_unchanged = committing.transactions == self._transactions_before
        is_still = is_unchanged and not (committing.under_way or committing.settling)
        expected = (committing.digest, committing.profiles)
        return VerifyReport(
            documents=self._documents,
            profiles=self._living - self._own,
            digest=f"{self._digest:032x}",
            damaged=tuple(self._damaged[: limits.DAMAGED_PROFILES_MAX]),
            index_keys=self._index_keys,
            index_faults=self._index_faults,
            is_sound=not self._damaged
            and not self._index_faults
            and (not is_still or (self._digest, self._living) == expected),
        )
