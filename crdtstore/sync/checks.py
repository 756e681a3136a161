"""Checks of the parts of messages: each returns the part, or raises ValueError.

``decode`` turns that into MessageInvalid. Maps with number keys travel as flat arrays.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from crdtstore import limits
from crdtstore.names import is_profile_id
from crdtstore.sync.frame import HASH_BYTES
from crdtstore.sync.vector import Heads, Names, Vector


def checked_number(value: object) -> int:
    """Return a number from 0 to 2**63 - 1."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("a number is out of range")
    return value


def checked_text(value: object) -> str:
    """Return a text."""
    if type(value) is not str:
        raise ValueError("a text is none")
    return value


def checked_name(value: object) -> str:
    """Return the name of a replica or space."""
    text = checked_text(value)
    if not 0 < len(text.encode()) <= limits.REPLICA_NAME_BYTES_MAX or not text.isprintable():
        raise ValueError("a name is empty, too long or not printable")
    return text


def checked_place(value: object) -> str:
    """Return a place in the order of profile ids: an id, or "" for the start."""
    text = checked_text(value)
    if text and not is_profile_id(text):
        raise ValueError("a place is no profile id")
    return text


def checked_bytes(value: object) -> bytes:
    """Return bytes."""
    if type(value) is not bytes:
        raise ValueError("bytes are none")
    return value


def checked_digest(value: object) -> bytes:
    """Return a digest or hash of 128 bits."""
    digest = checked_bytes(value)
    if len(digest) != HASH_BYTES:
        raise ValueError("a digest has a wrong length")
    return digest


def checked_flag(value: object) -> bool:
    """Return a truth value."""
    if type(value) is not bool:
        raise ValueError("a flag is none")
    return value


def flat(mapping: Mapping[int, Any]) -> list[Any]:
    """Return a map with number keys as a flat list, in key order."""
    return [part for pair in sorted(mapping.items()) for part in pair]


def flat_pairs(mapping: Mapping[int, tuple[Any, Any]]) -> list[Any]:
    """Return heads, or names and births, as a flat list, in the order of the origins."""
    return [part for origin, pair in sorted(mapping.items()) for part in (origin, *pair)]


def groups(flat: object, size: int) -> Iterable[tuple[Any, ...]]:
    """Return the groups of a flat array, at most one for each origin of a space."""
    if type(flat) is not tuple or len(flat) % size or len(flat) > size * limits.ORIGINS_MAX:
        raise ValueError("a flat map has a wrong length")
    return zip(*(flat[part::size] for part in range(size)), strict=True)


def checked_vector(flat: object) -> Vector:
    """Return the vector that a flat array is."""
    return {
        checked_number(origin): checked_number(sequence) for origin, sequence in groups(flat, 2)
    }


def checked_names(flat: object) -> Names:
    """Return the names and births of origins that a flat array is."""
    return {
        checked_number(origin): (checked_name(name), checked_number(born_ms))
        for origin, name, born_ms in groups(flat, 3)
    }


def checked_removed(names: object) -> tuple[str, ...]:
    """Return the names of removed replicas."""
    if type(names) is not tuple or len(names) > 2 * limits.REMOVED_REPLICAS_MAX:
        raise ValueError("the removed names are not a list, or too many")
    return tuple(checked_name(name) for name in names)


def checked_heads(flat: object) -> Heads:
    """Return the heads that a flat array is."""
    heads: Heads = {}
    for origin, sequence, digest in groups(flat, 3):
        heads[checked_number(origin)] = (checked_number(sequence), checked_digest(digest))
    return heads
