"""What files hold beyond their plain bytes: journal records are deflated, and texts in them too."""

import zlib
from typing import Final

_MAGIC: Final = zlib.compress(b"", 1)[:2]
_STEP_BYTES: Final = 256


def with_inflated(content: bytes) -> bytes:
    """Return bytes of a file, and behind them all that may be inflated anywhere in it."""
    found = [content]
    place = content.find(_MAGIC)
    while place >= 0:
        found.append(_inflated(content, place))
        place = content.find(_MAGIC, place + 1)
    return b"\n".join(found)


def _inflated(content: bytes, start: int) -> bytes:
    """Return what begins there, as far as it is whole."""
    inflating = zlib.decompressobj()
    parts = []
    try:
        for place in range(start, len(content), _STEP_BYTES):
            if inflating.eof:
                break
            parts.append(inflating.decompress(content[place : place + _STEP_BYTES]))
    except zlib.error:
        pass
    return b"".join(parts)
