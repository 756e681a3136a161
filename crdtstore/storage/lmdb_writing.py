"""Writing a batch into the tables of an LMDB environment, in one transaction of the caller's."""

from typing import Final, TypeAlias

import lmdb

from crdtstore import limits
from crdtstore.storage.contract import Batch, PackedRecord
from crdtstore.storage.document_packing import (
    FIRST_BYTES_END,
    DocumentPacking,
    names_of,
    plain_form,
)
from crdtstore.storage.journal_packing import packed_record
from crdtstore.storage.lmdb_reader import Table, Tables, key_of, position_of
from crdtstore.storage.mapped_memory import MappedPages
from crdtstore.storage.sealing import meta_place, sealed, waypoint_place

Writer: TypeAlias = "lmdb.Transaction[bytes]"

PLAIN_FROM: Final = "plain-from"
"""Name of the record that says from which key on documents may rest plain that could be packed."""

_DOCUMENTS_AT_ONCE: Final = 128


def check_batch(batch: Batch) -> None:
    """Assert what the contract says of a batch."""
    assert len(batch.documents) <= limits.BATCH_DOCUMENTS_MAX, "a batch has too many documents"
    for key, _ in (*batch.documents, *batch.index):
        assert 0 < len(key) <= limits.DOCUMENT_KEY_BYTES_MAX, f"a key has {len(key)} bytes"
    assert all(batch.meta), "a meta record needs a name"


def write_batch(
    transaction: Writer,
    tables: Tables,
    batch: Batch,
    packing: DocumentPacking,
    plain_from: bytes,
    mapped: MappedPages,
) -> bytes:
    """Write a batch; return from which key on documents may rest plain, if it was ``plain_from``.

    Dictionaries that are not written yet are written with it, if it has documents. Pages that are
    touched are noted as ``mapped``.
    """
    with transaction.cursor(tables.journal) as cursor:
        records = [(key_of(place), packed_record(record)) for place, record in batch.journal]
        _, added = cursor.putmulti(records, append=True)
        assert added == len(records), "journal positions do not follow the last one"
    if batch.documents:
        lowest = _write_documents(transaction, tables.documents, dict(batch.documents), mapped)
        if lowest is not None and lowest < plain_from:
            plain_from = lowest
            put_meta(transaction, tables.meta, PLAIN_FROM, plain_from)
        put_dictionaries(transaction, tables.meta, packing)
    for position, value in batch.waypoints:
        waypoint = sealed(waypoint_place(position), value)
        transaction.put(key_of(position), waypoint, db=tables.waypoints)
    for name, named in batch.meta.items():
        put_meta(transaction, tables.meta, name, named)
    entries = dict(batch.index)
    for key in sorted(entries):
        mapped.note(1)
        if entries[key]:
            transaction.put(key, b"", db=tables.indexes)
        else:
            transaction.delete(key, db=tables.indexes)
    if batch.trim_before:
        _trim(transaction, tables, batch.trim_before, mapped)
    return plain_from


def put_meta(transaction: Writer, table: Table, name: str, value: bytes | None) -> None:
    """Write a named record with its checksum, or delete it."""
    if value is None:
        transaction.delete(name.encode(), db=table)
    else:
        transaction.put(name.encode(), sealed(meta_place(name), value), db=table)


def put_dictionaries(transaction: Writer, table: Table, packing: DocumentPacking) -> None:
    """Write the dictionaries that no transaction has written yet."""
    for number in packing.unwritten:
        for name in names_of(number):
            put_meta(transaction, table, name, packing.dictionary(number))


def _write_documents(
    transaction: Writer, table: Table, changes: dict[bytes, bytes | None], mapped: MappedPages
) -> bytes | None:
    """Write documents in key order: appended, where all lie above those that are there.

    Return the lowest key of those that nobody tried to pack, None if there are none.
    """
    puts = sorted((key, value) for key, value in changes.items() if value is not None)
    lowest: bytes | None = None
    for place, (key, value) in enumerate(puts):
        if type(value) is not PackedRecord:
            if lowest is None and len(value) >= limits.DEFLATED_DOCUMENT_BYTES_MIN:
                lowest = key
            if value[:1] >= FIRST_BYTES_END:
                puts[place] = key, plain_form(value)
    with transaction.cursor(table) as cursor:
        is_appended = bool(puts) and (not cursor.last() or cursor.key() < puts[0][0])
        for start in range(0, len(puts), _DOCUMENTS_AT_ONCE):
            mapped.note(2 * _DOCUMENTS_AT_ONCE)  # a leaf, and what leads there
            cursor.putmulti(puts[start : start + _DOCUMENTS_AT_ONCE], append=is_appended)
    for key, change in changes.items():
        if change is None:
            transaction.delete(key, db=table)
    return lowest


def _trim(transaction: Writer, tables: Tables, trim_before: int, mapped: MappedPages) -> None:
    with transaction.cursor(tables.journal) as cursor:
        if not cursor.last():
            return
        bound = min(trim_before, position_of(cursor.key()))
        cursor.first()
        for _ in range(limits.TRIM_RECORDS_MAX):
            if position_of(cursor.key()) >= bound:
                break
            mapped.note(1)
            cursor.delete()
        bound = min(bound, position_of(cursor.key()))
    with transaction.cursor(tables.waypoints) as cursor:
        is_there = cursor.first()
        for _ in range(limits.TRIM_RECORDS_MAX):
            if not is_there or position_of(cursor.key()) >= bound:
                break
            cursor.delete()
            is_there = bool(cursor.key())
