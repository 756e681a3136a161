"""The form in which LMDB keeps a journal record: deflated, if that makes it shorter.

A frame of many edits repeats ids, field names, sources, origins and most of each timestamp: it
takes a third of its bytes then. Level 1 takes half a millisecond for 100 KiB, level 5, which long
records have, as much again, both without Python's lock.
Anything that begins as a deflated record does is deflated, whatever its length, so that the first
two bytes tell the forms apart.
"""

import zlib
from typing import Final

from crdtstore import limits
from crdtstore.errors import StorageCorrupt

_MAGIC: Final = zlib.compress(b"", 1)[:2]
"""The head of a deflated record, whatever its level was, which is all that it tells."""

_MEMORY: Final = 9


def packed_record(record: bytes) -> bytes:
    """Return the bytes in which a journal record is kept."""
    must_be = record.startswith(_MAGIC)
    if len(record) < limits.DEFLATED_RECORD_BYTES_MIN and not must_be:
        return record
    level = 1 if len(record) < limits.WELL_DEFLATED_RECORD_BYTES_MIN else 5
    deflating = zlib.compressobj(level, memLevel=_MEMORY)
    packed = _MAGIC + (deflating.compress(record) + deflating.flush())[len(_MAGIC) :]
    return packed if must_be or len(packed) < len(record) else record


def unpacked_record(position: int, packed: bytes) -> bytes:
    """Return a journal record; raises StorageCorrupt if it is damaged, as far as that shows here.

    Whoever reads it checks what it holds.
    """
    if packed[:2] != _MAGIC:
        return packed
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise _damaged(position, error) from error


def unpacked_head(position: int, packed: memoryview, head_bytes: int) -> bytes:
    """Return the first bytes of a journal record; raises StorageCorrupt as above."""
    if packed[:2] != _MAGIC:
        return bytes(packed[:head_bytes])
    try:
        return zlib.decompressobj().decompress(packed, head_bytes)
    except zlib.error as error:
        raise _damaged(position, error) from error


def _damaged(position: int, error: zlib.error) -> StorageCorrupt:
    return StorageCorrupt(
        f"journal record {position} is damaged ({error}); restore this replica from a peer: "
        "start it from an empty directory"
    )
