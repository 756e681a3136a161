"""Places: where a value stands in the order of values, as bytes that sort as the values do.

    booleans < numbers < text < bytes < datetimes < lists and maps < no value

Integers and floats are one sort of number, compared exactly; text is compared by code point. Of a
text (or bytes) the first PLACE_TEXT_BYTES_MAX bytes count, so that a place fits into an index key;
lists and maps are all alike. The order of a query is that of places, then of profile ids, so it is
the same with an index, without one, and on every replica.

An index has for every living profile the place of its value, and for a list the places of its
elements besides:

    place | profile id            ELEMENT | place of an element | profile id
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final

from crdtstore.model.values import Value
from crdtstore.query import bounds

BOOLEANS: Final = b"\x10"
NUMBERS: Final = b"\x20"
TEXTS: Final = b"\x30"
BYTES: Final = b"\x40"
DATETIMES: Final = b"\x50"
COMPOSITES: Final = b"\x60"
ABSENT: Final = b"\x70"
END_OF_PLACES: Final = b"\x71"
ELEMENT: Final = b"\x80"
"""Before the place of an element of a list."""

BEYOND_IDS: Final = b"\xff"
"""Above every profile id after a place: no UTF-8 begins with it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FLOAT: Final = struct.Struct(">d")
_SIGN: Final = 1 << 63
_ALL_BITS: Final = (1 << 64) - 1
_REST_BYTES: Final = 4
_REST_MIDDLE: Final = 1 << 31
_NUMBER_BYTES: Final = 1 + 8 + _REST_BYTES
_FIXED_BYTES: Final = {
    BOOLEANS[0]: 2,
    NUMBERS[0]: _NUMBER_BYTES,
    DATETIMES[0]: 9,
    COMPOSITES[0]: 1,
    ABSENT[0]: 1,
}


def place_of(value: Value) -> bytes:
    """Return the place of a value; None is no value, and comes last."""
    kind = type(value)
    if kind is str:
        return text_place(value)  # type: ignore[arg-type]
    if value is None:
        return ABSENT
    if kind is bool:
        return BOOLEANS + (b"\x01" if value else b"\x00")
    if isinstance(value, int | float):
        return number_place(value)
    if isinstance(value, bytes):
        return _bounded(BYTES, value)
    if isinstance(value, datetime):
        return DATETIMES + ((value - _EPOCH) // _MICROSECOND + _SIGN).to_bytes(8, "big")
    return COMPOSITES


def text_place(text: str) -> bytes:
    """Return the place of a text."""
    return _bounded(TEXTS, text.encode())


def text_prefix(text: str) -> bytes:
    """Return what the places of all texts begin with that begin with this one, as far as they go.

    It is exact, so that nothing else begins so, if ``is_short``.
    """
    return TEXTS + _escaped(text.encode())


def is_short(text: str) -> bool:
    """Say whether no other text has this one's place."""
    return len(text.encode().replace(b"\x00", b"\x00\xff")) < bounds.PLACE_TEXT_BYTES_MAX - 1


def number_place(number: int | float) -> bytes:
    """Return the place of a number: its nearest float, and what an integer has beyond that."""
    try:
        nearest = float(number) + 0.0  # -0.0 is 0.0
    except OverflowError:
        nearest = float("inf") if number > 0 else float("-inf")
    bits = int.from_bytes(_FLOAT.pack(nearest), "big")
    bits = bits ^ _ALL_BITS if bits & _SIGN else bits | _SIGN
    rest = 0
    if isinstance(number, int) and abs(nearest) < float("inf"):
        rest = max(-_REST_MIDDLE, min(number - int(nearest), _REST_MIDDLE - 1))
    return NUMBERS + bits.to_bytes(8, "big") + (rest + _REST_MIDDLE).to_bytes(_REST_BYTES, "big")


def is_exact_number(number: int | float) -> bool:
    """Say whether no other number has this one's place."""
    return isinstance(number, float) or abs(number) < 1 << 80


def element_places(value: Value) -> set[bytes]:
    """Return the places of the elements of a list; elements that are lists or maps have none."""
    if not isinstance(value, list):
        return set()
    places = {place_of(element) for element in value if element is not None}
    return {place for place in places if place != COMPOSITES}


def profile_of(key: bytes, start: int) -> str:
    """Return the id of the profile that a key leads to whose place begins at ``start``."""
    return key[place_end(key, start) :].decode()


def place_end(key: bytes, start: int) -> int:
    """Return where the place in a key ends that begins at ``start``, elements too."""
    if key[start] == ELEMENT[0]:
        start += 1
    size = _FIXED_BYTES.get(key[start])
    if size is not None:
        return start + size
    end = key.index(0, start)
    while key[end + 1] == 0xFF:
        end = key.index(0, end + 2)
    return end + 1


def after_prefix(prefix: bytes) -> bytes:
    """Return the least bytes above all that begin with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,))


def _bounded(kind: bytes, content: bytes) -> bytes:
    """Return the place of bytes: escaped, cut off, and ended by a zero byte."""
    return kind + _escaped(content) + b"\x00"


def _escaped(content: bytes) -> bytes:
    cut = content[: bounds.PLACE_TEXT_BYTES_MAX]
    if 0 not in cut:
        return cut
    escaped = cut.replace(b"\x00", b"\x00\xff")
    cut = escaped[: bounds.PLACE_TEXT_BYTES_MAX]
    return cut[:-1] if cut[-1] == 0 else cut
