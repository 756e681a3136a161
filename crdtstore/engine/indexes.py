"""The indexes that a schema declares: which profiles have a value, at rest and in memory.

At rest they are keys in the table of the index of identifiers, changed in the transaction that
brings a document to rest, as that one is:

    "q" | number of the index | place of the value | profile id

``crdtstore.query.places`` says what a place is. The number of an index stands for the field and for
how its survivor is chosen, so an index that was made by other rules is another index. A note tells
which indexes stand, and for which totals of the documents. When a store is opened, those that the
schema does not declare any more are taken away, and those that do not stand are built anew.

What documents in memory have beyond their records is laid over it: see ``engine.fresh_keys``.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.engine.fresh_keys import FreshKeys
from crdtstore.errors import StorageCorrupt, StorageFull
from crdtstore.model.cells import Cells
from crdtstore.model.document import Document, checked_canonical, unpack_canonical
from crdtstore.query.places import after_prefix, profile_of
from crdtstore.query.reading import INDEX_TAG, PREFIX_BYTES, IndexedReader
from crdtstore.schema import UNREAD, Schema
from crdtstore.storage.contract import Batch, MapFull, Storage

INDEXES_NOTE: Final = "indexes"
"""Name of the record that tells which indexes stand, and for which totals."""

_END: Final = after_prefix(INDEX_TAG)
_PAGE_RECORDS: Final = 2_000
_PROGRESS_DOCUMENTS: Final = 100_000

_pack: Callable[[Any], bytes] = msgpack.Packer().pack
_log = logging.getLogger("crdtstore.index")


class Indexes:
    """The indexes of one store; ``fresh`` is what is laid over them.

    ``prefixes`` has the beginning of all keys of each field whose index stands. ``is_doubted`` says
    that keys may be left of a record that was damaged: then whoever asks looks at the profiles.
    ``is_trusted`` is false once a check has found that they are wrong.
    """

    def __init__(self, storage: Storage, schema: Schema) -> None:
        declared = [name for name, field in schema.fields.items() if field.indexed]
        self.is_doubted = False
        self.is_trusted = True
        self._storage = storage
        self._schema = schema
        self._reader = IndexedReader(schema, declared)
        if schema is not UNREAD:
            self._ensure()
        self.fresh = FreshKeys(self._reader) if self.prefixes else None

    @property
    def prefixes(self) -> dict[str, bytes]:
        """The beginning of all keys of each field whose index stands."""
        return self._reader.prefixes

    # --- kept in step -------------------------------------------------------------------------

    def changes(self, profile_id: str, document: Document) -> list[tuple[bytes, bool]]:
        """Return how the indexes change when a document comes to rest as it is now."""
        if not self.prefixes:
            return []
        after = self._reader.keys(profile_id, document.epoch, document.cells)
        before: frozenset[bytes] = frozenset()
        if document.stored_digest:
            record = self._storage.document(profile_id.encode())
            known = before if record is None else self.keys_at_rest(profile_id, record)
            if known is None:
                self.doubt()  # it was damaged since it was read: nobody knows its keys
            before = known or before
        if before == after:
            return []
        return [(key, False) for key in before - after] + [(key, True) for key in after - before]

    def keys_at_rest(self, profile_id: str, record: bytes) -> frozenset[bytes] | None:
        """Return the keys of a stored record, None if it is damaged."""
        try:
            epoch, cells = unpack_canonical(checked_canonical(profile_id, record))
        except StorageCorrupt:
            return None
        return self.keys(profile_id, epoch, cells)

    def keys(self, profile_id: str, epoch: int, cells: Cells) -> frozenset[bytes]:
        """Return the keys that a document asks for."""
        return self._reader.keys(profile_id, epoch, cells) if self.prefixes else frozenset()

    def note(self, totals: bytes) -> bytes | None:
        """Return the note for indexes that stand for these totals; None if none is to stand."""
        if not self.prefixes or self.is_doubted:
            return None
        return _note_of(set(self.prefixes.values()), totals)

    def doubt(self) -> None:
        """Have the indexes looked at with profiles from now on, and built anew at the next open."""
        self.is_doubted = True

    def distrust(self) -> None:
        """Have queries look at all profiles until the next open: keys are missing, or too many."""
        self.is_doubted, self.is_trusted = True, False

    # --- when a store is opened ---------------------------------------------------------------

    def _ensure(self) -> None:
        """Take away what is not declared, and build what does not stand."""
        storage = self._storage
        totals = storage.meta("totals") or b""
        declared = set(self._reader.prefixes.values())
        standing = _standing(storage, totals) & declared
        unwanted = [prefix for prefix in _prefixes_at_rest(storage) if prefix not in standing]
        missing = [
            field for field, prefix in self._reader.prefixes.items() if prefix not in standing
        ]
        has_note = _has_note(storage)
        if not unwanted and not missing and has_note == bool(declared):
            return
        try:
            _commit(storage, Batch(meta={INDEXES_NOTE: None}))
            for prefix in unwanted:
                while keys := storage.index(prefix, b"", limit=limits.BATCH_INDEX_KEYS):
                    _commit(storage, Batch(index=[(key, False) for key in keys]))
            if missing:
                self._build(missing)
            if declared:
                _commit(storage, Batch(meta={INDEXES_NOTE: _note_of(declared, totals)}))
        except StorageFull as error:
            _log.error("the indexes could not be built, and queries look at all: %s", error)
            self._reader = IndexedReader(self._schema, ())

    def _build(self, fields: list[str]) -> None:
        named = ", ".join(fields)
        _log.info("building the index of %s", named)
        reader = IndexedReader(self._schema, fields)
        after, documents, told = b"", 0, 0
        batch = Batch()
        while records := self._storage.documents(
            after, limit=_PAGE_RECORDS, bytes_max=limits.JOURNAL_CACHE_BYTES
        ):
            for key, record in records:
                profile_id = key.decode()
                try:
                    epoch, cells = unpack_canonical(checked_canonical(profile_id, record))
                except StorageCorrupt:
                    continue
                batch.index += [(each, True) for each in reader.keys(profile_id, epoch, cells)]
                if len(batch.index) >= limits.BATCH_INDEX_KEYS:
                    _commit(self._storage, batch)
                    batch = Batch()
            after = records[-1][0]
            documents += len(records)
            if documents - told >= _PROGRESS_DOCUMENTS:
                told = documents
                _log.info("building the index of %s: %d documents read", named, documents)
        _commit(self._storage, batch)
        _log.info("the index of %s is built: %d documents read", named, documents)


def owner_of(key: bytes) -> str:
    """Return the id of the profile to which an index key leads."""
    return profile_of(key, PREFIX_BYTES)


def _note_of(prefixes: set[bytes], totals: bytes) -> bytes:
    return _pack([sorted(prefixes), totals])


def _has_note(storage: Storage) -> bool:
    try:
        return storage.meta(INDEXES_NOTE) is not None
    except StorageCorrupt:
        return True


def _standing(storage: Storage, totals: bytes) -> set[bytes]:
    """Return the prefixes of the indexes that stand for the documents as they are."""
    try:
        packed = storage.meta(INDEXES_NOTE)
    except StorageCorrupt:
        return set()
    if packed is None:
        return set()
    prefixes, noted_totals = msgpack.unpackb(packed)
    return set(prefixes) if noted_totals == totals else set()


def _prefixes_at_rest(storage: Storage) -> Iterator[bytes]:
    """Yield the beginning of the keys of every index that has any."""
    start = INDEX_TAG
    while keys := storage.index_range(start, _END, limit=1):
        prefix = keys[0][:PREFIX_BYTES]
        yield prefix
        start = after_prefix(prefix)


def _commit(storage: Storage, batch: Batch) -> None:
    while True:
        try:
            return storage.commit(batch)
        except MapFull:
            if not storage.grow():
                raise
