"""Structure: what the packed forms of documents share, whoever they are of.

It is the packed keys of cells and the marks between the parts of a cell: names of fields and of
sources, and origins. It has no value, no element of a set, no time, and no id of a profile; a name
that only a few documents have is left out too, as somebody may call a field after a person.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from crdtstore import limits
from crdtstore.model.cells import NEWEST_KINDS, SEPARATOR, SET, SLOT_PARTS, Cell
from crdtstore.model.document import Document
from crdtstore.model.values import pack

_NEWEST_MARK: Final = b"\x93\xcf"
"""How a newest cell begins: three parts, the first a number of 64 bits."""

_MAXIMA_MARK: Final = b"\x92\xcf"
_NUMBER_MARK: Final = b"\xcf"
_LONG_TEXT: Final = 0xD9
_LETTERS_END: Final = 0x7F
_ORIGIN_DIGITS: Final = 16


def structure_of(documents: Iterable[Document]) -> list[bytes]:
    """Return what many of some documents share, names in the order in which documents have them."""
    names: Counter[bytes] = Counter()
    origins: Counter[bytes] = Counter()
    cells_left = limits.STRUCTURE_CELLS
    for document in documents:
        found = [_parts_of(*item) for item in islice(document.cells.items(), cells_left)]
        cells_left -= len(found)
        names.update({name for name, _ in found})
        origins.update({origin for _, origin in found if origin})
    common = limits.STRUCTURE_SHARED_DOCUMENTS
    shared = [origin for origin, count in reversed(origins.most_common()) if count >= common]
    return shared + sorted((name for name, count in names.items() if count >= common), key=_order)


def _parts_of(key: str, cell: Cell) -> tuple[bytes, bytes]:
    """Return how a cell begins, as it is packed, and its origin, as far as both are not its own."""
    letter = key[0]
    mark = _NEWEST_MARK if letter in NEWEST_KINDS else _MAXIMA_MARK
    if SLOT_PARTS[letter] == 1:
        origin = _NUMBER_MARK + cell[1].to_bytes(8, "big") if letter in NEWEST_KINDS else b""
        return pack(key) + mark, origin
    field, source, digits = key.split(SEPARATOR, 3)[:3]
    name = f"{field}{SEPARATOR}{source}{SEPARATOR}"
    if letter == SET:
        return name.encode(), (digits + SEPARATOR).encode()
    return pack(name + digits)[:-_ORIGIN_DIGITS], digits.encode() + mark


def _order(name: bytes) -> bytes:
    """Return by what names are put in the order of documents: without the length before them."""
    if name[0] == _LONG_TEXT:
        return name[2:]
    return name[1:] if name[0] > _LETTERS_END else name
