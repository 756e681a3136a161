"""Recovery: from what rests on the disk to the state before the stop.

Documents rest as of the last checkpoint or later; the journal after it is applied again. Joins are
idempotent, so it does no harm where a document rests with newer cells already.
"""

from contextlib import suppress

from crdtstore import limits
from crdtstore.clock import HybridClock
from crdtstore.engine.causes import CAUSES, Causes
from crdtstore.engine.documents import HIDDEN, Documents
from crdtstore.engine.ledger import (
    ADOPTION_MAGIC,
    SNAPSHOT_MAGIC,
    Ledger,
    Waypoint,
    checked_record,
    read_adoption_note,
    read_snapshot_note,
)
from crdtstore.engine.mark import Mark
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import UndoLog, absorb, from_record
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import decode_body
from crdtstore.sync.vector import vector_of


def recover(
    storage: Storage,
    documents: Documents,
    ledger: Ledger,
    causes: Causes,
    clock: HybridClock,
    tag: bytes,
) -> None:
    """Bring ledger, causes, clock and documents up to the end of the journal.

    Raises StorageCorrupt if a journal record is damaged.
    """
    mark = Mark.unpack(storage.meta("checkpoint"))
    trimmed = storage.meta("trimmed")
    if trimmed is not None:
        waypoint = Waypoint.unpack(0, trimmed)
        ledger.bytes_trimmed = waypoint.bytes_total
    ledger.load_floor()
    ledger.heads = dict(mark.heads)
    causes.load(storage.meta(CAUSES), mark.timestamp)
    ledger.bytes_total = mark.bytes_total
    clock.observe(mark.timestamp)
    _bring_hidden(storage, documents)
    position = mark.position
    while True:
        records = storage.journal(position, limit=1_000, bytes_max=limits.JOURNAL_CACHE_BYTES)
        if not records:
            break
        for position, record in records:
            _replay(position, record, documents, ledger, causes, clock, tag)
            ledger.bytes_total += len(record)
    for origin, head in ledger.resting.items():
        # The mark is older than its rest; were there more of it, it would have woken up.
        before = ledger.heads.pop(origin, head)
        assert before[0] <= head[0], (origin, before, head)
    ledger.durable = vector_of(ledger.heads)


def _bring_hidden(storage: Storage, documents: Documents) -> None:
    """Join what came for damaged documents before the checkpoint, and still waits to be healed.

    Where that was damaged too, peers have it.
    """
    with suppress(StorageCorrupt):
        for name, record in storage.metas(HIDDEN).items():
            profile_id = name.removeprefix(HIDDEN)
            kept = from_record(profile_id, record)
            document = documents.get_to_join(profile_id)
            if absorb(document, kept.epoch, kept.cells, []):
                documents.note_change(profile_id, document, kept.cells)


def _replay(
    position: int,
    record: bytes,
    documents: Documents,
    ledger: Ledger,
    causes: Causes,
    clock: HybridClock,
    tag: bytes,
) -> None:
    frame = checked_record(position, record, tag)
    if record[:2] == SNAPSHOT_MAGIC:
        timestamp = read_snapshot_note(record)[0]
        clock.observe(timestamp)
        causes.documents_came(timestamp)
        return
    if record[:2] == ADOPTION_MAGIC:
        adopted = read_adoption_note(record)
        for origin in adopted:
            causes.jumped(origin, clock.latest)
        ledger.heads.update(adopted)
        return
    assert frame is not None
    dependencies, writes = decode_body(frame)
    undo: UndoLog = []
    fitted = documents.texts.fitted(writes, documents.get_to_join, None)
    for profile_id, epoch, cells in fitted:
        document = documents.get_to_join(profile_id)
        if fitted is not writes:
            documents.texts.load(profile_id, document, epoch, cells)
        if absorb(document, epoch, cells, undo):
            document.size_bytes += 64 * len(cells)
            documents.note_change(profile_id, document, cells)
    if dependencies:
        causes.learn(frame.origin, dependencies, [], clock.latest)
    ledger.heads[frame.origin] = frame.head
    causes.advanced(frame.origin, frame.timestamp, bool(writes))
    clock.observe(frame.timestamp)
