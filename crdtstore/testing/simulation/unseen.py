"""What was written without having been seen: a journal against the conflict log beside it.

The causes of every frame are added up anew, by sequences, with no code of the store's. Whatever
came to a replica, its log has no pair of which the later author had seen the earlier. If all came
as frames that are still there, it has every value that lost unseen, and no other, open.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from crdtstore import limits
from crdtstore.engine.conflicts import Conflict
from crdtstore.engine.ledger import frame_header
from crdtstore.store import Store
from crdtstore.sync.frame import Frame, decode_body
from crdtstore.sync.vector import Vector
from crdtstore.testing.simulation.history import Broken

_WHOLE: Final = 1 << 40
_SEPARATOR: Final = "\x1f"

Slot = tuple[str, str]
Stamp = tuple[int, int]


@dataclass(slots=True)
class _Written:
    """One write of a register: where it stands, what it said, and what its frame had seen."""

    sequence: int
    epoch: int
    value: Any
    seen: Vector


@dataclass(slots=True)
class _Journal:
    """All writes of registers in a journal, by slot; ``is_whole`` if nothing came without it."""

    writes: dict[Slot, dict[Stamp, _Written]] = field(default_factory=dict)
    is_whole: bool = True


def check_conflict_log(name: str, store: Store) -> bool:
    """Check the conflict log of a replica; return whether all of it could be. Raises Broken."""
    journal = _read(store)
    found = [*_listed(store)]
    for conflict in found:
        _check_pair(name, conflict, journal)
    log = store.conflict_log
    is_whole = journal.is_whole and len(log) < limits.CONFLICTS_MAX
    undecided = log.counters["conflicts_evicted"] + log.counters["conflicts_undecided"]
    if not is_whole or log.causes.exact_since or undecided:
        return False
    opened: dict[Slot, set[Stamp]] = {}
    for conflict in found:
        if conflict.settled is None:
            opened.setdefault(_slot(conflict), set()).add(_stamps(conflict)[0])
    for slot in journal.writes.keys() | opened.keys():
        _check_slot(name, store, slot, journal.writes.get(slot, {}), opened.get(slot, set()))
    return True


def _listed(store: Store) -> list[Conflict]:
    found: list[Conflict] = []
    while page := store.conflicts.present(state="all", after=found[-1].cursor if found else ""):
        found += page
    return found


def _read(store: Store) -> _Journal:
    journal = _Journal()
    journal.is_whole = not (
        store.storage.meta("trimmed") or store.ledger.resting.digest or store.documents.damaged
    )
    seen: dict[int, Vector] = {}
    for _, record in store.storage.journal(0, limit=_WHOLE, bytes_max=_WHOLE):
        header = frame_header(record)
        if header is None:
            journal.is_whole = False
            continue
        frame = Frame(header.origin, header.sequence, header.timestamp, b"", b"", record)
        dependencies, writes = decode_body(frame)
        vector = seen[header.origin] = {**seen.get(header.origin, {}), **dependencies}
        for profile_id, epoch, cells in writes:
            for key, cell in cells.items():
                if key[0] == "r":
                    written = _Written(header.sequence, epoch, cell[2], vector)
                    slot = journal.writes.setdefault((profile_id, key[1:]), {})
                    slot[cell[0], cell[1]] = written
    return journal


def _slot(conflict: Conflict) -> Slot:
    return conflict.profile_id, f"{conflict.field}{_SEPARATOR}{conflict.source}"


def _stamps(conflict: Conflict) -> tuple[Stamp, Stamp]:
    lost, kept = conflict.lost_write, conflict.kept_write
    return (lost.timestamp, lost.origin), (kept.timestamp, kept.origin)


def _saw(one: Stamp, written: _Written, other: Stamp, before: _Written) -> bool:
    """Say whether the author of one write had seen another write."""
    if one <= other:
        return False
    return one[1] == other[1] or written.seen.get(other[1], 0) >= before.sequence


def _check_pair(name: str, conflict: Conflict, journal: _Journal) -> None:
    writes = journal.writes.get(_slot(conflict), {})
    lost, kept = _stamps(conflict)
    if lost >= kept or lost[1] == kept[1]:
        raise Broken(f"{name} logged {conflict} the wrong way round")
    if lost in writes and kept in writes and _saw(kept, writes[kept], lost, writes[lost]):
        raise Broken(f"{name} logged {conflict}, and the later author had seen the earlier")


def _check_slot(
    name: str, store: Store, slot: Slot, writes: dict[Stamp, _Written], opened: set[Stamp]
) -> None:
    document = store.documents.get(slot[0])
    alive = {stamp: written for stamp, written in writes.items() if written.epoch == document.epoch}
    siblings = {
        stamp
        for stamp, written in alive.items()
        if not any(_saw(other, alive[other], stamp, written) for other in alive)
    }
    survivor = max(siblings, default=None)
    values = {
        stamp: [type(w.value) is type(written.value) and w.value == written.value
                for other, w in alive.items() if other != stamp]
        for stamp, written in alive.items()
    }  # fmt: skip
    lost = siblings - {survivor}
    said_once = {stamp for stamp in lost if not any(values[stamp])}
    if not said_once <= opened <= lost:
        raise Broken(f"{name}: of {slot} {sorted(lost)} lost unseen, and {sorted(opened)} is open")
