"""The pages of an LMDB file: which of them hold something, which are free, and what no page needs.

Read from the bytes of the file, as ``lmdb_file`` does, in the byte order of the machine:

    page    number u64, pad u16, flags u16, lower u16, upper u16 (or, of overflow, pages u32)
    | places of nodes u16 each, up to lower | gap up to upper | nodes
    node    in a branch: page number in 48 bits, key size u16, key
            in a leaf: value size u32, flags u16, key size u16, key, value (or its overflow page)

LMDB moves nodes together when one goes, and writes pages from buffers that it uses again, so the
gap of a page that is in use may hold anything that was ever stored, and so may a free page.

Source: struct MDB_page, MDB_node and MDB_db of LMDB 0.9 (data version 1).
"""

import struct
import sys
from collections.abc import Iterator
from mmap import mmap
from typing import Final, NamedTuple

from crdtstore.errors import StorageCorrupt

_BRANCH: Final = 0x01
_LEAF: Final = 0x02
_OVERFLOW: Final = 0x04
_BIG_VALUE: Final = 0x01
_TABLE: Final = 0x02

_HEADER_BYTES: Final = 16
_PAGE_HEADER: Final = struct.Struct("=QHHHH")
_PAGES_AT: Final = 12
_NODE: Final = struct.Struct("=HHHH")
_NUMBER: Final = struct.Struct("=Q")
_PAGES: Final = struct.Struct("=I")
_TABLE_ROOT_AT: Final = 40
_NO_PAGE: Final = 2**64 - 1
_LOW, _HIGH = (0, 1) if sys.byteorder == "little" else (1, 0)


class Gap(NamedTuple):
    """Bytes of a file that belong to a page in use, or to several, and mean nothing."""

    start: int
    end: int


class UsedPages(NamedTuple):
    """So many pages in use from ``first`` on, and the gap in them."""

    first: int
    pages: int
    gap: Gap


def used_pages(content: mmap, page_bytes: int, roots: tuple[int, int]) -> Iterator[UsedPages]:
    """Yield all pages that the free list and the main table reach, tables inside it too.

    The state that ``roots`` are of must not change meanwhile: a read transaction holds it. Raises
    StorageCorrupt for a page that is not what it should be.
    """
    waiting = [root for root in roots if root != _NO_PAGE]
    while waiting:
        number = waiting.pop()
        start = number * page_bytes
        found, _, flags, lower, upper = _PAGE_HEADER.unpack_from(content, start)
        is_tree = flags & (_BRANCH | _LEAF | _OVERFLOW) in (_BRANCH, _LEAF)
        if found != number or not is_tree or not _HEADER_BYTES <= lower <= upper <= page_bytes:
            raise _damaged(number)
        yield UsedPages(number, 1, Gap(start + lower, start + upper))
        if flags & _BRANCH:
            waiting.extend(_children(content, start, lower))
        elif flags & _LEAF:
            for size_bytes, node_flags, value_at in _leaf_nodes(content, start, lower):
                if node_flags & _BIG_VALUE:
                    yield _overflow(content, page_bytes, value_at, size_bytes)
                elif node_flags & _TABLE:
                    root = _NUMBER.unpack_from(content, value_at + _TABLE_ROOT_AT)[0]
                    if root != _NO_PAGE:
                        waiting.append(root)


def free_pages(content: mmap, page_bytes: int, free_root: int) -> Iterator[int]:
    """Yield the numbers of all pages that the free list of a state names."""
    waiting = [] if free_root == _NO_PAGE else [free_root]
    while waiting:
        start = waiting.pop() * page_bytes
        _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(content, start)
        if flags & _BRANCH:
            waiting.extend(_children(content, start, lower))
            continue
        for _, node_flags, value_at in _leaf_nodes(content, start, lower):
            if node_flags & _BIG_VALUE:
                value_at = _NUMBER.unpack_from(content, value_at)[0] * page_bytes + _HEADER_BYTES
            count = _NUMBER.unpack_from(content, value_at)[0]
            yield from struct.unpack_from(f"={count}Q", content, value_at + _NUMBER.size)


def _places(content: mmap, start: int, lower: int) -> tuple[int, ...]:
    count = (lower - _HEADER_BYTES) // 2
    return struct.unpack_from(f"={count}H", content, start + _HEADER_BYTES)


def _children(content: mmap, start: int, lower: int) -> Iterator[int]:
    for place in _places(content, start, lower):
        *halves, high, _ = _NODE.unpack_from(content, start + place)
        yield halves[_LOW] | halves[_HIGH] << 16 | high << 32


def _leaf_nodes(content: mmap, start: int, lower: int) -> Iterator[tuple[int, int, int]]:
    """Yield value size, flags, and where the value begins, of the nodes of a leaf."""
    for place in _places(content, start, lower):
        *halves, flags, key_bytes = _NODE.unpack_from(content, start + place)
        yield halves[_LOW] | halves[_HIGH] << 16, flags, start + place + _NODE.size + key_bytes


def _overflow(content: mmap, page_bytes: int, value_at: int, size_bytes: int) -> UsedPages:
    first = _NUMBER.unpack_from(content, value_at)[0]
    start = first * page_bytes
    found, _, flags, _, _ = _PAGE_HEADER.unpack_from(content, start)
    count = _PAGES.unpack_from(content, start + _PAGES_AT)[0]
    end = start + count * page_bytes
    value_end = start + _HEADER_BYTES + size_bytes
    if found != first or not flags & _OVERFLOW or not start < value_end <= end <= len(content):
        raise _damaged(first)
    return UsedPages(first, count, Gap(value_end, end))


def _damaged(number: int) -> StorageCorrupt:
    return StorageCorrupt(f"the data file is damaged: page {number} is not what leads to it says")
