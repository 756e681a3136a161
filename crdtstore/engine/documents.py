"""Documents at hand: a bounded cache over storage, and those that a checkpoint still owes.

Two generations stand in for "least recently used": what is touched moves to the young one, and
when that is full it becomes the old one and the old one is dropped: a few documents with each that
comes, for to free them all takes a tenth of a second. Dirty documents are held apart and are never
dropped.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from crdtstore import limits
from crdtstore.engine.identifiers import FreshIdentifiers
from crdtstore.engine.indexes import Indexes
from crdtstore.engine.texts import Texts
from crdtstore.errors import StorageCorrupt
from crdtstore.model.cells import Cells
from crdtstore.model.document import Document, from_record, stored_traces, to_record
from crdtstore.model.erasure import Traces
from crdtstore.model.identity import NONE, identifiers_in, may_identify
from crdtstore.model.structure import structure_of
from crdtstore.names import OWN_IDS
from crdtstore.storage.contract import Storage

HIDDEN: Final = "damaged/"
"""Beginning of the names of records that hold what came for damaged documents."""

_LEAVING_PER_ADMITTED: Final = 8


class Packed(NamedTuple):
    """A document as a batch has it, its digest, and its identifiers."""

    record: bytes
    digest: int
    identifiers: frozenset[str]


class Documents:
    """The documents of one store. Each profile id has one live ``Document`` object at most.

    ``dirty`` are those that differ from their stored record, ``fresh`` the identifiers that these
    may have beyond the index at rest, ``indexes`` those that the schema declares. ``damaged`` are
    those whose stored record cannot be read: what peers send of them is joined here, out of sight
    of readers, until a peer sends the whole document. A checkpoint keeps it apart from the
    documents, under HIDDEN. ``has_learned`` says that the storage was told what documents share.
    """

    def __init__(self, storage: Storage, bytes_max: int, traces: Traces, indexes: Indexes) -> None:
        self._storage = storage
        self._generation_bytes_max = bytes_max // 2
        self._young: dict[str, Document] = {}
        self._old: dict[str, Document] = {}
        self._leaving: dict[str, Document] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self.texts = Texts(storage)
        self.dirty: dict[str, Document] = {}
        self.fresh = FreshIdentifiers(traces)
        self.indexes = indexes
        self._fresh_keys = indexes.fresh
        self.damaged: dict[str, Document] = {}
        self.has_learned = False
        self._turning: set[str] = set()
        self._packed: dict[str, tuple[int, int, Packed]] = {}

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
        document = self._old.pop(profile_id, None)
        if document is not None:
            self._old_bytes -= document.weighed_bytes
        else:
            document = self.dirty.get(profile_id)
        if document is None:
            record = self._storage.document(profile_id.encode())
            document = Document() if record is None else from_record(profile_id, record)
        self._admit(profile_id, document)
        return document

    def peek(self, profile_id: str) -> Document:
        """Return the document of a profile as ``get`` does, for reading only: nothing is cached."""
        document = self._young.get(profile_id) or self._old.get(profile_id)
        document = document or self.dirty.get(profile_id)
        if document is None:
            record = self._storage.document(profile_id.encode())
            document = Document() if record is None else from_record(profile_id, record)
        return document

    def get_to_join(self, profile_id: str) -> Document:
        """Return the document that cells from elsewhere are joined into, even if it is damaged."""
        document = self.damaged.get(profile_id)
        if document is not None:
            return document
        try:
            return self.get(profile_id)
        except StorageCorrupt:
            record = self._storage.document(profile_id.encode())
            assert record is not None
            document = Document()
            document.stored_digest, document.stored_living = stored_traces(profile_id, record)
            self.damaged[profile_id] = document
            return document

    def unknown(self, profile_ids: Sequence[str]) -> set[str]:
        """Return those of some ids of which neither memory nor storage has a document."""
        if not profile_ids:
            return set()
        lowest, highest = min(profile_ids), max(profile_ids).encode()
        stored = self._storage.documents(just_below(lowest), limit=1, bytes_max=1)
        rests_there = bool(stored) and stored[0][0] <= highest
        unknown = set(profile_ids)
        for documents in (self._young, self._old, self.dirty, self.damaged):
            unknown.difference_update(documents.keys() & unknown)
        if rests_there:
            unknown = {each for each in unknown if self._storage.document(each.encode()) is None}
        return unknown

    def note_new(self, profile_id: str, document: Document) -> None:
        """Take in a document of an unknown profile, until it rests: nobody has asked for it."""
        self.dirty[profile_id] = document
        self._turning.add(profile_id)
        self.fresh.note(profile_id, document.cells)
        if self._fresh_keys is not None:
            self._fresh_keys.note(profile_id)

    def note_change(self, profile_id: str, document: Document, cells: Cells) -> None:
        """Take note that a document was given cells which its stored record lacks."""
        if profile_id not in self.damaged:
            self.dirty[profile_id] = document
            if document.weighed_bytes:  # it has just come into the young generation
                weighs_bytes = unpacked_bytes(document)
                self._young_bytes += weighs_bytes - document.weighed_bytes
                document.weighed_bytes = weighs_bytes
            if document.epoch & 1 or not document.stored_living:
                self._turning.add(profile_id)
            self.fresh.note(profile_id, cells)
            if self._fresh_keys is not None:
                self._fresh_keys.note(profile_id)

    def note_undone(self) -> None:
        """Take note that changes were undone: dirty documents are not as they were."""
        if self._fresh_keys is not None:
            for profile_id in self.dirty:
                self._fresh_keys.note(profile_id)

    def settle(self, profile_id: str) -> None:
        """Take note that the record of a document has all its cells."""
        self.dirty.pop(profile_id, None)
        self._turning.discard(profile_id)
        self.fresh.forget(profile_id)
        if self._fresh_keys is not None:
            self._fresh_keys.settle(profile_id)

    def living_beyond_rest(self) -> int:
        """Return how many more profiles are living than of the records at rest, or fewer.

        Only those are looked at that have no living record, or may have been erased.
        """
        found = map(self.dirty.get, self._turning)
        return sum(is_living(each) - each.stored_living for each in found if each is not None)

    def make_whole(self, profile_id: str) -> bool:
        """Have a document written anew, all of it having come; return whether it was damaged."""
        document = self.damaged.pop(profile_id, None)
        if document is None:
            self.dirty[profile_id] = self.get(profile_id)
            return False
        self._admit(profile_id, document)
        self.note_change(profile_id, document, document.cells)
        return True

    def hidden(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield name and record, as storage shall keep it, of what came for damaged documents."""
        for profile_id, document in self.damaged.items():
            if not document.is_absent:
                yield HIDDEN + profile_id, to_record(profile_id, document)[0]
                yield from self.texts.rows(profile_id, document).items()

    def unmake_whole(self, profile_id: str) -> None:
        """Take that back for a damaged document: the commit that should keep it has failed."""
        self.damaged[profile_id] = self.dirty[profile_id]
        self.settle(profile_id)
        self._young.pop(profile_id, None)
        self._old.pop(profile_id, None)

    def _admit(self, profile_id: str, document: Document) -> None:
        if self._young_bytes > self._generation_bytes_max:
            self._leaving = self._old
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        document.weighed_bytes = unpacked_bytes(document)
        self._young[profile_id] = document
        self._young_bytes += document.weighed_bytes
        for _ in range(min(_LEAVING_PER_ADMITTED, len(self._leaving))):
            self._leaving.popitem()

    def pack_ahead(self, profile_ids: Iterable[str], *, is_calm: bool) -> None:
        """Pack documents that the next commit will bring to rest, unless they change until then."""
        for profile_id in profile_ids:
            document = self.dirty.get(profile_id)
            if document is not None and not document.is_absent:
                packed = self._pack(profile_id, document, is_calm)
                self._packed[profile_id] = document.epoch, document.stamp, packed

    def _pack(self, profile_id: str, document: Document, is_calm: bool) -> Packed:
        """Pack a document; when it is not calm, the storage is not asked to make it short."""
        record, digest = to_record(profile_id, document)
        identifiers = identifiers_in(document.cells) if may_identify(record) else NONE
        return Packed(
            self._storage.packing.packed(record) if is_calm else record, digest, identifiers
        )

    def forget_packed(self) -> None:
        """Drop what was packed ahead and is not needed."""
        self._packed = {}

    def rest(
        self, profile_ids: Iterable[str], *, is_calm: bool
    ) -> list[tuple[str, Document, Packed]]:
        """Return dirty documents as storage shall keep them.

        One that is not dirty rests already. It is left out: the cache may drop it while its commit
        is under way, and what is then written to its successor would be taken for at rest.
        """
        rested = []
        for profile_id in profile_ids:
            document = self.dirty.get(profile_id)
            ahead = self._packed.pop(profile_id, None)
            if document is None:
                continue
            if document.is_absent:
                self.settle(profile_id)
            elif ahead is not None and ahead[:2] == (document.epoch, document.stamp):
                rested.append((profile_id, document, ahead[2]))
            else:
                rested.append((profile_id, document, self._pack(profile_id, document, is_calm)))
        return rested


def unpacked_bytes(document: Document) -> int:
    """Return about how much memory a document takes, with its place in the cache."""
    cells_bytes = len(document.cells) * limits.CACHED_BYTES_PER_CELL
    return limits.CACHED_BYTES_PER_DOCUMENT + cells_bytes + document.size_bytes


def learn_structure(documents: Documents) -> None:
    """Tell the storage what documents at hand share, so that it can pack dirty ones well."""
    dirty = documents.dirty
    step = len(dirty) // limits.STRUCTURE_DOCUMENTS + 1
    at_hand = chain(islice(dirty.items(), 0, None, step), documents._young.items())
    sample = dict(islice(at_hand, limits.STRUCTURE_DOCUMENTS))
    others = [each for each in sample if not each.startswith(OWN_IDS)]
    if len(others) >= limits.STRUCTURE_DOCUMENTS_MIN:
        documents._storage.packing.learn(structure_of(sample[each] for each in others))
        documents.has_learned = True


def is_living(document: Document) -> bool:
    """Say whether a document is neither absent nor erased."""
    return not (document.is_absent or document.is_erased)


def just_below(profile_id: str) -> bytes:
    """Return a key below an id, and above all ids that are below it: no UTF-8 has the byte 255."""
    key = profile_id.encode()
    return key[:-1] + bytes((key[-1] - 1, 255)) if key else key
