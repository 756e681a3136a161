"""The change feed: every write and every erasure, in local commit order, from a durable cursor.

A cursor is a place in the journal, "position.index"; it stays good across restarts, for as long as
the journal reaches back to it. Delivery is at least once: the consumer stores the cursor of the
last change that it has handled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crdtstore import limits
from crdtstore.clock import datetime_of
from crdtstore.engine.conflict_log import ConflictLog
from crdtstore.engine.ledger import SNAPSHOT_MAGIC, Ledger, frame_header, read_snapshot_note
from crdtstore.errors import CursorExpired, InvalidInput
from crdtstore.model.cells import SET, decode_element, parse_key
from crdtstore.model.values import Value, from_cell_value
from crdtstore.names import OWN_IDS
from crdtstore.sync.frame import Frame, decode_body

_PAGE_BYTES = 4 * limits.MEBIBYTE


@dataclass(frozen=True, slots=True)
class TouchedPerson:
    """A person as it is when the feed is read: its id, the ids of its profiles, its version."""

    id: str
    profiles: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class ElementChange:
    """What a write said of one element of a set field: that it is in, or that it is not."""

    field: str
    element: Value
    is_in: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One write as it arrived in this store.

    ``fields`` and ``sources`` say what was written and by whom (both empty for an erasure, a
    revival, and a document that came by snapshot). ``origin`` and ``replica`` say where; they are
    0 and empty for a snapshot. ``erased`` is true if the write erased the profile. ``conflicts``
    are the ids of the conflicts that were found by it, ``settled`` of those that it settled, as far
    as the conflict log reaches back. ``elements`` are those of sets that it added or removed:
    another write may say otherwise meanwhile.

    ``persons`` are those whose members or records it may have changed, if they were asked for; a
    change of a profile that is gone names none. ``persons_complete`` is false if they are too many
    to be told.
    """

    cursor: str
    id: str
    fields: tuple[str, ...]
    sources: tuple[str, ...]
    origin: int
    replica: str
    timestamp: int
    erased: bool
    conflicts: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    persons: tuple[TouchedPerson, ...] = ()
    persons_complete: bool = True
    elements: tuple[ElementChange, ...] = ()

    @property
    def at(self) -> datetime | None:
        """When it was written, None for a document that came by snapshot."""
        return datetime_of(self.timestamp) if self.timestamp else None


def read_changes(
    ledger: Ledger, names: Mapping[int, str], log: ConflictLog, since: str, limit: int
) -> list[Change]:
    """Return up to ``limit`` changes after a cursor.

    "" is the start of the journal, "end" its end. Raises InvalidInput for what is no cursor,
    CursorExpired for one that was trimmed.
    """
    if not 0 < limit <= limits.PAGE_CHANGES_MAX:
        raise InvalidInput(f"limit is a number from 1 to {limits.PAGE_CHANGES_MAX:,}")
    position, index = _parse_cursor(end_cursor(ledger) if since == "end" else since)
    first = max(ledger.first_position, 1)
    is_whole = position == first - 1 and index >= limits.WRITES_PER_FRAME_MAX
    if since and position < first and first > 1 and not is_whole:
        raise CursorExpired(
            f"the journal starts at {first}.0 and no longer reaches back to cursor {since!r}; "
            "read all profiles, then follow from the end"
        )
    if position > ledger.position:
        raise InvalidInput(f"cursor {since!r} lies beyond the end of this replica's journal")
    changes: list[Change] = []
    after = max(position - 1, first - 1)
    while len(changes) < limit:
        records = ledger.records_after(after, _PAGE_BYTES)
        if not records:
            break
        for after, record in records:
            skip = index + 1 if after == position else 0
            changes.extend(_changes_of(after, record, skip, names, log))
            if len(changes) >= limit:
                break
    return changes[:limit]


def end_cursor(ledger: Ledger) -> str:
    """Return the cursor of the present end of the journal: only later changes follow it."""
    return f"{ledger.position}.{limits.WRITES_PER_FRAME_MAX}"


def _parse_cursor(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, -1
    position, dot, index = cursor.partition(".")
    is_plain = position.isascii() and position.isdigit() and index.isascii() and index.isdigit()
    if not dot or not is_plain or len(cursor) > 40:
        raise InvalidInput(f"{cursor[:40]!r} is not a cursor of the change feed")
    return int(position), int(index)


def _changes_of(
    position: int, record: bytes, skip: int, names: Mapping[int, str], log: ConflictLog
) -> Iterator[Change]:
    header = frame_header(record)
    if header is None:
        if record[:2] == SNAPSHOT_MAGIC:
            for index, profile_id in enumerate(read_snapshot_note(record)[1]):
                if index >= skip and not profile_id.startswith(OWN_IDS):
                    yield Change(f"{position}.{index}", profile_id, (), (), 0, "", 0, False)
        return
    frame = Frame(header.origin, header.sequence, header.timestamp, b"", b"", record)
    _, writes = decode_body(frame)
    replica = names.get(header.origin, "")
    for index, (profile_id, epoch, cells) in enumerate(writes):
        if index < skip or profile_id.startswith(OWN_IDS):
            continue
        change = _change(f"{position}.{index}", profile_id, epoch, cells, header, replica)
        if profile_id in log.logged:
            found, settled = log.told_by(profile_id, cells)
            change = replace(change, conflicts=found, settled=settled)
        yield change


def _change(
    cursor: str, profile_id: str, epoch: int, cells: Any, header: Any, replica: str
) -> Change:
    parsed = [parse_key(key) for key in cells]
    timestamps = [cell[0] for cell in cells.values()]
    return Change(
        cursor=cursor,
        id=profile_id,
        fields=tuple(dict.fromkeys(key.field for key in parsed)),
        sources=tuple(dict.fromkeys(key.source for key in parsed)),
        origin=header.origin,
        replica=replica,
        timestamp=max(timestamps, default=header.timestamp),
        erased=epoch & 1 == 1,
        elements=tuple(
            ElementChange(
                key.field, from_cell_value(decode_element(key.element)), cell[0] > cell[1]
            )
            for key, cell in zip(parsed, cells.values(), strict=True)
            if key.letter == SET
        ),
    )
