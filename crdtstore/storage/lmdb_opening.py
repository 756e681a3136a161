"""Opening an LMDB environment: its options, its first size, and what a failure means."""

import errno
from typing import Final

import lmdb

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageError, StorageFull
from crdtstore.storage.contract import map_reserve_bytes
from crdtstore.storage.directory import DataDirectory
from crdtstore.storage.lmdb_reader import DAMAGE

TABLE_NAMES: Final = (b"documents", b"journal", b"waypoints", b"meta", b"index")
"""The tables, in the order in which they are opened."""

MAP_STEP_BYTES: Final = 64 * limits.KIBIBYTE
"""The map is a multiple of that."""


def open_environment(directory: DataDirectory, map_bytes: int) -> lmdb.Environment:
    """Return the environment of a data directory, durable commit by commit."""
    return lmdb.open(
        str(directory.path),
        map_size=map_bytes,
        mode=0o600,
        sync=True,
        metasync=True,
        writemap=False,
        readahead=True,
        max_readers=limits.READERS_MAX,
        max_dbs=len(TABLE_NAMES),
    )


def first_map_bytes(map_bytes_initial: int, map_bytes_max: int, data_bytes: int) -> int:
    """Return the smallest doubling of the initial map that holds the data and its reserve.

    LMDB itself enlarges a map that is smaller than the data.
    """
    map_bytes = max(map_bytes_initial // MAP_STEP_BYTES, 1) * MAP_STEP_BYTES
    while map_bytes - map_reserve_bytes(map_bytes) < data_bytes:
        map_bytes *= 2
    return min(map_bytes, map_bytes_max)


def open_failure(directory: DataDirectory, error: lmdb.Error | OSError) -> StorageError:
    """Return what to raise for an error of opening, as far as it is known what it means."""
    code = error.code if isinstance(error, lmdb.Error) else error.errno
    if isinstance(error, DAMAGE):
        return StorageCorrupt(f"{directory.path} is damaged: {error}")
    if code in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"the disk of {directory.path} is full")
    return StorageError(f"{directory.path} cannot be opened: {error}")
