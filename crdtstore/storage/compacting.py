"""Compacting: what a storage does for the room of its tables when it is closed, within bounds.

LMDB splits a page that is full in two halves, and joins pages only when they are nearly empty; a
record that became shorter leaves a gap. A table of no more than so many pages, with many gaps, is
written anew in key order, which fills its pages. Documents that rest plain, as a snapshot or a
hurried checkpoint brought them, are packed in the same go; of a larger table a part at each close.

All of it is one transaction: the tables hold the same before and after.
"""

from typing import Final

from crdtstore import limits
from crdtstore.storage.document_packing import DocumentPacking, is_plain
from crdtstore.storage.lmdb_reader import Table, Tables
from crdtstore.storage.lmdb_writing import PLAIN_FROM, Writer, put_dictionaries, put_meta

ALL_PACKED: Final = b"\xff"
"""The key from which on documents rest plain when none does: no key is above it."""

_PAGE_HEADER_BYTES: Final = 16
_NODE_BYTES: Final = 10
_COUNTED_BYTES: Final = 1_000
"""So much of a record counts: a large one has pages of its own."""


def compacted_pages_max(transaction: Writer, tables: Tables) -> int:
    """Return how many pages a compaction may take at the most."""
    return sum(
        min(pages_of(transaction, table), limits.COMPACTED_PAGES_MAX)
        for table in (tables.documents, tables.meta, tables.indexes)
    )


def pages_of(transaction: Writer, table: Table) -> int:
    """Return how many pages a table takes."""
    stat = transaction.stat(table)
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


def compact(
    transaction: Writer, tables: Tables, packing: DocumentPacking, plain_from: bytes
) -> None:
    """Compact the tables as far as it is worth it."""
    if packing.has_dictionary and plain_from < ALL_PACKED:
        upto = _pack_documents(transaction, tables.documents, packing, plain_from)
        put_dictionaries(transaction, tables.meta, packing)
        put_meta(transaction, tables.meta, PLAIN_FROM, upto)
    for table in (tables.documents, tables.meta, tables.indexes):
        if _has_gaps(transaction, table):
            _write_anew(transaction, table)


def _pack_documents(
    transaction: Writer, table: Table, packing: DocumentPacking, start: bytes
) -> bytes:
    """Pack the documents from a key on that rest plain; return how far it came.

    They are deleted before they are put again, so that LMDB does not leave each in its old page.
    """
    found, budget_bytes = [], limits.COMPACTED_BYTES_MAX
    upto = ALL_PACKED
    with transaction.cursor(table) as cursor:
        is_there = cursor.set_range(start) if start else cursor.first()
        while is_there:
            key, kept = cursor.item()
            if budget_bytes <= 0:
                upto = key
                break
            budget_bytes -= len(kept)
            if is_plain(kept) and len(packed := packing.packed(packing.unpacked(kept))) < len(kept):
                found.append((key, packed))
            is_there = cursor.next()
    for key, _ in found:
        transaction.delete(key, db=table)
    with transaction.cursor(table) as cursor:
        cursor.putmulti(found)
    return upto


def _has_gaps(transaction: Writer, table: Table) -> bool:
    """Say whether a table that is small enough would take far fewer pages if it was written anew.

    Tables with large records, which have pages of their own, are left as they are.
    """
    stat = transaction.stat(table)
    pages = pages_of(transaction, table)
    if not limits.COMPACTED_PAGES_MIN <= pages <= limits.COMPACTED_PAGES_MAX:
        return False
    room_bytes = stat["leaf_pages"] * (stat["psize"] - _PAGE_HEADER_BYTES)
    with transaction.cursor(table) as cursor:
        taken_bytes = sum(
            len(key) + min(len(value), _COUNTED_BYTES) + _NODE_BYTES for key, value in cursor
        )
    return taken_bytes * 100 < room_bytes * limits.COMPACTED_FULL_PERCENT


def _write_anew(transaction: Writer, table: Table) -> None:
    """Write a table anew, in key order."""
    with transaction.cursor(table) as cursor:
        records = list(cursor)
    transaction.drop(table, delete=False)
    with transaction.cursor(table) as cursor:
        cursor.putmulti(records, append=True)
