"""Disks: what becomes of a replica's data when machines and people do as they do.

Every function returns a storage as a new process would find it. A storage with another fingerprint
is another file to the store, which takes a new incarnation before its first write.
"""

import random
from typing import Any, Final

from crdtstore.engine.identity import RESTORED
from crdtstore.engine.texts import ROWS, check_texts_at_rest
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
    return MemoryStorage.of_copy(storage.image, fingerprint=fingerprint, machine=machine)


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
    return storage.reopen(image=image.image)


def rebooted(storage: MemoryStorage, chance: random.Random) -> MemoryStorage:
    """Return the disk of a machine that lost its memory, and with it the witness of its disk."""
    storage.disk_bytes_max = DISK_BYTES_DEFAULT
    return storage.reopen(machine=MachineMemory(chance.getrandbits))


def stored_profiles(storage: MemoryStorage) -> list[str]:
    """Return the ids of all documents at rest, in order."""
    records = storage.documents(b"", limit=_WHOLE, bytes_max=_WHOLE)
    return [key.decode() for key, _ in records]


def damaged_profiles(storage: MemoryStorage) -> list[str]:
    """Return the ids of stored documents of which a record does not match its checksum."""
    damaged = []
    for key, record in storage.documents(b"", limit=_WHOLE, bytes_max=_WHOLE):
        try:
            checked_canonical(key.decode(), record)
            check_texts_at_rest(storage, key.decode(), record)
        except StorageCorrupt:
            damaged.append(key.decode())
    return damaged


def damage(storage: MemoryStorage, profile_id: str, chance: random.Random) -> bool:
    """Flip one bit in the cells or in a text of a stored document; return whether it had any."""
    tables: Any = storage._tables
    rows = sorted(name for name in tables.meta if name.startswith(f"{ROWS}{profile_id}\x1f"))
    if rows and chance.random() < 0.5:
        name = chance.choice(rows)
        tables.meta[name] = _flipped(tables.meta[name], 0, chance)
        return True
    record = tables.documents.get(profile_id.encode())
    if record is None or len(record) <= _FIRST_CELL + 2:
        return False
    tables.documents[profile_id.encode()] = _flipped(record, _FIRST_CELL, chance)
    return True


def _flipped(record: bytes, start: int, chance: random.Random) -> bytes:
    place = chance.randrange(start, len(record))
    flipped = bytes((record[place] ^ (1 << chance.randrange(8)),))
    return record[:place] + flipped + record[place + 1 :]
