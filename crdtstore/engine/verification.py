"""Verification: digests of whole stores, and the check of every record at rest."""

from collections.abc import Mapping
from dataclasses import dataclass

from crdtstore import limits
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.identifiers import (
    INDEX_TAG,
    identifiers_at_rest,
    index_key,
    profile_of,
)
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.texts import check_texts_at_rest
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import (
    canonical_bytes,
    checked_canonical,
    digest_of,
    record_digest,
    unpack_canonical,
)
from crdtstore.model.identity import identifiers_in
from crdtstore.storage.contract import Storage

_PAGE_RECORDS = 2_000
_PAGE_KEYS = 500


@dataclass(frozen=True, slots=True)
class StoreDigest:
    """The state of a store in one line: replicas with equal digests hold equal documents.

    ``profiles`` counts the living ones. ``digest`` is 32 hex digits: the XOR of the 128-bit digests
    of all documents, erased ones too. ``vector`` maps "name/origin" to the last frame applied.
    """

    profiles: int
    digest: str
    vector: dict[str, int]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of every record found.

    ``damaged`` names profiles whose record does not match its checksum (the first thousand).
    ``index_faults`` counts keys that the index of identifiers lacks or has in vain: it is built
    anew at the next start. ``is_sound`` also asks that count and digest agree with what the store
    believes, as far as nothing was committed during the check.
    """

    documents: int
    profiles: int
    digest: str
    damaged: tuple[str, ...]
    index_keys: int
    index_faults: int
    is_sound: bool


def digest_store(
    documents: Documents, committing: Committing, ledger: Ledger, names: Mapping[int, str]
) -> StoreDigest:
    """Return the digest of all documents as they are now, at rest or not. Costs O(dirty)."""
    digest, profiles = committing.digest, committing.profiles
    for profile_id, document in documents.dirty.items():
        fresh = 0
        if not document.is_absent:
            fresh = digest_of(profile_id, canonical_bytes(document))
        digest ^= document.stored_digest ^ fresh
        is_living = not (document.is_absent or document.is_erased)
        profiles += int(is_living) - document.stored_living
    vector = {
        f"{names.get(origin, '?')}/{origin:016x}": sequence
        for origin, sequence in sorted(ledger.vector().items())
    }
    return StoreDigest(profiles, f"{digest:032x}", vector)


def count_profiles(documents: Documents, committing: Committing) -> int:
    """Return the number of living profiles, at rest or not."""
    return committing.profiles + sum(
        int(not (document.is_absent or document.is_erased)) - document.stored_living
        for document in documents.dirty.values()
    )


class Verification:
    """One check of every record at rest: ``step`` until it says it is done, then ``report``."""

    def __init__(self, storage: Storage, committing: Committing) -> None:
        self._storage = storage
        self._committing = committing
        self._commits_before = committing.counters["commits"]
        self._after = b""
        self._is_at_index = False
        self._documents = self._profiles = self._digest = 0
        self._index_keys = self._index_faults = 0
        self._damaged: list[str] = []

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
        self._profiles += 1 - (epoch & 1)
        for text in identifiers_in(cells):
            wanted = index_key(text, profile_id)
            if self._storage.index(wanted, b"", limit=1) != [wanted] and (
                self._storage.document(key) == record  # or a commit came between
            ):
                self._index_faults += 1

    def _step_index(self) -> bool:
        keys = self._storage.index(INDEX_TAG, self._after, limit=_PAGE_KEYS)
        self._index_keys += len(keys)
        for key in keys:
            profile_id = profile_of(key)
            record = self._storage.document(profile_id.encode())
            texts = frozenset() if record is None else identifiers_at_rest(profile_id, record)
            if texts is None:
                continue  # the record is damaged: nobody knows
            if all(index_key(text, profile_id) != key for text in texts) and (
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

    def report(self) -> VerifyReport:
        """Return what was found. Totals are compared only if nothing was committed meanwhile.

        A commit under way may be on the disk already, and is not yet in the totals.
        """
        committing = self._committing
        is_unchanged = committing.counters["commits"] == self._commits_before
        is_still = is_unchanged and committing.under_way is None
        expected = (committing.digest, committing.profiles)
        return VerifyReport(
            documents=self._documents,
            profiles=self._profiles,
            digest=f"{self._digest:032x}",
            damaged=tuple(self._damaged[: limits.DAMAGED_PROFILES_MAX]),
            index_keys=self._index_keys,
            index_faults=self._index_faults,
            is_sound=not self._damaged
            and not self._index_faults
            and (not is_still or (self._digest, self._profiles) == expected),
        )
