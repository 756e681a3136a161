"""Sealing: a checksum on named records and waypoints, bound to the place where they rest.

Documents and frames carry hashes of their own. The small records that say who a replica is and how
far it has come have this one, so that a flipped bit is found and never taken for another value.
"""

import hashlib
from typing import Final

from crdtstore.errors import StorageCorrupt

_CHECKSUM_BYTES: Final = 8


def sealed(place: bytes, value: bytes) -> bytes:
    """Return the bytes in which a record rests at a place: the value and its checksum."""
    return value + _checksum(place, value)


def unsealed(place: bytes, record: bytes) -> bytes:
    """Return the value of a record at a place; raises StorageCorrupt if a byte of it changed."""
    value = record[:-_CHECKSUM_BYTES]
    if _checksum(place, value) != record[-_CHECKSUM_BYTES:]:
        raise StorageCorrupt(
            f"the record {place!r} of the data directory does not match its checksum; "
            "restore this replica from a peer: start it from an empty directory"
        )
    return value


def meta_place(name: str) -> bytes:
    """Return the place of a named record."""
    return b"meta " + name.encode()


def waypoint_place(position: int) -> bytes:
    """Return the place of a waypoint."""
    return b"waypoint %d" % position


def _checksum(place: bytes, value: bytes) -> bytes:
    state = hashlib.blake2b(place, digest_size=_CHECKSUM_BYTES, person=b"crdtstore.seal")
    state.update(b"\0")
    state.update(value)
    return state.digest()
