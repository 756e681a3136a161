"""What an LMDB file says about itself, read from its bytes without LMDB.

The first two pages are meta pages; each commit rewrites the older one. All numbers are in the byte
order of the machine:

    page header 16 B | magic u32, version u32, address u64, map size u64
    | two tables of 48 B (free pages, main), the first of which begins with the page size u32
      and ends with its root page u64 | last page u64 | transaction u64

Source: struct MDB_meta and MDB_db of LMDB 0.9 (data version 1).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from crdtstore.errors import StorageCorrupt

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_META_FLAG: Final = 0x08
_PAGE_HEADER: Final = struct.Struct("=QHHI")
_META: Final = struct.Struct("=IIQQ I36xQ I36xQ QQ")
_NO_PAGE: Final = 2**64 - 1
_PAGE_BYTES_ALLOWED: Final = frozenset({4096, 8192, 16384, 32768, 65536})


@dataclass(frozen=True, slots=True)
class LmdbFile:
    """The newest state that an LMDB file holds: its page size, pages and transaction.

    ``roots`` are the root pages of the free list and of the main table.
    """

    page_bytes: int
    last_page: int
    transaction: int
    roots: tuple[int, int]

    @property
    def data_bytes(self) -> int:
        """Return the bytes that the file must have for all its pages to be there."""
        return (self.last_page + 1) * self.page_bytes


def inspect_lmdb_file(path: Path) -> LmdbFile:
    """Return what the meta pages of a file say, or raise StorageCorrupt if it cannot be opened.

    LMDB maps the file and trusts it, so a file that is shorter than its pages must not get there.
    Damage inside the pages is not seen here: records carry checksums of their own.
    """
    with path.open("rb") as file:
        size_bytes = file.seek(0, 2)
        first = _read_meta(file, path, 0, size_bytes)
        second = _read_meta(file, path, first.page_bytes, size_bytes)
    if second.page_bytes != first.page_bytes:
        raise StorageCorrupt(f"{path} is damaged: its meta pages disagree on the page size")
    newest = max(first, second, key=lambda meta: meta.transaction)
    if size_bytes < newest.data_bytes:
        raise StorageCorrupt(
            f"{path} was cut short: it has {size_bytes:,} bytes of {newest.data_bytes:,}"
        )
    return newest


def _read_meta(file: BinaryIO, path: Path, offset: int, size_bytes: int) -> LmdbFile:
    needed_bytes = _PAGE_HEADER.size + _META.size
    if size_bytes < offset + needed_bytes:
        raise StorageCorrupt(
            f"{path} was cut short: it has {size_bytes:,} bytes, not even its two meta pages"
        )
    file.seek(offset)
    page = file.read(needed_bytes)
    number, _, flags, _ = _PAGE_HEADER.unpack_from(page)
    magic, version, _, _, page_bytes, free_root, _, main_root, last_page, transaction = (
        _META.unpack_from(page, _PAGE_HEADER.size)
    )
    if magic != _MAGIC or not flags & _META_FLAG or number != (offset > 0):
        raise StorageCorrupt(f"{path} is damaged: there is no meta page at byte {offset}")
    if version != _DATA_VERSION:
        raise StorageCorrupt(f"{path} has LMDB data version {version}, not {_DATA_VERSION}")
    roots = (free_root, main_root)
    is_rooted = all(1 < root <= last_page or root == _NO_PAGE for root in roots)
    if page_bytes not in _PAGE_BYTES_ALLOWED or not is_rooted:
        raise StorageCorrupt(f"{path} is damaged: the meta page at byte {offset} makes no sense")
    return LmdbFile(page_bytes, last_page, transaction, roots)
