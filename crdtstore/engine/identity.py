"""Identity: which incarnation of which replica this store is.

An origin is drawn at random for every incarnation. A data directory that was copied or restored is
another file, whose fingerprint differs from the one noted inside: it takes a new incarnation
before its first write, and so does one that was restored from a backup, which says so, wherever
its file lies. The old origins stay in the vector as any other replica's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.errors import ConfigurationError, SpaceMismatch, StorageCorrupt
from crdtstore.names import check_name
from crdtstore.storage.contract import Batch, Storage

RESTORED: Final = "restored"
"""Name of the record that a restored backup has until it is opened."""

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


@dataclass(frozen=True, slots=True)
class Identity:
    """Name and space of a replica, its present origin, and the number of its incarnations."""

    name: str
    space: str
    origin: int
    incarnations: int
    fingerprint: str

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps an identity."""
        return _pack([self.name, self.space, self.origin, self.incarnations, self.fingerprint])


def draw_origin(random_bits: Callable[[int], int]) -> int:
    """Return a new origin: 63 random bits, not 0."""
    return random_bits(63) or 1


def settle_identity(
    storage: Storage, name: str, space: str, random_bits: Callable[[int], int]
) -> Identity:
    """Return the identity under which a storage is opened, made durable.

    Raises SpaceMismatch if the storage holds another space.
    """
    check_name(name, "a replica name", limits.REPLICA_NAME_BYTES_MAX)
    check_name(space, "a space name", limits.REPLICA_NAME_BYTES_MAX)
    if not name.isprintable() or not space.isprintable():
        raise ConfigurationError("names of replicas and spaces are printable text")
    known = stored_identity(storage)
    if known is None:
        return _store(
            storage, Identity(name, space, draw_origin(random_bits), 1, storage.fingerprint)
        )
    if known.space != space:
        raise SpaceMismatch(
            f"the data directory holds space {known.space!r}, not {space!r}; "
            "open it with that space, or use another directory"
        )
    is_restored = storage.meta(RESTORED) is not None
    is_same = known.fingerprint == storage.fingerprint and not is_restored
    origin = known.origin if is_same else draw_origin(random_bits)
    incarnations = known.incarnations + (0 if is_same else 1)
    identity = Identity(name, space, origin, incarnations, storage.fingerprint)
    return identity if identity == known else _store(storage, identity)


def stored_identity(storage: Storage) -> Identity | None:
    """Return the identity that a storage keeps, None if it never had one."""
    packed = storage.meta("identity")
    if packed is None:
        return None
    try:
        return Identity(*msgpack.unpackb(packed))
    except (ValueError, TypeError) as error:
        raise StorageCorrupt(
            f"the identity of the data directory cannot be read: {error}"
        ) from error


def _store(storage: Storage, identity: Identity) -> Identity:
    storage.commit(Batch(meta={"identity": identity.pack(), RESTORED: None}))
    return identity
