"""The index of identifiers: which profiles hold one, at rest and in memory.

At rest it is a table of keys, changed in the transaction that brings a document to rest:

    "i" | trace of the identifier: 128 bits of a keyed hash | profile id

What documents in memory have beyond their records is laid over it. Both may name a profile that
does not hold the identifier any more, never miss one that does; whoever asks looks at the document.

A note beside the index tells for which key and totals of the documents it stands. Where that is
not so, an older crdtstore having written, or damage having been found, the index is built anew when
the store is opened.
"""

import logging
from collections.abc import Iterator
from typing import Final

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageFull
from crdtstore.model.cells import Cells
from crdtstore.model.document import checked_canonical, unpack_canonical
from crdtstore.model.erasure import TRACE_BYTES, Traces
from crdtstore.model.identity import IDENTIFIER_PREFIX, identifiers_in, may_identify
from crdtstore.storage.contract import Batch, MapFull, Storage

INDEX_NOTE: Final = "identifiers"
"""Name of the record that tells for which totals the index stands."""

INDEX_TAG: Final = b"i"
"""First byte of every key of this index."""

_VERSION: Final = b"\x02"
_KEY_HEAD_BYTES: Final = 1 + TRACE_BYTES
_PAGE_RECORDS: Final = 2_000
_PROGRESS_DOCUMENTS: Final = 100_000

_log = logging.getLogger("crdtstore.index")


def index_key(traces: Traces, identifier: str, profile_id: str) -> bytes:
    """Return the index key by which a profile is found under an identifier."""
    return INDEX_TAG + traces.of(identifier) + profile_id.encode()


def profile_of(key: bytes) -> str:
    """Return the id of the profile to which an index key leads."""
    return key[_KEY_HEAD_BYTES:].decode()


def note_of(traces: Traces, totals: bytes | None) -> bytes | None:
    """Return the note for an index that stands for these totals, None for those of nothing."""
    return None if totals is None else _VERSION + traces.check.encode() + totals


def changes_between(
    traces: Traces, profile_id: str, before: frozenset[str], after: frozenset[str]
) -> list[tuple[bytes, bool]]:
    """Return how the index changes when a profile's identifiers do."""
    if before == after:
        return []
    gone = [(index_key(traces, text, profile_id), False) for text in before - after]
    return gone + [(index_key(traces, text, profile_id), True) for text in after - before]


class FreshIdentifiers:
    """Identifiers that documents got since they rested, or since their records were read.

    They are kept as ``traces`` of them.
    """

    def __init__(self, traces: Traces) -> None:
        self.traces = traces
        self._profiles: dict[bytes, set[str]] = {}
        self._traces: dict[str, frozenset[bytes]] = {}

    def note(self, profile_id: str, cells: Cells) -> None:
        """Take note of what cells that were joined into a document add."""
        for key in cells:
            if key.startswith(IDENTIFIER_PREFIX):
                break
        else:
            return
        added = frozenset(map(self.traces.of, identifiers_in(cells)))
        known = self._traces.get(profile_id, frozenset())
        self._traces[profile_id] = known | added
        for trace in added - known:
            self._profiles.setdefault(trace, set()).add(profile_id)

    def forget(self, profile_id: str) -> None:
        """Forget a document that rests, or that is gone."""
        for trace in self._traces.pop(profile_id, ()):
            profiles = self._profiles[trace]
            profiles.discard(profile_id)
            if not profiles:
                del self._profiles[trace]

    def profiles(self, trace: bytes) -> set[str]:
        """Return the ids of profiles that may hold the identifier of a trace."""
        return self._profiles.get(trace, set())

    def __len__(self) -> int:
        return len(self._profiles)


def candidates(storage: Storage, fresh: FreshIdentifiers, trace: bytes) -> Iterator[str]:
    """Yield the ids of all profiles that may hold an identifier, each once, a page at a time."""
    seen = set(fresh.profiles(trace))
    yield from sorted(seen)
    head, after = INDEX_TAG + trace, b""
    while keys := storage.index(head, after, limit=limits.INDEX_PAGE_KEYS):
        for key in keys:
            profile_id = profile_of(key)
            if profile_id not in seen:
                yield profile_id
        if len(keys) < limits.INDEX_PAGE_KEYS:
            return
        after = keys[-1]


def is_current(storage: Storage, traces: Traces) -> bool:
    """Say whether the index at rest stands for the documents; not if its note is damaged."""
    totals = storage.meta("totals")
    try:
        note = storage.meta(INDEX_NOTE)
    except StorageCorrupt:
        return False
    return note == note_of(traces, totals)


def ensure_index(storage: Storage, traces: Traces) -> bool:
    """Build the index anew if it does not stand for the documents; return whether it does now.

    It does not if the disk is too full to build it.
    """
    if is_current(storage, traces):
        return True
    note = note_of(traces, storage.meta("totals"))
    _log.info("building the index of identifiers")
    try:
        _commit(storage, Batch(meta={INDEX_NOTE: None}))
        while keys := storage.index(INDEX_TAG, b"", limit=limits.BATCH_INDEX_KEYS):
            _commit(storage, Batch(index=[(key, False) for key in keys]))
        _index_all(storage, traces)
        _commit(storage, Batch(meta={INDEX_NOTE: note}))
    except StorageFull as error:
        _log.error("the index of identifiers could not be built: %s", error)
        return False
    return True


def _index_all(storage: Storage, traces: Traces) -> None:
    after, documents, told = b"", 0, 0
    batch = Batch()
    while records := storage.documents(
        after, limit=_PAGE_RECORDS, bytes_max=limits.JOURNAL_CACHE_BYTES
    ):
        for key, record in records:
            if may_identify(record):
                profile_id = key.decode()
                batch.index.extend(
                    (index_key(traces, text, profile_id), True)
                    for text in identifiers_at_rest(profile_id, record) or ()
                )
        after = records[-1][0]
        documents += len(records)
        if len(batch.index) >= limits.BATCH_INDEX_KEYS:
            _commit(storage, batch)
            batch = Batch()
        if documents - told >= _PROGRESS_DOCUMENTS:
            told = documents
            _log.info("building the index of identifiers: %d documents read", documents)
    _commit(storage, batch)
    _log.info("the index of identifiers is built: %d documents read", documents)


def identifiers_at_rest(profile_id: str, record: bytes) -> frozenset[str] | None:
    """Return the identifiers in a stored record, None if it is damaged."""
    try:
        _, cells = unpack_canonical(checked_canonical(profile_id, record))
    except StorageCorrupt:
        return None
    return identifiers_in(cells)


def _commit(storage: Storage, batch: Batch) -> None:
    while True:
        try:
            return storage.commit(batch)
        except MapFull:
            if not storage.grow():
                raise
