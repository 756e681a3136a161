"""Texts: the states of collaborative fields, beside the documents that they belong to.

A document holds trails; the state of a field is a named record of its own, which is read when the
field is touched and written when it was edited, in the same commit as the document. So a long text
costs the other fields of its profile nothing.

What is decoded is bounded: the texts that were not touched for the longest are dropped from memory,
and those that are not at rest yet are kept as bytes.
"""

from collections import OrderedDict
from collections.abc import Container, Sequence
from typing import Any, Final

from crdtstore import limits
from crdtstore.engine.text_watches import TextWatches
from crdtstore.errors import FrameCorrupt, InvalidValue, StorageCorrupt
from crdtstore.model.cells import (
    COLLABORATIVE_KINDS,
    KIND_OF_LETTER,
    SEPARATOR,
    Cells,
    stamp_change,
    text_name,
    texts_in,
)
from crdtstore.model.contests import Contest, forget_pairs, without_halves, without_torn
from crdtstore.model.document import (
    Document,
    checked_canonical,
    has_texts,
    unpack_canonical,
)
from crdtstore.model.text_history import tally_of
from crdtstore.model.texts import Text, client_of
from crdtstore.model.updates import (
    Clocks,
    Pairs,
    Update,
    advance,
    decode_update,
    encode_update,
    fit,
    note_pairs,
)
from crdtstore.storage.contract import Storage, StorageReader

ROWS: Final = "texts/"
"""Beginning of the names of the records that hold texts."""

_BYTES_PER_BYTE: Final = 4
_OVERHEAD_BYTES: Final = 4 * limits.KIBIBYTE


def row_name(profile_id: str, name: str) -> str:
    """Return the name of the record with a text of a profile."""
    return f"{ROWS}{profile_id}{SEPARATOR}{name}"


def text_at_rest(storage: StorageReader, profile_id: str, name: str) -> tuple[int, Text] | None:
    """Return epoch and text as they rest, None if there is none or it is damaged."""
    try:
        row = storage.meta(row_name(profile_id, name))
    except StorageCorrupt:
        return None
    return None if row is None else Text.from_row(KIND_OF_LETTER[name[0]], row)


def texts_at_rest(
    storage: StorageReader, profile_id: str, canonical: bytes
) -> list[tuple[str, Text]]:
    """Return the texts of a document at rest; raises StorageCorrupt if one is not whole there."""
    epoch, cells = unpack_canonical(canonical)
    texts = []
    for name in sorted(texts_in(cells)):
        found = text_at_rest(storage, profile_id, name)
        if found is None or found[0] != epoch or not found[1].is_readable:
            raise StorageCorrupt(
                f"the text {name[1:]!r} of profile {profile_id!r} was damaged; "
                "heal it from a peer: crdtstore verify --repair PEER"
            )
        texts.append((name, found[1]))
    return texts


def check_texts_at_rest(storage: StorageReader, profile_id: str, record: bytes) -> None:
    """Check that storage has the texts of a (checked) record whole; raises StorageCorrupt."""
    if has_texts(record):
        texts_at_rest(storage, profile_id, checked_canonical(profile_id, record))


class Texts:
    """The texts of one store, as far as they are in memory, and who watches them.

    ``forgotten`` counts how often those of erased profiles were dropped from memory.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recent: OrderedDict[tuple[str, str], tuple[Document, Text, int]] = OrderedDict()
        self._recent_bytes = 0
        self.watches = TextWatches()
        self.forgotten = 0

    def get(self, profile_id: str, document: Document, name: str) -> Text:
        """Return a text of a document, by its letter and field; an empty one if there is none."""
        text = document.texts.get(name)
        if text is None:
            text = document.texts[name] = self._load(profile_id, document, name)
        self._touch(profile_id, document, name, text)
        return text

    def _load(self, profile_id: str, document: Document, name: str) -> Text:
        kind = KIND_OF_LETTER[name[0]]
        trails = [key for key in document.cells if text_name_of(key) == name]
        if not trails and not document.stored_digest:
            return Text(kind)
        found = text_at_rest(self._storage, profile_id, name)
        if found is not None and found[0] == document.epoch:
            return found[1]
        if not trails:
            return Text(kind)
        # It is lost, and so is what the trails stand for: now a comparison with peers shows it.
        for key in trails:
            document.stamp += stamp_change(key, document.cells.pop(key), None)
        document.stamp &= (1 << 64) - 1
        return Text.lost(kind)

    def _touch(self, profile_id: str, document: Document, name: str, text: Text) -> None:
        recent = self._recent
        place = profile_id, name
        before = recent.pop(place, None)
        size = text.size_bytes * _BYTES_PER_BYTE + _OVERHEAD_BYTES
        self._recent_bytes += size - (0 if before is None else before[2])
        recent[place] = document, text, size
        while self._recent_bytes > limits.DECODED_TEXTS_BYTES and len(recent) > 1:
            (_, old_name), (old_document, old, old_bytes) = recent.popitem(last=False)
            self._recent_bytes -= old_bytes
            old.drop_decoded()
            if old.changes == old.rested and old_document.texts.get(old_name) is old:
                del old_document.texts[old_name]

    def forget(self, profile_ids: Container[str]) -> None:
        """Drop what memory has of the texts of erased profiles."""
        for place in [place for place in self._recent if place[0] in profile_ids]:
            document, text, size = self._recent.pop(place)
            self._recent_bytes -= size
            if document.is_erased or text.changes == text.rested:
                document.texts.pop(place[1], None)
        self.forgotten += 1

    def names_at_rest(self, profile_id: str) -> frozenset[str]:
        """Return the names of all texts of a profile that storage has, whatever its record says."""
        beginning = row_name(profile_id, "")
        return frozenset(name.removeprefix(beginning) for name in self._storage.metas(beginning))

    # --- checking what comes from peers -------------------------------------------------------

    def fitted(
        self, writes: Sequence[Any], document_of: Any, own_origin: int | None
    ) -> Sequence[tuple[str, int, Cells]]:
        """Return the (checked) writes of a frame, with its edits as they fit the texts here.

        ``document_of`` gives the document of a profile. Edits that are known are left as they are.
        Raises FrameCorrupt if one does not fit: an honest origin's do, when its causes are here. In
        a recovery ``own_origin`` is None: frames were accepted, so it is the text that is damaged.
        """
        if not any(len(cell) == 4 for _, _, cells in writes for cell in cells.values()):
            return writes
        fitting = _Fitting(self, own_origin)
        return [
            (profile_id, epoch, fitting.cells_of(profile_id, document_of(profile_id), epoch, cells))
            for profile_id, epoch, cells in writes
        ]

    def load(self, profile_id: str, document: Document, epoch: int, cells: Cells) -> None:
        """Have the texts that are to be edited in a document: it may have been read anew since."""
        if epoch == document.epoch:
            for key, cell in cells.items():
                if len(cell) > 3:
                    self.get(profile_id, document, text_name(key))

    # --- at rest ------------------------------------------------------------------------------

    def rows(self, profile_id: str, document: Document) -> dict[str, bytes | None]:
        """Return what storage shall keep of a document's texts: those edited, and those gone."""
        if not (document.texts or document.stored_texts):
            return {}
        gone = document.stored_texts - texts_in(document.cells)
        rows: dict[str, bytes | None] = {row_name(profile_id, name): None for name in gone}
        for name, text in document.texts.items():
            if text.changes != text.rested:
                text.compact()
                rows[row_name(profile_id, name)] = text.to_row(document.epoch)
        return rows


def text_name_of(key: str) -> str:
    """Return the name of the text that a key is a trail of, "" if of none."""
    return text_name(key) if key[0] in COLLABORATIVE_KINDS else ""


class _Fitting:
    """One frame being fitted: what its earlier edits bring counts for the later ones."""

    def __init__(self, texts: Texts, own_origin: int | None) -> None:
        self._texts = texts
        self._own_origin = own_origin
        self._epochs: dict[str, int] = {}
        self._known: dict[tuple[str, str], tuple[Clocks, Pairs] | None] = {}

    def cells_of(self, profile_id: str, document: Document, epoch: int, cells: Cells) -> Cells:
        known_epoch = self._epochs.setdefault(profile_id, document.epoch)
        if epoch < known_epoch:
            return cells
        if epoch > known_epoch:
            self._epochs[profile_id] = epoch
            for place in [place for place in self._known if place[0] == profile_id]:
                del self._known[place]
        fitted: Cells = {}
        for key, cell in cells.items():
            if len(cell) == 4:
                cell = self._edit(profile_id, document, epoch, key, cell)
            fitted[key] = cell
        return fitted

    def _edit(
        self, profile_id: str, document: Document, epoch: int, key: str, cell: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        place = profile_id, text_name(key)
        if place not in self._known:
            self._known[place] = self._what_is_known(profile_id, document, epoch, place[1])
        trail = document.cells.get(key) if epoch == document.epoch else None
        known = self._known[place]
        if known is None or (trail is not None and cell[0] <= trail[0]):
            return cell
        kind = KIND_OF_LETTER[key[0]]
        given = decode_update(cell[3], kind)
        try:
            contest = self._contest(profile_id, document, epoch, place[1], given)
            if contest is not None:
                forget_pairs(known[1], contest)
            update = fit(without_torn(without_halves(given, known[0])), *known)
        except StorageCorrupt:
            self._known[place] = None
            return cell
        except InvalidValue as error:
            if self._own_origin is None:
                self._texts.get(profile_id, document, place[1]).lose()
                self._known[place] = None
                return cell
            raise FrameCorrupt(f"an edit cannot be accepted: {error}") from error
        own = self._own_origin
        if own not in (None, cell[1]) and client_of(own, epoch) in update.blocks:
            raise FrameCorrupt("an edit was made as the Yjs client of this replica")
        advance(known[0], update)
        note_pairs(known[1], update)
        if update == given:
            return cell
        cut = (*cell[:3], encode_update(update, kind), tally_of(given))
        return cut if contest is None else (*cut, given)

    def _contest(
        self, profile_id: str, document: Document, epoch: int, name: str, given: Update
    ) -> Contest | None:
        """Return in what an edit contradicts the text as it is; raises StorageCorrupt."""
        if epoch > document.epoch:
            return None
        return self._texts.get(profile_id, document, name).contest(given)

    def _what_is_known(
        self, profile_id: str, document: Document, epoch: int, name: str
    ) -> tuple[Clocks, Pairs] | None:
        """Return what is known of a text, None if that cannot be told: it is damaged."""
        if epoch > document.epoch:
            return {}, {}
        text = self._texts.get(profile_id, document, name)
        if not text.is_readable:
            return None
        try:
            pairs = {client: set(clocks) for client, clocks in text.pairs.items()}
            return dict(text.clocks), pairs
        except StorageCorrupt:
            return None
