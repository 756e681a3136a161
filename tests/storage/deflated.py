"""What files hold beyond their plain bytes: records are deflated, and texts in them too."""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from crdtstore.errors import StorageCorrupt
from crdtstore.storage.sealing import meta_place, unsealed

_MAGIC: Final = zlib.compress(b"", 1)[:2]
_STEP_BYTES: Final = 256
_LMDB_MAGIC: Final = struct.pack("=I", 0xBEEFC0DE)
_PAGE_BYTES: Final = 4_096
_DICTIONARY: Final = re.compile(rb"dictionary/([0-9]{2})")
_SPARE: Final = b"spare-"


def with_inflated(content: bytes) -> bytes:
    """Return bytes of a file, and behind them all that may be inflated anywhere in it."""
    found = [content, *documents_in(content)]
    place = content.find(_MAGIC)
    while place >= 0:
        found.append(_inflated(zlib.decompressobj(), content, place))
        place = content.find(_MAGIC, place + 1)
    return b"\n".join(found)


def documents_in(content: bytes) -> Iterator[bytes]:
    """Yield what is inflated of each packed document in an LMDB file, deleted or not.

    Each begins with a head that has a checksum of its own: a head that is there is found.
    """
    for number, dictionary in dictionaries_in(content).items():
        for first in (number << 4 | 1, number << 4 | 2):
            mark = bytes((first,))
            place = content.find(mark)
            while place >= 0:
                head = bytes((first & 15,)) + content[place + 1 : place + 25]
                if zlib.crc32(head).to_bytes(4, "big") == content[place + 25 : place + 29]:
                    inflating = zlib.decompressobj(-12, dictionary)
                    yield _inflated(inflating, content, place + 29)
                place = content.find(mark, place + 1)


def dictionaries_in(content: bytes) -> dict[int, bytes]:
    """Return the dictionaries in an LMDB file, or in a backup, by their numbers."""
    found = {}
    start = content.find(_LMDB_MAGIC) - 16
    for match in _DICTIONARY.finditer(content):
        is_spare = content.endswith(_SPARE, 0, match.start())
        key = _SPARE + match[0] if is_spare else match[0]
        begin = match.end() - len(key)
        low, high, flags, key_bytes = struct.unpack_from("=HHHH", content, begin - 8)
        if key_bytes != len(key):
            continue
        place, size = match.end(), low | high << 16
        if flags & 1:  # a large value lies on pages of its own
            place = start + struct.unpack_from("=Q", content, place)[0] * _PAGE_BYTES + 16
        try:
            record = unsealed(meta_place(key.decode()), content[place : place + size])
        except StorageCorrupt:
            continue
        found[int(match[1])] = record
    return found


def _inflated(inflating: "zlib._Decompress", content: bytes, start: int) -> bytes:
    """Return what begins there, as far as it is whole."""
    parts = []
    try:
        for place in range(start, len(content), _STEP_BYTES):
            if inflating.eof:
                break
            parts.append(inflating.decompress(content[place : place + _STEP_BYTES]))
    except zlib.error:
        pass
    return b"".join(parts)
