"""The contents of Yjs blocks: what a collaborative field may hold, read strictly from bytes.

| ref | content | in  | length | here                                                         |
|-----|---------|-----|--------|--------------------------------------------------------------|
| 1   | deleted | all | given  | ``None``                                                     |
| 3   | binary  | list| 1      | the bytes as they came                                       |
| 4   | string  | text| UTF-16 | the string                                                   |
| 5   | embed   | text| 1      | the bytes as they came: JSON                                 |
| 6   | format  | text| 1      | the bytes as they came: a name and JSON                      |
| 8   | any     | list| given  | the bytes of each item, in a tuple                           |

All others are refused: collected blocks (only children of nested types are), JSON of old clients,
nested types, subdocuments, skips, moves. What is accepted is copied byte for byte.
"""

import json
import math
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from crdtstore import limits
from crdtstore.errors import InvalidValue

Content: TypeAlias = str | bytes | tuple[bytes, ...] | None

DELETED: Final = 1
BINARY: Final = 3
STRING: Final = 4
EMBED: Final = 5
FORMAT: Final = 6
ANY: Final = 8

TEXT: Final = "text"
LIST: Final = "list"

REFS_OF_KIND: Final = {
    TEXT: frozenset({DELETED, STRING, EMBED, FORMAT}),
    LIST: frozenset({DELETED, BINARY, ANY}),
}
"""Which contents a document of each kind may hold. Its only root has the name of its kind."""

_FLOAT32: Final = struct.Struct(">f")
_FLOAT64: Final = struct.Struct(">d")
_CLOCK_MAX: Final = limits.UPDATE_CLOCK_MAX


class UpdateAhead(InvalidValue):
    """A sound update needs something that is not here: yet, or for ever."""

    code = "update-ahead"


def utf16_length(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as Yjs and JavaScript count."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le")) >> 1


class ByteReader:
    """Reads the integers and texts of lib0, the encoding below Yjs; raises InvalidValue."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        """Read an unsigned integer of at most 53 bits, in its shortest form."""
        data, at = self.data, self.at
        try:
            byte = data[at]
            at += 1
            if byte < 0x80:
                self.at = at
                return byte
            value, shift = byte & 0x7F, 7
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 49:
                    raise InvalidValue("an update has an integer beyond 53 bits")
        except IndexError:
            raise InvalidValue("an update ends within an integer") from None
        if byte == 0:
            raise InvalidValue("an update has an integer that is not in its shortest form")
        if value >> 53:
            raise InvalidValue("an update has an integer beyond 53 bits")
        self.at = at
        return value

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        end = self.at + size
        if end > len(self.data):
            raise InvalidValue("an update ends within a content")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def text(self) -> str:
        """Read a text: its length in bytes, and UTF-8."""
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError:
            raise InvalidValue("an update has text that is not UTF-8") from None


def read_content(reader: ByteReader, ref: int) -> tuple[int, Content]:
    """Read the content of a block; return its length in clocks, and itself. Raises InvalidValue."""
    if ref == STRING:
        text = reader.text()
        if not text:
            raise InvalidValue("an update has an empty string")
        return utf16_length(text), text
    if ref == DELETED:
        length = reader.number()
        if not 0 < length <= _CLOCK_MAX:
            raise InvalidValue("an update has a deleted block of an impossible length")
        return length, None
    start = reader.at
    if ref == ANY:
        count = reader.number()
        if not 0 < count <= len(reader.data) - reader.at:
            raise InvalidValue("an update has an impossible number of items")
        return count, tuple(_read_item(reader) for _ in range(count))
    if ref == BINARY:
        size = reader.number()
        if size > limits.LIST_ITEM_BYTES_MAX:
            raise InvalidValue(f"a list item has {size:,} bytes")
        reader.take(size)
    elif ref == EMBED:
        check_embed(_read_json(reader))
    else:
        check_attribute(reader.text(), _read_json(reader))
    return 1, reader.data[start : reader.at]


def _read_item(reader: ByteReader) -> bytes:
    start = reader.at
    skip_any(reader, 1)
    size = reader.at - start
    if size > limits.LIST_ITEM_BYTES_MAX:
        raise InvalidValue(
            f"a list item has {size:,} bytes; the limit is {limits.LIST_ITEM_BYTES_MAX:,} bytes"
        )
    return reader.data[start : reader.at]


def skip_any(reader: ByteReader, depth: int) -> None:
    """Read past one value of lib0's "any", and check it; raises InvalidValue."""
    if depth > limits.COLLABORATIVE_DEPTH_MAX:
        raise InvalidValue("an update has values nested too deep")
    tag = reader.take(1)[0]
    skip = _SKIPS.get(tag)
    if skip is not None:
        skip(reader)
    elif tag == 0x75:
        for _ in range(_count(reader)):
            skip_any(reader, depth + 1)
    elif tag == 0x76:
        names = set()
        for _ in range(_count(reader)):
            name = reader.text()
            if name in names:
                raise InvalidValue("an update has a map that names a key twice")
            names.add(name)
            skip_any(reader, depth + 1)
    else:
        raise InvalidValue(f"an update has a value of the unknown type {tag}")


def _count(reader: ByteReader) -> int:
    count = reader.number()
    if count > len(reader.data) - reader.at:
        raise InvalidValue("an update has a value of an impossible length")
    return count


def _skip_integer(reader: ByteReader) -> None:
    """Read past a signed integer: 6 bits and a sign, then 7 bits a byte, in its shortest form."""
    byte = reader.take(1)[0]
    value, shift, is_first = byte & 0x3F, 6, True
    while byte & 0x80:
        byte = reader.take(1)[0]
        if shift > 48:
            raise InvalidValue("an update has an integer beyond 53 bits")
        value |= (byte & 0x7F) << shift
        shift += 7
        is_first = False
    if (not is_first and byte == 0) or value >> 53:
        raise InvalidValue("an update has an integer that is not in its shortest form")


def _check_float(form: struct.Struct, reader: ByteReader) -> None:
    if not math.isfinite(form.unpack(reader.take(form.size))[0]):
        raise InvalidValue("an update has a number that is not finite")


_SKIPS: Final[dict[int, Callable[[ByteReader], object]]] = {
    0x7E: lambda reader: None,
    0x7D: _skip_integer,
    0x7C: lambda reader: _check_float(_FLOAT32, reader),
    0x7B: lambda reader: _check_float(_FLOAT64, reader),
    0x79: lambda reader: None,
    0x78: lambda reader: None,
    0x77: ByteReader.text,
    0x74: lambda reader: reader.take(reader.number()),
}
"""How to read past null, integers, floats, false, true, text and bytes. No big integers: they have
no form in JSON. No "undefined": what lists hold is a value."""


def _read_json(reader: ByteReader) -> Any:
    text = reader.text()
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidValue("an update has an embed or attribute that is not JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def check_embed(value: object) -> None:
    """Check an embed: a map of names to small values; raises InvalidValue."""
    if type(value) is not dict or not value:
        raise InvalidValue("an embed is a map, such as {'image': address}")
    check_json(value, 1, limits.EMBED_BYTES_MAX)


def check_attribute(name: object, value: object) -> None:
    """Check a formatting attribute: None as its value takes it away; raises InvalidValue."""
    if type(name) is not str or not name or not _is_short(name, limits.ATTRIBUTE_NAME_BYTES_MAX):
        raise InvalidValue("the name of an attribute is empty, too long, or not text")
    check_json(value, 1, limits.ATTRIBUTE_BYTES_MAX)


def check_json(value: object, depth: int, bytes_max: int) -> None:
    """Check a JSON value that goes into a text beside its characters; raises InvalidValue."""
    if depth > limits.COLLABORATIVE_DEPTH_MAX:
        raise InvalidValue("an embed or attribute is nested too deep")
    match value:
        case None | bool():
            pass
        case int() if abs(value) < 1 << 53:
            pass
        case float() if math.isfinite(value):
            pass
        case str() if _is_short(value, bytes_max):
            pass
        case list():
            for item in value:
                check_json(item, depth + 1, bytes_max)
        case dict():
            for name, item in value.items():
                if type(name) is not str or not _is_short(name, bytes_max):
                    raise InvalidValue("an embed or attribute has a key that is no (short) text")
                check_json(item, depth + 1, bytes_max)
        case _:
            raise InvalidValue(
                "an embed or attribute holds something that is no JSON value, or is too large"
            )


def _is_short(text: str, bytes_max: int) -> bool:
    try:
        return len(text.encode()) <= bytes_max
    except UnicodeEncodeError:
        return False
