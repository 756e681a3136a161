"""Theta sketches: how many different values were seen, from the least of their hashes.

The bytes are those of a compact, ordered theta sketch of Apache DataSketches (serial version 3,
the default seed), so its libraries make them and read them. They are decoded here, and not there,
because every replica must read the same from the same cells, with or without a library, and
because bytes of a peer are not given to native code. A union keeps the least hashes of both: it is
associative, commutative and idempotent, byte by byte.
"""

import struct
from bisect import bisect_left
from operator import lt
from typing import Final, NamedTuple

from crdtstore.errors import InvalidValue

THETA_WHOLE: Final = (1 << 63) - 1
"""The theta of a sketch that holds every hash that it has seen: it counts exactly."""

_HEADER: Final = struct.Struct("<BBBBBBH")
_COUNT: Final = struct.Struct("<II")
_LONG: Final = struct.Struct("<Q")
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


def check(packed: object, hashes_max: int) -> None:
    """Check the bytes of a sketch from elsewhere; raises InvalidValue for all that none makes."""
    if type(packed) is not bytes or len(packed) < _HEADER.size:
        raise InvalidValue("a theta sketch is no bytes, or too few")
    longs = packed[0]
    if longs > 3 or len(packed) < 8 * longs:
        raise InvalidValue("a theta sketch has another preamble")
    count = size_of(packed)
    if len(packed) % 8 or count > hashes_max:
        raise InvalidValue(f"a theta sketch has more than {hashes_max:,} hashes, or parts of some")
    theta, hashes = decode(packed)
    if not 0 < theta <= THETA_WHOLE or not packed.startswith(_header(theta, count)):
        raise InvalidValue("a theta sketch is not in its one form")
    if hashes and not (hashes[0] > 0 and all(map(lt, hashes, hashes[1:])) and hashes[-1] < theta):
        raise InvalidValue("the hashes of a theta sketch do not ascend to its theta")


def size_of(packed: bytes) -> int:
    """Return how many hashes the sketch of some bytes has."""
    return len(packed) // 8 - (packed[0] or 1)


def decode(packed: bytes) -> Theta:
    """Return the sketch of some bytes that were checked."""
    theta = _LONG.unpack_from(packed, 16)[0] if packed[0] == 3 else THETA_WHOLE
    count = size_of(packed)
    return Theta(theta, struct.unpack_from(f"<{count}Q", packed, len(packed) - 8 * count))


def encode(sketch: Theta) -> bytes:
    """Return the bytes of a sketch, as Apache DataSketches writes them."""
    theta, hashes = sketch
    return _header(theta, len(hashes)) + struct.pack(f"<{len(hashes)}Q", *hashes)


def _header(theta: int, count: int) -> bytes:
    longs = 3 if theta < THETA_WHOLE else 2 if count > 1 else 1
    flags = _FLAGS if count else _FLAGS_EMPTY
    header = _HEADER.pack(longs, _SERIAL_VERSION, _COMPACT_FAMILY, 0, 0, flags, _SEED_HASH)
    if longs > 1:
        header += _COUNT.pack(count, 0)
    if longs > 2:
        header += _LONG.pack(theta)
    return header


def united(one: Theta, other: Theta, size: int) -> Theta:
    """Return the union of two sketches: the ``size`` least hashes of both, below both thetas."""
    theta = min(one.theta, other.theta)
    hashes = sorted({*one.hashes, *other.hashes})
    if hashes and hashes[-1] >= theta:
        del hashes[bisect_left(hashes, theta) :]
    if len(hashes) > size:
        theta = hashes[size]
        del hashes[size:]
    return Theta(theta, tuple(hashes))
