"""Cells: the smallest replicated values, their keys, and the joins that merge them.

A document is a flat map from key to cell. The key names kind, field and slot, so any replica
joins any document with no schema. A cell is a tuple of one of two shapes:

    newest   (timestamp, origin, value)   the greatest (timestamp, origin) wins
    maxima   (added, removed)             the maximum of each timestamp; 0 means never

| kind | letter | slot                    | shape  |
|------|--------|-------------------------|--------|
| register | r  | source                  | newest |
| counter  | c  | source, origin          | newest (one writer a slot: its running sum) |
| trait    | p  | source, origin          | newest (one writer a slot: its partial)     |
| set      | s  | source, origin, element | maxima (in the set while added > removed)   |
| denial   | d  | source, origin          | maxima (stands while added > removed)       |
| grant    | g  | source                  | newest |
| text     | t  | source, origin          | newest, of a trail (one writer a slot)       |
| list     | l  | source, origin          | newest, of a trail                           |

A consent field is its denials and grants together. What trails stand for is told in
``crdtstore.model.texts``; in a frame they come as edits, of four parts. Both joins are associative,
commutative and idempotent (Shapiro et al. 2011, "A comprehensive study of convergent and
commutative replicated data types"); ``tests/laws`` proves it. Letters not listed are refused.
"""

import hashlib
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.traits import check_trait
from crdtstore.model.update_contents import LIST, TEXT
from crdtstore.model.updates import decode_update
from crdtstore.model.values import CellValue, check_cell_value, pack
from crdtstore.names import is_name

MaximaCell: TypeAlias = tuple[int, int]
Cell: TypeAlias = tuple[Any, ...]
Cells: TypeAlias = dict[str, Cell]

SEPARATOR: Final = "\x1f"
"""Between the parts of a key. Names have no control characters, so it cannot occur in one."""

REGISTER: Final = "r"
COUNTER: Final = "c"
TRAIT: Final = "p"
SET: Final = "s"
DENIAL: Final = "d"
GRANT: Final = "g"
TEXT_TRAIL: Final = "t"
LIST_TRAIL: Final = "l"

SLOT_PARTS: Final = {
    REGISTER: 1, COUNTER: 2, TRAIT: 2, SET: 3, DENIAL: 2, GRANT: 1, TEXT_TRAIL: 2,
    LIST_TRAIL: 2,
}  # fmt: skip
NEWEST_KINDS: Final = frozenset({REGISTER, COUNTER, TRAIT, GRANT, TEXT_TRAIL, LIST_TRAIL})
COLLABORATIVE_KINDS: Final = frozenset({TEXT_TRAIL, LIST_TRAIL})
"""The letters of kinds whose cells are trails: the state lies beside the document."""

KIND_OF_LETTER: Final = {
    REGISTER: "register",
    COUNTER: "counter",
    TRAIT: "trait",
    SET: "set",
    DENIAL: "consent",
    GRANT: "consent",
    TEXT_TRAIL: TEXT,
    LIST_TRAIL: LIST,
}

TEXT_ELEMENT: Final = "t"
PACKED_ELEMENT: Final = "p"

_MASK: Final = (1 << 64) - 1
_STAMP_MULTIPLIER: Final = 0x9E3779B97F4A7C15


class ParsedKey(NamedTuple):
    """The parts of a cell key. ``origin`` is 0 and ``element`` empty where the kind has none."""

    letter: str
    field: str
    source: str
    origin: int
    element: str
    number: int


_parsed: dict[str, ParsedKey] = {}


def register_key(field: str, source: str) -> str:
    """Return the key of a source's register."""
    return f"{REGISTER}{field}{SEPARATOR}{source}"


def counter_key(field: str, source: str, origin: int) -> str:
    """Return the key of a source's running sum at one origin."""
    return f"{COUNTER}{field}{SEPARATOR}{source}{SEPARATOR}{origin:016x}"


def trait_key(field: str, source: str, origin: int) -> str:
    """Return the key of a source's partial of a trait at one origin."""
    return f"{TRAIT}{field}{SEPARATOR}{source}{SEPARATOR}{origin:016x}"


def set_key(field: str, source: str, origin: int, element: str) -> str:
    """Return the key of one source's claim to an (encoded) set element at one origin."""
    return f"{SET}{field}{SEPARATOR}{source}{SEPARATOR}{origin:016x}{SEPARATOR}{element}"


def denial_key(field: str, source: str, origin: int) -> str:
    """Return the key of a source's revocations at one origin."""
    return f"{DENIAL}{field}{SEPARATOR}{source}{SEPARATOR}{origin:016x}"


def grant_key(field: str, source: str) -> str:
    """Return the key of a source's grant."""
    return f"{GRANT}{field}{SEPARATOR}{source}"


def trail_key(kind: str, field: str, source: str, origin: int) -> str:
    """Return the key of a source's edits of a text or list at one origin."""
    return f"{kind[0]}{field}{SEPARATOR}{source}{SEPARATOR}{origin:016x}"


def text_name(key: str) -> str:
    """Return the name of the collaborative field that a trail belongs to: its letter, its field."""
    return key[: key.index(SEPARATOR)]


def texts_in(cells: Cells) -> frozenset[str]:
    """Return the names of the collaborative fields among cells."""
    return frozenset(text_name(key) for key in cells if key[0] in COLLABORATIVE_KINDS)


def encode_element(value: CellValue) -> str:
    """Return the text by which a key names a set element: equal exactly for the same value."""
    if type(value) is str:
        return TEXT_ELEMENT + str(value)
    return PACKED_ELEMENT + pack(value).hex()


def decode_element(element: str) -> CellValue:
    """Return the element that ``encode_element`` named; raises InvalidValue if it named none."""
    if element[:1] == TEXT_ELEMENT:
        return element[1:]
    if element[:1] != PACKED_ELEMENT:
        raise InvalidValue("a set element is neither text nor packed")
    try:
        value: CellValue = msgpack.unpackb(bytes.fromhex(element[1:]), timestamp=3)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"a set element is malformed: {error}") from error
    check_cell_value(value)
    if type(value) in (str, type(None), msgpack.ExtType) or encode_element(value) != element:
        raise InvalidValue("a set element is not canonical")
    return value


def parse_key(key: str) -> ParsedKey:
    """Return the parts of a key; raises InvalidValue if it is not one. Remembered for later."""
    parsed = _parsed.get(key)
    if parsed is None:
        parsed = _parse(key)
        if len(_parsed) >= limits.PARSED_KEYS_MAX:
            _parsed.clear()
        _parsed[key] = parsed
    return parsed


def forget_keys() -> None:
    """Forget the keys that were parsed: those of sets name their elements."""
    _parsed.clear()


def _parse(key: str) -> ParsedKey:
    letter = key[:1]
    slot_parts = SLOT_PARTS.get(letter)
    if slot_parts is None:
        raise InvalidValue(f"a cell key starts with the unknown kind {letter!r}")
    parts = key[1:].split(SEPARATOR, slot_parts)
    if len(parts) != slot_parts + 1:
        raise InvalidValue("a cell key does not name field and slot")
    if not is_name(parts[0], limits.FIELD_NAME_BYTES_MAX):
        raise InvalidValue("a cell key has a field name that is none")
    if not is_name(parts[1], limits.SOURCE_NAME_BYTES_MAX):
        raise InvalidValue("a cell key has a source name that is none")
    origin = _parse_origin(parts[2]) if slot_parts > 1 else 0
    element = parts[3] if slot_parts > 2 else ""
    if letter == SET:
        _check_element(element)
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big") | 1
    return ParsedKey(letter, parts[0], parts[1], origin, element, number)


def _check_element(element: str) -> None:
    try:
        size = len(element.encode())
    except UnicodeEncodeError:
        raise InvalidValue("a set element is not Unicode text") from None
    if size > 2 * limits.ELEMENT_BYTES_MAX + 1:
        raise InvalidValue("a set element is too long")
    decode_element(element)


def _parse_origin(text: str) -> int:
    try:
        origin = int(text, 16)
    except ValueError:
        origin = 0
    if not 0 < origin < 1 << 63 or f"{origin:016x}" != text:
        raise InvalidValue("a cell key names an origin that is none")
    return origin


def join_cells(one: Cell, other: Cell) -> Cell:
    """Return the join of two cells of one key: associative, commutative, idempotent."""
    if len(one) == 2:
        added = one[0] if one[0] > other[0] else other[0]
        removed = one[1] if one[1] > other[1] else other[1]
        return added, removed
    return other if supersedes(other, one) else one


def supersedes(new: Cell, old: Cell) -> bool:
    """Say whether a newest cell replaces another of its key.

    (timestamp, origin) is unique, so the bytes of the value decide only between the writings of
    a faulty origin; they make the order total, and the join a join, in every case.
    """
    if new[0] != old[0]:
        return bool(new[0] > old[0])
    if new[1] != old[1]:
        return bool(new[1] > old[1])
    return pack(new[2]) > pack(old[2])


def stamp_change(key: str, old: Cell | None, cell: Cell | None) -> int:
    """Return by how much a document's stamp changes, modulo 2**64, when a cell does.

    The share of a cell is 64 bits, of key and timestamps.
    """
    number = (_parsed.get(key) or parse_key(key)).number
    change = 0 if cell is None else cell[0] * _STAMP_MULTIPLIER ^ cell[1]
    if old is not None:
        change -= old[0] * _STAMP_MULTIPLIER ^ old[1]
    return int(change * number)


def stamp_of(cells: Cells) -> int:
    """Return the sum of the shares of all cells: the stamp of the document that has just them."""
    stamp = 0
    for key, cell in cells.items():
        number = (_parsed.get(key) or parse_key(key)).number
        stamp += (cell[0] * _STAMP_MULTIPLIER ^ cell[1]) * number & _MASK
    return stamp & _MASK


def check_cells(cells: object, timestamp_max: int) -> None:
    """Check cells that came from elsewhere; raises InvalidValue.

    Every key must parse, every cell have the shape of its kind, and no timestamp lie above
    ``timestamp_max`` (the frame's own), so that one clock check covers the frame.
    """
    if type(cells) is not dict:
        raise InvalidValue("the cells of a write are not a map")
    for key, cell in cells.items():
        parsed = _parsed.get(key)
        if parsed is None:
            if type(key) is not str:
                raise InvalidValue("a cell key is not text")
            parsed = parse_key(key)
        if type(cell) is not tuple:
            raise InvalidValue("a cell is not an array")
        if len(cell) == 4:
            _check_edit(parsed, cell, timestamp_max)
        elif len(cell) == 3:
            timestamp, origin, value = cell
            if (
                parsed.letter not in NEWEST_KINDS
                or type(timestamp) is not int
                or type(origin) is not int
                or not 0 < timestamp <= timestamp_max
                or not 0 < origin < 1 << 63
            ):
                raise InvalidValue("a cell does not have the shape of its kind")
            if parsed.letter == TRAIT:
                if origin != parsed.origin:
                    raise InvalidValue("a trait's cell is not its origin's partial")
                check_trait(value, parsed.field)
            elif type(value) is not str:
                _check_newest_value(parsed, origin, value)
            elif parsed.letter != REGISTER:
                raise InvalidValue("a counter, a grant or a trail holds text")
        else:
            _check_maxima(parsed, cell, timestamp_max)


def _check_newest_value(parsed: ParsedKey, origin: int, value: object) -> None:
    check_cell_value(value)
    if parsed.letter == REGISTER:
        return
    if parsed.letter == COUNTER and (type(value) not in (int, float) or origin != parsed.origin):
        raise InvalidValue("a counter's cell is not its origin's running sum")
    if parsed.letter == GRANT and value is not True:
        raise InvalidValue("a grant holds something else than true")
    if parsed.letter in COLLABORATIVE_KINDS and (
        type(value) is not int or value < 0 or origin != parsed.origin
    ):
        raise InvalidValue("a trail does not count its origin's edits")


def _check_edit(parsed: ParsedKey, cell: Cell, timestamp_max: int) -> None:
    timestamp, origin, number, update = cell
    if (
        parsed.letter not in COLLABORATIVE_KINDS
        or type(timestamp) is not int
        or origin != parsed.origin
        or type(origin) is not int
        or not 0 < timestamp <= timestamp_max
    ):
        raise InvalidValue("a cell does not have the shape of its kind")
    _check_newest_value(parsed, origin, number)
    decode_update(update, KIND_OF_LETTER[parsed.letter])


def _check_maxima(parsed: ParsedKey, cell: Cell, timestamp_max: int) -> None:
    if len(cell) != 2 or parsed.letter in NEWEST_KINDS:
        raise InvalidValue("a cell does not have the shape of its kind")
    for timestamp in cell:
        if type(timestamp) is not int or not 0 <= timestamp <= timestamp_max:
            raise InvalidValue("a cell has a timestamp out of range")
    if cell == (0, 0):
        raise InvalidValue("a cell was neither added nor removed")


def timestamp_before(delta: Cells) -> int:
    """Return the timestamp right below those of a write's newest cells, 0 if it has none."""
    return min((cell[0] - 1 for key, cell in delta.items() if key[0] in NEWEST_KINDS), default=0)
