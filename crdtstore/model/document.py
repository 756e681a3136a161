"""Document: the cells behind one profile, and how two of them join.

A document is ``(epoch, cells)``. The higher epoch wins whole; in one epoch cells join key by key.
Even epochs are alive, odd ones erased: to erase is to move to an odd epoch, which has no cells, and
to revive is to move to the next even one. The epoch of an erasure tells when it was: so it wins
over a revival elsewhere that had seen an earlier one only. A delta is a document too.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.errors import InvalidValue, StorageCorrupt
from crdtstore.model.cells import (
    KIND_OF_LETTER,
    Cell,
    Cells,
    check_cells,
    join_cells,
    parse_key,
    stamp_change,
    stamp_of,
    supersedes,
    text_name,
    texts_in,
)
from crdtstore.model.identity import NONE, identifiers_in, may_identify
from crdtstore.model.text_history import Edit, tally_of, with_edit
from crdtstore.model.texts import Text
from crdtstore.model.updates import decode_update
from crdtstore.model.values import pack
from crdtstore.names import is_profile_id
from crdtstore.packing import extension

RECORD_FORMAT: Final = 1
RECORD_FORMAT_TEXTS: Final = 2
"""The format of a record with trails: to its document belong rows with the states of texts."""

_FORMATS: Final = (RECORD_FORMAT, RECORD_FORMAT_TEXTS)
_RECORD_HEADER: Final = struct.Struct(">B16sQ4s")
"""Format, digest, stamp, and a checksum of these three: the digest covers the cells alone."""
_CHECKSUM_AT: Final = _RECORD_HEADER.size - 4
_MASK: Final = (1 << 64) - 1
_MORE_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
"""How many bytes follow the first one of a packed number."""

_TEXT_MARK: Final = "\x1e"

UndoLog: TypeAlias = list[tuple["Document", str | None, object]]
"""What a document was before: (document, key, cell before or None), for a change of epoch
(document, None, (epoch, cells, stamp, size, texts)), and for a text, whose name is marked,
(document, mark and name, snapshot). Undone from the end to the start."""

Meetings: TypeAlias = list[tuple[str, Cell, Cell]]
"""Where a newest cell met one that its author had not seen: (key, cell there, cell that came)."""


class Document:
    """The cells of one profile in one epoch.

    ``stamp`` is 64 bits over keys and timestamps, kept up to date by every change. ``size_bytes``
    is an upper estimate of the packed size. ``stored_digest`` is the digest of the record that
    storage holds, 0 if none, and ``stored_living`` is 1 if that record is of a living profile.
    ``stored_identifiers`` are those that the index at rest has of it. ``texts`` are the states of
    its collaborative fields, by letter and field, as far as they are in memory, and
    ``stored_texts`` the names of those that storage has rows of. ``weighed_bytes`` is what a cache
    counts it for.
    """

    __slots__ = (
        "cells", "epoch", "size_bytes", "stamp",
        "stored_digest", "stored_identifiers", "stored_living", "stored_texts", "texts",
        "weighed_bytes",
    )  # fmt: skip

    def __init__(self, epoch: int = 0, cells: Cells | None = None) -> None:
        self.epoch = epoch
        self.cells: Cells = {} if cells is None else cells
        self.stamp = stamp_of(self.cells)
        self.size_bytes = 0
        self.stored_digest = 0
        self.stored_living = 0
        self.stored_identifiers: frozenset[str] = NONE
        self.texts: dict[str, Text] = {}
        self.stored_texts: frozenset[str] = NONE
        self.weighed_bytes = 0

    @property
    def is_erased(self) -> bool:
        """Whether the profile was erased and not revived since."""
        return self.epoch & 1 == 1

    @property
    def is_absent(self) -> bool:
        """Whether nothing was ever written here."""
        return self.epoch == 0 and not self.cells

    @property
    def version(self) -> str:
        """An opaque token: the same on every replica with these cells, changed by every change."""
        return f"{self.epoch:x}-{self.stamp:016x}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Document):
            return NotImplemented
        return canonical_bytes(self) == canonical_bytes(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Document(epoch={self.epoch}, cells={len(self.cells)})"


def erased_epoch(epoch: int, wall_ms: int) -> int:
    """Return the odd epoch to which an erasure at a time moves a document of a lower one."""
    return max(epoch + 1 | 1, 2 * wall_ms + 1)


def join(one: Document, other: Document) -> Document:
    """Return the join of two documents: associative, commutative, idempotent."""
    if one.epoch != other.epoch:
        winner = one if one.epoch > other.epoch else other
        return Document(winner.epoch, dict(winner.cells))
    cells = dict(one.cells)
    for key, cell in other.cells.items():
        mine = cells.get(key)
        cells[key] = cell if mine is None else join_cells(mine, cell)
    return Document(one.epoch, cells)


def absorb(
    document: Document,
    epoch: int,
    cells: Mapping[str, Cell],
    undo: UndoLog,
    seen: Mapping[int, int] | None = None,
    met: Meetings | None = None,
) -> bool:
    """Join a delta into a document in place, note in ``undo`` how it was, and say if it changed.

    With ``seen``, the timestamps up to which the delta's author had seen the writes of other
    origins, ``met`` gains the newest cells that met one beyond them, whichever won. Texts that the
    delta edits are in ``document.texts``, unless they begin with it, and the edits fit.
    """
    if epoch != document.epoch:
        if epoch < document.epoch:
            return False
        begin(document, epoch, {}, undo)
        document.cells = {
            key: cell if len(cell) <= 3 else _take_edit(document, key, cell, 0, undo)
            for key, cell in cells.items()
        }
        document.stamp = stamp_of(document.cells)
        return True
    mine = document.cells
    changed = False
    for key, cell in cells.items():
        old = mine.get(key)
        if len(cell) > 3:
            if old is not None and cell[0] <= old[0]:
                continue
            cell = _take_edit(document, key, cell, 0 if old is None else old[2], undo)
        if old is None:
            pass
        elif len(cell) == 3:
            if cell[1] != old[1] and seen is not None and old[0] > seen.get(old[1], 0):
                assert met is not None
                met.append((key, old, cell))
            if cell[0] <= old[0] and not supersedes(cell, old):
                continue
        else:
            cell = join_cells(old, cell)
            if cell == old:
                continue
        undo.append((document, key, old))
        mine[key] = cell
        document.stamp = (document.stamp + stamp_change(key, old, cell)) & _MASK
        changed = True
    return changed


def begin(document: Document, epoch: int, cells: Cells, undo: UndoLog) -> None:
    """Have a document begin anew, with an epoch and its first cells; note in ``undo`` how it was.

    It keeps ``cells``, which have no edits: nobody else may change them.
    """
    before = document.epoch, document.cells, document.stamp, document.size_bytes, document.texts
    undo.append((document, None, before))
    document.epoch, document.cells, document.stamp = epoch, cells, stamp_of(cells)
    document.texts = {}


def absorb_texts(
    document: Document, texts: Mapping[str, tuple[bytes, tuple[Edit, ...]]], undo: UndoLog
) -> bool:
    """Join (parts of) whole texts, with their histories, into those of a document, all at hand.

    Raises InvalidValue or StorageCorrupt, with that text not to be used until it is undone.
    """
    changed = False
    for name, (raw, history) in texts.items():
        text = document.texts[name]
        undo.append((document, _TEXT_MARK + name, text.snapshot()))
        before = text.changes
        text.take_whole(raw, decode_update(raw, text.kind), history)
        changed |= text.changes != before
    return changed


def _take_edit(document: Document, key: str, cell: Cell, count: int, undo: UndoLog) -> Cell:
    """Join an edit into the state of its text, after ``count`` others; return its trail.

    One that is not counted as a further one only brings what was written before.
    """
    timestamp, origin, number, raw, *more = cell
    parsed = parse_key(key)
    name = text_name(key)
    kind = KIND_OF_LETTER[parsed.letter]
    text = document.texts.get(name)
    if text is None:
        text = document.texts[name] = Text(kind)
    undo.append((document, _TEXT_MARK + name, text.snapshot()))
    update = decode_update(raw, kind)
    text.take(raw, update, *more[1:])
    if number > count:
        tally = more[0] if more else tally_of(update)
        edit = Edit(timestamp, origin, parsed.source, *tally)
        text.history = with_edit(text.history, edit)
    return timestamp, origin, number


def undo_all(undo: UndoLog) -> None:
    """Put every document back as it was before the log began, and empty the log."""
    while undo:
        document, key, before = undo.pop()
        if key is None:
            (
                document.epoch, document.cells, document.stamp, document.size_bytes, document.texts,
            ) = before  # type: ignore[misc]  # fmt: skip
            continue
        if key[0] == _TEXT_MARK:
            document.texts[key[1:]].restore(before)  # type: ignore[arg-type]
            continue
        change = stamp_change(key, document.cells[key], before)  # type: ignore[arg-type]
        if before is None:
            del document.cells[key]
        else:
            document.cells[key] = before  # type: ignore[assignment]
        document.stamp = (document.stamp + change) & _MASK


def canonical_bytes(document: Document) -> bytes:
    """Return the one packed form of a document: equal documents, equal bytes, on every replica."""
    return pack((document.epoch, _in_order(document.cells)))


def _in_order(cells: Cells) -> Cells:
    ordered = sorted(cells)
    return cells if list(cells) == ordered else {key: cells[key] for key in ordered}


def unpack_canonical(canonical: bytes) -> tuple[int, Cells]:
    """Return epoch and cells from canonical bytes of our own making."""
    epoch, cells = msgpack.unpackb(canonical, use_list=False, timestamp=3, ext_hook=extension)
    return epoch, cells


def digest_of(profile_id: str, canonical: bytes) -> int:
    """Return the 128-bit digest (BLAKE2b) of a document's canonical bytes, bound to its id."""
    state = hashlib.blake2b(profile_id.encode(), digest_size=16, person=b"crdtstore.doc")
    state.update(b"\0")
    state.update(canonical)
    return int.from_bytes(state.digest(), "big")


def to_record(profile_id: str, document: Document) -> tuple[bytes, int]:
    """Return the bytes in which storage keeps a document, and their digest.

    Its cells are put in their order for good: mostly it is the same the next time.
    """
    document.cells = _in_order(document.cells)
    canonical = pack((document.epoch, document.cells))
    digest = digest_of(profile_id, canonical)
    record_format = RECORD_FORMAT_TEXTS if texts_in(document.cells) else RECORD_FORMAT
    header = _RECORD_HEADER.pack(record_format, digest.to_bytes(16, "big"), document.stamp, b"")
    return header[:_CHECKSUM_AT] + _header_checksum(header) + canonical, digest


def _header_checksum(record: bytes) -> bytes:
    return zlib.crc32(record[:_CHECKSUM_AT]).to_bytes(4, "big")


def record_digest(record: bytes) -> int:
    """Return the digest that a stored record carries, without checking it."""
    return int.from_bytes(record[1:17], "big")


def checked_canonical(profile_id: str, record: bytes) -> bytes:
    """Return the canonical bytes inside a stored record; raises StorageCorrupt if one changed."""
    canonical = record[_RECORD_HEADER.size :]
    if (
        len(record) <= _RECORD_HEADER.size
        or record[0] not in _FORMATS
        or _header_checksum(record) != record[_CHECKSUM_AT : _RECORD_HEADER.size]
        or digest_of(profile_id, canonical) != record_digest(record)
    ):
        raise StorageCorrupt(
            f"the record of profile {profile_id!r} does not match its checksum; "
            "heal it from a peer: crdtstore verify --repair PEER"
        )
    return canonical


def has_texts(record: bytes) -> bool:
    """Say whether the document of a (checked) record has texts, whose states are kept apart."""
    return record[0] == RECORD_FORMAT_TEXTS


def stored_traces(profile_id: str, record: bytes) -> tuple[int, int]:
    """Return the digest that a damaged record had, and 1 if it was of a living profile.

    Exact if the damage is in the header alone or in the cells alone; a best guess otherwise.
    """
    canonical = record[_RECORD_HEADER.size :]
    is_header_sound = _header_checksum(record) == record[_CHECKSUM_AT : _RECORD_HEADER.size]
    digest = record_digest(record) if is_header_sound else digest_of(profile_id, canonical)
    last_byte = canonical[1 + _MORE_BYTES.get(canonical[1], 0) :][:1] if len(canonical) > 1 else b""
    return digest, 1 - (last_byte[0] & 1 if last_byte else 0)


def from_record(profile_id: str, record: bytes) -> Document:
    """Return the document of a stored record; raises StorageCorrupt if a byte of it changed."""
    canonical = checked_canonical(profile_id, record)
    stamp = int.from_bytes(record[17:25], "big")
    epoch, cells = unpack_canonical(canonical)
    document = Document.__new__(Document)
    document.epoch = epoch
    document.cells = cells
    document.stamp = stamp
    document.size_bytes = len(record)
    document.stored_digest = record_digest(record)
    document.stored_living = 1 - (epoch & 1)
    document.stored_identifiers = identifiers_in(cells) if may_identify(canonical) else NONE
    document.texts = {}
    document.stored_texts = texts_in(cells) if has_texts(record) else NONE
    document.weighed_bytes = 0
    return document


def check_delta(profile_id: object, epoch: object, cells: object, timestamp_max: int) -> None:
    """Check one write that came from elsewhere; raises InvalidValue."""
    if not is_profile_id(profile_id):
        raise InvalidValue("a write names something that is no profile id")
    if type(epoch) is not int or not 0 <= epoch <= limits.EPOCH_MAX:
        raise InvalidValue("a write has an epoch out of range")
    if epoch & 1 and cells:
        raise InvalidValue("a write puts cells into an erased epoch")
    check_cells(cells, timestamp_max)
