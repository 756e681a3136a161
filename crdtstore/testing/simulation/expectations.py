"""Expectations: what a profile must show at a replica, given the history of what was written.

Each function compares what ``explain`` and ``read`` say of one field with the writes to it. A
write that must stand is there, or it lost by the rule that is named here; a write that may stand
(every disk that held it was lost) is there or not; and nothing else is there.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from crdtstore.errors import ProfileErased, ProfileNotFound
from crdtstore.model.candidates import Candidate
from crdtstore.schema import Schema
from crdtstore.store import Store
from crdtstore.testing.simulation.history import MUST, Entry, History, Slot
from crdtstore.testing.simulation.survivors import Said, group_survivor, survivor_of
from crdtstore.testing.simulation.texts import complaint_about


class Broken(AssertionError):
    """A promise was broken."""


def check_profile(store: Store, profile: str, history: History) -> None:
    """Check one profile at one replica against all writes; raises Broken."""
    entries = history.standing(profile)
    epoch = _checked_epoch(store, profile, entries)
    present = [entry for entry in entries if entry.epoch == epoch]
    try:
        record: dict[str, Any] = dict(store.read(profile))
        explained = store.explain(profile)
    except ProfileErased:
        _expect(epoch % 2 == 1, f"{profile} is erased, but its last epoch is {epoch}")
        return
    except ProfileNotFound:
        must = [entry for entry in present if entry.fate == MUST]
        _expect(not must and epoch == 0, f"{profile} is gone, with {len(must)} writes")
        return
    _expect(epoch % 2 == 0, f"{profile} is alive in the erased epoch {epoch}")
    by_field: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in explained:
        by_field[candidate.field].append(candidate)
    written: dict[str, list[Entry]] = defaultdict(list)
    for entry in present:
        if entry.field:
            written[entry.field].append(entry)
    machines = {entry.origin: entry.ticket.machine for entry in history.entries}
    for candidate in explained:
        known = machines.get(candidate.origin)
        _expect(
            known is not None and candidate.replica in (known, ""),
            f"{profile}.{candidate.field} comes from {candidate.replica}, not {known}",
        )
    registers: dict[str, list[Candidate]] = {}
    for name in by_field.keys() | written.keys():
        kind = store.schema.kind_of(name) or "register"
        where = f"{profile}.{name}"
        candidates, entries_there = by_field[name], written[name]
        if kind == "register":
            registers[name] = candidates
            check_register(where, candidates, entries_there)
        elif kind == "counter":
            check_counter(where, candidates, entries_there, record.get(name))
        elif kind == "set":
            check_set(where, candidates, entries_there, record.get(name))
        elif kind in ("text", "list"):
            complaint = complaint_about(kind, record.get(name, ()), entries_there)
            _expect(complaint is None, f"{where}: {complaint}")
        else:
            check_consent(where, candidates, entries_there, record.get(name))
    check_survivors(profile, registers, record, store.schema)


def _checked_epoch(store: Store, profile: str, entries: Sequence[Entry]) -> int:
    """Erased stays erased: the last epoch that was answered stands, or a later one that may."""
    epoch = store.documents.get(profile).epoch
    least = max((entry.epoch for entry in entries if entry.fate == MUST), default=0)
    known = {entry.epoch for entry in entries} | {0}
    _expect(
        epoch >= least and epoch in known,
        f"{profile} is in epoch {epoch}; answered was {least}, written {sorted(known)}",
    )
    return epoch


# --- registers -----------------------------------------------------------------------------------


def check_register(where: str, candidates: Sequence[Candidate], entries: Sequence[Entry]) -> None:
    """Of each source the newest write stands, by (timestamp, origin)."""
    found = {candidate.source: candidate for candidate in candidates}
    _expect(len(found) == len(candidates), f"{where} has two candidates of one source")
    by_source: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_source[entry.source].append(entry)
    for source in found.keys() | by_source.keys():
        writes = by_source[source]
        must = max((_time(entry) for entry in writes if entry.fate == MUST), default=(0, 0))
        candidate = found.get(source)
        if candidate is None:
            _expect(must == (0, 0), f"{where}: what {source} wrote is gone: {_last(writes)}")
            continue
        time = (candidate.timestamp, candidate.origin)
        match = [entry for entry in writes if _time(entry) == time]
        _expect(
            time >= must and bool(match),
            f"{where}: {source} has {candidate.value!r:.60} of {time}; "
            f"the last that was answered is {_last(writes)}",
        )
        _expect(
            candidate.value == match[0].value,
            f"{where}: {source} has {candidate.value!r:.60}, not {match[0].value!r:.60}",
        )


def check_survivors(
    profile: str, registers: dict[str, list[Candidate]], record: dict[str, Any], schema: Schema
) -> None:
    """The value that ``read`` gives survives by the stated policy, and ``explain`` says so."""
    said = {
        name: {c.source: Said(c.timestamp, c.origin, c.source, c.value) for c in candidates
               if c.value is not None}
        for name, candidates in registers.items()
    }  # fmt: skip
    expected: dict[str, Said] = {}
    for name, by_source in said.items():
        if by_source and name not in schema.group_of_field:
            expected[name] = survivor_of(list(by_source.values()), schema.policy_of(name))
    for group in schema.groups.values():
        sources: dict[str, dict[str, Said]] = defaultdict(dict)
        for name in group.fields:
            for source, one in said.get(name, {}).items():
                sources[source][name] = one
        if sources:
            chosen = group_survivor(sources, list(group.fields), group.policy)
            expected.update(sources[chosen])
    for name, candidates in registers.items():
        survivor = expected.get(name)
        value = None if survivor is None else survivor.value
        _expect(
            record.get(name) == value,
            f"{profile}.{name} reads {record.get(name)!r:.60}; by its policy it is {value!r:.60}",
        )
        surviving = [candidate.source for candidate in candidates if candidate.survives]
        _expect(
            surviving == ([] if survivor is None else [survivor.source]),
            f"{profile}.{name}: explain says that {surviving} survive, not {survivor}",
        )


# --- counters ------------------------------------------------------------------------------------


def check_counter(
    where: str, candidates: Sequence[Candidate], entries: Sequence[Entry], value: Any
) -> None:
    """Every part is the sum of what was answered there, in order, and the value their sum."""
    found: dict[tuple[str, int], Any] = {(c.source, c.origin): c.value for c in candidates}
    parts: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        parts[entry.source, entry.origin].append(entry)
    for part in found.keys() | parts.keys():
        total, allowed = 0, [0]
        for entry in parts[part]:
            total += entry.value
            if entry.fate == MUST:
                allowed = []
            allowed.append(total)
        _expect(
            found.get(part, 0) in allowed,
            f"{where}: the part of {part[0]} at {part[1]:016x} is {found.get(part)}, not "
            f"{allowed[-5:]}: {_last(parts[part])}",
        )
    total = sum(found.values())
    _expect((value or 0) == total, f"{where} reads {value}; its parts sum up to {total}")


# --- sets and consents ---------------------------------------------------------------------------


def check_set(
    where: str, candidates: Sequence[Candidate], entries: Sequence[Entry], value: Any
) -> None:
    """Add wins: an element is in, unless each addition was seen by a removal."""
    found = {(c.source, c.origin, c.value): c.survives for c in candidates}
    standing = _checked_claims(where, found, entries, "add", "remove")
    elements = {slot[2] for slot in standing}
    _expect(
        set(value or []) == elements and len(value or []) == len(elements),
        f"{where} reads {value}; {sorted(map(str, elements))} stand",
    )


def check_consent(
    where: str, candidates: Sequence[Candidate], entries: Sequence[Entry], value: Any
) -> None:
    """Deny wins: consent is denied, unless each denial was seen by a grant."""
    found = {(c.source, c.origin, None): c.survives for c in candidates if c.value is False}
    standing = _checked_claims(where, found, entries, "deny", "grant")
    granted = any(candidate.value is True for candidate in candidates)
    _expect(
        granted or not any(entry.what == "grant" and entry.fate == MUST for entry in entries),
        f"{where}: a grant is gone",
    )
    expected = False if standing else (True if granted else None)
    _expect(value is expected, f"{where} reads {value}, not {expected}")


def _checked_claims(
    where: str, found: dict[Slot, bool], entries: Sequence[Entry], claim: str, withdrawal: str
) -> set[Slot]:
    """Check that each slot stands or not as it must; return those that stand."""
    claims: dict[Slot, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.what == claim:
            claims[entry.source, entry.origin, entry.value].append(entry)
    withdrawals = [entry for entry in entries if entry.what == withdrawal]
    for slot in found.keys() | claims.keys():
        added = _possible((entry.timestamp, entry.fate) for entry in claims[slot])
        removed = _possible(
            (entry.seen[slot], entry.fate) for entry in withdrawals if slot in entry.seen
        )
        allowed = {a > r for a in added for r in removed}
        stands = found.get(slot)
        _expect(
            (stands or False) in allowed and (stands is not None or 0 in added),
            f"{where}: {slot[2]!r} of {slot[0]} at {slot[1]:016x} "
            f"{'stands' if stands else 'does not stand'}; claimed {_last(claims[slot])}",
        )
    return {slot for slot, stands in found.items() if stands}


def _possible(times: Iterable[tuple[int, str]]) -> set[int]:
    """Return what the newest of some times may be: the last that must be, or one that may."""
    listed = list(times)
    least = max((time for time, fate in listed if fate == MUST), default=0)
    return {least} | {time for time, _ in listed if time > least}


# --- saying it -----------------------------------------------------------------------------------


def _time(entry: Entry) -> tuple[int, int]:
    return entry.timestamp, entry.origin


def _last(entries: Sequence[Entry]) -> str:
    return " | ".join(str(entry) for entry in entries[-4:]) or "nothing"


def _expect(is_so: bool, complaint: str) -> None:
    if not is_so:
        raise Broken(complaint)
