"""Recovery: from what rests on the disk to the state before the stop.

Documents rest as of the last checkpoint or later; the journal after it is applied again. Joins are
idempotent, so it does no harm where a document rests with newer cells already.
"""

from crdtstore import limits
from crdtstore.clock import HybridClock
from crdtstore.engine.commits import Mark
from crdtstore.engine.documents import Documents
from crdtstore.engine.ledger import (
    ADOPTION_MAGIC,
    SNAPSHOT_MAGIC,
    Ledger,
    Waypoint,
    checked_record,
    read_adoption_note,
    read_snapshot_note,
    stored_floor,
)
from crdtstore.model.document import UndoLog, absorb
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import decode_body
from crdtstore.sync.vector import vector_of


def recover(
    storage: Storage, documents: Documents, ledger: Ledger, clock: HybridClock, tag: bytes
) -> None:
    """Bring ledger, clock and documents up to the end of the journal.

    Raises StorageCorrupt if a journal record is damaged.
    """
    mark = Mark.unpack(storage.meta("checkpoint"))
    trimmed = storage.meta("trimmed")
    if trimmed is not None:
        waypoint = Waypoint.unpack(0, trimmed)
        ledger.bytes_trimmed = waypoint.bytes_total
    ledger.floor = stored_floor(storage)
    ledger.heads = dict(mark.heads)
    ledger.bytes_total = mark.bytes_total
    clock.observe(mark.timestamp)
    position = mark.position
    while True:
        records = storage.journal(position, limit=1_000, bytes_max=limits.JOURNAL_CACHE_BYTES)
        if not records:
            break
        for position, record in records:
            _replay(position, record, documents, ledger, clock, tag)
            ledger.bytes_total += len(record)
    ledger.durable = vector_of(ledger.heads)


def _replay(
    position: int,
    record: bytes,
    documents: Documents,
    ledger: Ledger,
    clock: HybridClock,
    tag: bytes,
) -> None:
    frame = checked_record(position, record, tag)
    if record[:2] == SNAPSHOT_MAGIC:
        clock.observe(read_snapshot_note(record)[0])
        return
    if record[:2] == ADOPTION_MAGIC:
        ledger.heads.update(read_adoption_note(record))
        return
    assert frame is not None
    _, writes = decode_body(frame)
    undo: UndoLog = []
    for profile_id, epoch, cells in writes:
        document = documents.get_to_join(profile_id)
        if absorb(document, epoch, cells, undo):
            document.size_bytes += 64 * len(cells)
            documents.note_change(profile_id, document, cells)
    ledger.heads[frame.origin] = frame.head
    clock.observe(frame.timestamp)
