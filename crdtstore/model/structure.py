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
from crdtstore.model.cells import NEWEST_KINDS, SEPARATOR, SET
from crdtstore.model.document import Document
from crdtstore.model.values import pack

_NEWEST_MARK: Final = b"\x93\xcf"
"""How a newest cell begins: three parts, the first a number of 64 bits."""

_MAXIMA_MARK: Final = b"\x92\xcf"
_NUMBER_MARK: Final = b"\xcf"


def structure_of(documents: Iterable[Document]) -> list[bytes]:
    """Return what many of some documents share, in the order in which documents have it."""
    keys: Counter[str] = Counter()
    origins: Counter[int] = Counter()
    for document in documents:
        keys.update({_shared_part(key) for key in islice(document.cells, limits.STRUCTURE_CELLS)})
        origins.update(
            {
                cell[1]
                for key, cell in islice(document.cells.items(), limits.STRUCTURE_CELLS)
                if key[0] in NEWEST_KINDS
            }
        )
    common = limits.STRUCTURE_SHARED_DOCUMENTS
    by_origin = [origin for origin, count in origins.most_common() if count >= common]
    shared = sorted(key for key, count in keys.items() if count >= common)
    parts = [_NUMBER_MARK + origin.to_bytes(8, "big") for origin in reversed(by_origin)]
    return parts + [_packed_part(key) for key in shared]


def _shared_part(key: str) -> str:
    """Return a key without the element that it may name."""
    letter = key[0]
    if letter != SET:
        return key
    return SEPARATOR.join(key.split(SEPARATOR, 3)[:3]) + SEPARATOR


def _packed_part(key: str) -> bytes:
    """Return how a key is packed, and what follows it; of a key with an element its beginning."""
    if key[0] == SET:
        return key.encode()
    return pack(key) + (_NEWEST_MARK if key[0] in NEWEST_KINDS else _MAXIMA_MARK)
