"""Disks: what becomes of a replica's data when machines and people do as they do.

Every function returns a storage as a new process would find it. A storage with another fingerprint
is another file to the store, which takes a new incarnation before its first write.
"""

import random
from typing import Any, Final

from crdtstore.engine.identity import RESTORED
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import checked_canonical
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import DISK_BYTES_DEFAULT, MachineMemory, MemoryStorage

_WHOLE: Final = 1 << 40
_FIRST_CELL: Final = 29 + 11
"""In a stored document: behind the header and the longest epoch, which a flip may make wrong."""


def new_disk(label: str, chance: random.Random) -> MemoryStorage:
    """Return the empty disk of a machine that was just started."""
    return MemoryStorage(fingerprint=label, machine=MachineMemory(chance.getrandbits))


def copy_storage(
    storage: MemoryStorage, *, fingerprint: str = "memory", machine: MachineMemory | None = None
) -> MemoryStorage:
    """Return a copy of all that a storage holds; with another fingerprint it is another file."""
    return MemoryStorage.of_copy(storage.image(), fingerprint=fingerprint, machine=machine)


def cloned(storage: MemoryStorage, label: str, chance: random.Random) -> MemoryStorage:
    """Return a copy of a data directory, on a machine of its own."""
    memory = MachineMemory(chance.getrandbits)
    return copy_storage(storage, fingerprint=label, machine=memory)


def restored(backup: MemoryStorage, label: str, chance: random.Random) -> MemoryStorage:
    """Return what ``crdtstore restore`` makes of a backup: marked, so that it becomes another."""
    storage = cloned(backup, label, chance)
    storage.commit(Batch(meta={RESTORED: b"\xc3"}))
    return storage


def rolled_back(storage: MemoryStorage, image: MemoryStorage) -> MemoryStorage:
    """Return a volume that was put back to an older image, in place.

    The file has its old place and inode; the machine's memory did not go back with it. There is
    room again, as after any work on a disk: a new incarnation has to be noted.
    """
    storage.disk_bytes_max = DISK_BYTES_DEFAULT
    return storage.reopen(image=image.image())


def rebooted(storage: MemoryStorage, chance: random.Random) -> MemoryStorage:
    """Return the disk of a machine that lost its memory, and with it the witness of its disk."""
    storage.disk_bytes_max = DISK_BYTES_DEFAULT
    return storage.reopen(machine=MachineMemory(chance.getrandbits))


def stored_profiles(storage: MemoryStorage) -> list[str]:
    """Return the ids of all documents at rest, in order."""
    records = storage.documents(b"", limit=_WHOLE, bytes_max=_WHOLE)
    return [key.decode() for key, _ in records]


def damaged_profiles(storage: MemoryStorage) -> list[str]:
    """Return the ids of stored documents that do not match their checksums."""
    damaged = []
    for key, record in storage.documents(b"", limit=_WHOLE, bytes_max=_WHOLE):
        try:
            checked_canonical(key.decode(), record)
        except StorageCorrupt:
            damaged.append(key.decode())
    return damaged


def damage(storage: MemoryStorage, profile_id: str, chance: random.Random) -> bool:
    """Flip one bit in the cells of a stored document; return whether there was one with cells."""
    tables: Any = storage._tables
    record = tables.documents.get(profile_id.encode())
    if record is None or len(record) <= _FIRST_CELL + 2:
        return False
    place = chance.randrange(_FIRST_CELL, len(record))
    flipped = bytes((record[place] ^ (1 << chance.randrange(8)),))
    tables.documents[profile_id.encode()] = record[:place] + flipped + record[place + 1 :]
    return True
