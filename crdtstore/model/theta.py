"""Theta sketches: how many different values were seen, from the least of their hashes.

The bytes are those of a compact, ordered theta sketch of Apache DataSketches (serial version 3,
the default seed), so its libraries make them and read them. They are decoded here, and not there,
because every replica must read the same from the same cells, with or without a library, and
because bytes of a peer are not given to native code. A union keeps the least hashes of both: it is
associative, commutative and idempotent, byte by byte.
"""

import struct
from typing import Final, NamedTuple

from crdtstore.errors import InvalidValue

THETA_WHOLE: Final = (1 << 63) - 1
"""The theta of a sketch that holds every hash that it has seen: it counts exactly."""

_HEADER: Final = struct.Struct("<BBBBBBH")
_SERIAL_VERSION: Final = 3
_COMPACT_FAMILY: Final = 3
_FLAGS: Final = 0x1A
"""Read-only, compact, ordered."""
_FLAGS_EMPTY: Final = _FLAGS | 0x04
_SEED_HASH: Final = 0x93CC


class Theta(NamedTuple):
    """The hashes below ``theta`` that were seen, ascending."""

    theta: int
    hashes: tuple[int, ...]

    @property
    def estimate(self) -> int:
        """How many different values were seen: exact as long as no hash was left out."""
        if self.theta == THETA_WHOLE:
            return len(self.hashes)
        return round(len(self.hashes) / (self.theta / THETA_WHOLE))


NOTHING: Final = Theta(THETA_WHOLE, ())


def decode(packed: object, hashes_max: int) -> Theta:
    """Return the sketch of some bytes; raises InvalidValue for all that no writer makes."""
    if type(packed) is not bytes or len(packed) < _HEADER.size:
        raise InvalidValue("a theta sketch is no bytes, or too few")
    theta, start = THETA_WHOLE, _HEADER.size
    if packed[0] > 1:
        if len(packed) < 8 * packed[0] or packed[0] > 3:
            raise InvalidValue("a theta sketch has another preamble")
        start = 8 * packed[0]
        if packed[0] == 3:
            (theta,) = struct.unpack_from("<Q", packed, 16)
    count, rest = divmod(len(packed) - start, 8)
    if rest or count > hashes_max:
        raise InvalidValue(f"a theta sketch has more than {hashes_max:,} hashes, or parts of some")
    sketch = Theta(theta, struct.unpack_from(f"<{count}Q", packed, start))
    below = 0
    for each in sketch.hashes:
        if not below < each < theta:
            raise InvalidValue("the hashes of a theta sketch do not ascend to its theta")
        below = each
    if theta > THETA_WHOLE or encode(sketch) != packed:
        raise InvalidValue("a theta sketch is not in its one form")
    return sketch


def encode(sketch: Theta) -> bytes:
    """Return the bytes of a sketch, as Apache DataSketches writes them."""
    theta, hashes = sketch
    count = len(hashes)
    longs = 3 if theta < THETA_WHOLE else 2 if count > 1 else 1
    flags = _FLAGS if count else _FLAGS_EMPTY
    header = _HEADER.pack(longs, _SERIAL_VERSION, _COMPACT_FAMILY, 0, 0, flags, _SEED_HASH)
    if longs > 1:
        header += struct.pack("<II", count, 0)
    if longs > 2:
        header += struct.pack("<Q", theta)
    return header + struct.pack(f"<{count}Q", *hashes)


def united(one: Theta, other: Theta, size: int) -> Theta:
    """Return the union of two sketches: the ``size`` least hashes of both, below both thetas."""
    theta = min(one.theta, other.theta)
    hashes = sorted({each for each in one.hashes + other.hashes if each < theta})
    if len(hashes) > size:
        theta = hashes[size]
        del hashes[size:]
    return Theta(theta, tuple(hashes))
