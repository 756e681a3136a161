"""The form in which LMDB keeps a document: deflated, with a dictionary of what most of them share.

    first byte   lower half: that of the record as the store has it
                 upper half: 0 for a plain record, 1 to 14 the number of a dictionary, 15 for a
                 plain record that follows as it is, because its own first byte has an upper half
    28 bytes     the rest of the record's head, as it is: checksums, in which nothing repeats
    the rest     deflated (raw, with a window of 4 KiB) against that dictionary

A dictionary is named like a record of the table *meta*, and lies there twice, in places that are
far from each other: no document that needs it can be read without it. It is written by the
transaction of the first document that needs it, and stays for good. What a dictionary holds is the
owner's to decide; see ``crdtstore.model.structure``.

Damage is not judged here. Of a record that cannot be inflated its head is returned alone, which
whoever checks it finds too short, and which still tells what the document was. One whose number has
no dictionary is inflated with any other: to whoever checks it, another document.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from crdtstore import limits
from crdtstore.storage.contract import PackedRecord

DICTIONARY: Final = "dictionary/"
"""Beginning of the names of dictionaries."""

SPARE_DICTIONARY: Final = "spare-dictionary/"
"""Beginning of the names of their second copies."""

FIRST_BYTES_END: Final = b"\x10"
"""Records that begin below that are kept as they are, when they are plain."""

_HEAD_BYTES: Final = 29
_PLAIN: Final = 15
_LEVEL: Final = 6
_WINDOW: Final = -12
_MEMORY: Final = 4
_COVERED_PERCENT: Final = 50


class DocumentPacking:
    """The dictionaries of one data directory, and what is done with them.

    ``unwritten`` are those that no transaction has written yet: the one with the first record that
    was packed with them has to. ``expansion`` tells by how much the records that were read and
    packed so far are longer than what is kept of them.
    """

    def __init__(self) -> None:
        self._dictionaries: dict[int, bytes] = {}
        self._lost: set[int] = set()
        self._current = 0
        self._plain_bytes = self._kept_bytes = 1
        self.unwritten: set[int] = set()

    @property
    def has_dictionary(self) -> bool:
        """Whether records can be packed."""
        return self._current > 0

    @property
    def expansion(self) -> float:
        """By how much records are longer than what is kept of them."""
        return self._plain_bytes / self._kept_bytes

    def take(self, number: int, dictionary: bytes | None) -> None:
        """Take in a dictionary that the directory has; None if no copy of it can be read."""
        if dictionary is None:
            self._lost.add(number)
        else:
            self._dictionaries[number] = dictionary
            self._current = max(self._current, number)

    def dictionary(self, number: int) -> bytes:
        """Return the dictionary of a number."""
        return self._dictionaries[number]

    def learn(self, parts: Sequence[bytes]) -> None:
        """Pack from now on with the dictionary that has most of some parts, or with a new one."""
        dictionary = b"".join(parts)[-limits.DICTIONARY_BYTES_MAX :]
        if not dictionary:
            return
        covered = {
            number: sum(len(part) for part in parts if part in each)
            for number, each in self._dictionaries.items()
        }
        best = max(covered, key=covered.__getitem__, default=0)
        is_covered = best > 0 and covered[best] * 100 >= len(dictionary) * _COVERED_PERCENT
        number = max((*self._dictionaries, *self._lost), default=0) + 1
        if is_covered or number > limits.DICTIONARIES_MAX:
            self._current = best
            return
        self._dictionaries[number] = dictionary
        self._current = number
        self.unwritten.add(number)

    def packed(self, record: bytes) -> PackedRecord:
        """Return a document's record as it is kept: deflated, if that makes it shorter."""
        size = len(record)
        is_fit = limits.DEFLATED_DOCUMENT_BYTES_MIN <= size <= limits.DEFLATED_DOCUMENT_BYTES_MAX
        if is_fit and self._current and record[0] < 16:
            deflating = zlib.compressobj(
                _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_FIXED,
                self._dictionaries[self._current],
            )  # fmt: skip
            body = deflating.compress(record[_HEAD_BYTES:]) + deflating.flush()
            if len(body) + _HEAD_BYTES < size:
                first = bytes((self._current << 4 | record[0],))
                return PackedRecord(first + record[1:_HEAD_BYTES] + body)
        return PackedRecord(plain_form(record))

    def unpacked(self, kept: bytes) -> bytes:
        """Return the record of a document from what is kept, its head alone if that is damaged."""
        number = kept[0] >> 4 if kept else 0
        if number == 0:
            return kept
        if number == _PLAIN:
            return kept[1:]
        head = bytes((kept[0] & 15,)) + kept[1:_HEAD_BYTES]
        body = _inflated(kept, self._dictionaries.get(number))
        if body is None:  # perhaps the number alone is damaged
            bodies = (_inflated(kept, each) for each in tuple(self._dictionaries.values()))
            return head + next((each for each in bodies if each is not None), b"")
        self._plain_bytes += _HEAD_BYTES + len(body)
        self._kept_bytes += len(kept)
        return head + body


def _inflated(kept: bytes, dictionary: bytes | None) -> bytes | None:
    """Return the body of a packed record, None if it cannot be inflated with a dictionary."""
    if dictionary is None:
        return None
    inflating = zlib.decompressobj(_WINDOW, dictionary)
    try:
        body = inflating.decompress(kept[_HEAD_BYTES:], limits.DEFLATED_DOCUMENT_BYTES_MAX)
    except zlib.error:
        return None
    return body if inflating.eof and not inflating.unused_data else None


def is_plain(kept: bytes) -> bool:
    """Say whether what is kept of a document is its record as it is."""
    return not kept or kept[0] < 16 or kept[0] >> 4 == _PLAIN


def plain_form(record: bytes) -> bytes:
    """Return the form of a record that is not deflated."""
    return bytes((_PLAIN << 4,)) + record if record and record[0] >= 16 else record


def numbers_in(names: Sequence[str]) -> set[int]:
    """Return the numbers of the dictionaries that some names of records are of."""
    return {int(name.rpartition("/")[2]) for name in names}


def names_of(number: int) -> tuple[str, str]:
    """Return the names of the two copies of a dictionary."""
    return f"{DICTIONARY}{number:02d}", f"{SPARE_DICTIONARY}{number:02d}"
