"""Expectations: what a profile must show at a replica, given the history of what was written.

Each function compares what ``explain`` and ``read`` say of one field with the writes to it. A
write that must stand is there, or it lost by the rule that is named here; a write that may stand
(every disk that held it was lost) is there or not; and nothing else is there.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from crdtstore.engine.persons import STEWARD
from crdtstore.errors import ProfileErased, ProfileNotFound
from crdtstore.identity_rules import IGNORED, PIN_PREFIX, RESERVED_PREFIX
from crdtstore.model.candidates import Candidate
from crdtstore.schema import Schema
from crdtstore.store import Store
from crdtstore.testing.simulation.history import MUST, Broken, Entry, History, Slot
from crdtstore.testing.simulation.stewards import pins_of
from crdtstore.testing.simulation.survivors import Said, group_survivor, survivor_of
from crdtstore.testing.simulation.texts import complaint_about
from crdtstore.testing.simulation.traits import check_trait

PINNED: Final = "pinned: "
LEFT_OUT: Final = "ignored: "
"""How the rules begin by which ``explain`` tells of what stewards decided."""


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
        if not candidate.rule.startswith(PINNED):
            by_field[candidate.field].append(candidate)
    pins = check_pins(store, profile, present, explained)
    written: dict[str, list[Entry]] = defaultdict(list)
    for entry in present:
        if entry.field and not entry.field.startswith(PIN_PREFIX):
            written[entry.field].append(entry)
    machines = {entry.origin: entry.ticket.machine for entry in history.entries}
    for candidate in explained:
        known = machines.get(candidate.origin)
        _expect(
            known is not None and candidate.replica in (known, ""),
            f"{profile}.{candidate.field} comes from {candidate.replica}, not {known}",
        )
    registers: dict[str, list[Candidate]] = {}
    ignored: set[tuple[str, str, Any]] = set()
    for name in by_field.keys() | written.keys():
        kind = store.schema.kind_of(name) or "register"
        where = f"{profile}.{name}"
        candidates, entries_there = by_field[name], written[name]
        if kind == "register":
            registers[name] = candidates
            check_register(where, candidates, entries_there)
        elif name.startswith(RESERVED_PREFIX):
            standing = check_hidden_set(where, candidates, entries_there, record.get(name))
            if name == IGNORED:
                ignored = {history.ignored[element] for element in standing}
        elif kind == "counter":
            check_counter(where, candidates, entries_there, record.get(name))
        elif kind == "trait":
            check_trait(where, candidates, entries_there, record.get(name))
        elif kind == "set":
            check_set(where, candidates, entries_there, record.get(name))
        elif kind in ("text", "list"):
            complaint = complaint_about(kind, record.get(name, ()), entries_there)
            _expect(complaint is None, f"{where}: {complaint}")
        else:
            check_consent(where, candidates, entries_there, record.get(name))
    check_ignored(profile, registers, ignored)
    check_survivors(profile, registers, record, store.schema, pins)


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


def check_register(
    where: str, candidates: Sequence[Candidate | Said], entries: Sequence[Entry]
) -> None:
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
    profile: str,
    registers: dict[str, list[Candidate]],
    record: dict[str, Any],
    schema: Schema,
    pins: dict[str, Any],
) -> None:
    """The value that ``read`` gives is pinned or survives by its policy; ``explain`` says so."""
    said = {
        name: {c.source: Said(c.timestamp, c.origin, c.source, c.value) for c in candidates
               if c.value is not None and not c.rule.startswith(LEFT_OUT)}
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
        if name in pins:
            survivor = None
        value = pins.get(name, None if survivor is None else survivor.value)
        _expect(
            record.get(name) == value,
            f"{profile}.{name} reads {record.get(name)!r:.60}; by its policy it is {value!r:.60}",
        )
        surviving = [candidate.source for candidate in candidates if candidate.survives]
        _expect(
            surviving == ([] if survivor is None else [survivor.source]),
            f"{profile}.{name}: explain says that {surviving} survive, not {survivor}",
        )


# --- what stewards decided -----------------------------------------------------------------------


def check_pins(
    store: Store, profile: str, entries: Sequence[Entry], explained: Sequence[Candidate]
) -> dict[str, Any]:
    """The newest pin of each field stands, and is told; return the values that are pinned."""
    cells = pins_of(store, profile)
    written: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.field.startswith(PIN_PREFIX):
            written[entry.field.removeprefix(PIN_PREFIX)].append(entry)
    for name in cells.keys() | written.keys():
        said = []
        if name in cells:
            timestamp, origin, value = cells[name]
            said.append(Said(timestamp, origin, STEWARD, value))
        check_register(f"{profile}.{PIN_PREFIX}{name}", said, written[name])
    pins = {name: cell[2] for name, cell in cells.items() if cell[2] is not None}
    told = {c.field: c.value for c in explained if c.rule.startswith(PINNED) and c.survives}
    _expect(told == pins, f"{profile}: {pins} are pinned, and explain tells of {told}")
    return pins


def check_hidden_set(
    where: str, candidates: Sequence[Candidate], entries: Sequence[Entry], value: Any
) -> set[Any]:
    """A field of stewards is a set that golden records do not show; return what stands in it."""
    _expect(value is None, f"{where} is shown: {value}")
    found = {(c.source, c.origin, c.value): c.survives for c in candidates}
    return {slot[2] for slot in _checked_claims(where, found, entries, "add", "remove")}


def check_ignored(
    profile: str, registers: dict[str, list[Candidate]], ignored: set[tuple[str, str, Any]]
) -> None:
    """What a steward left out, and still says the same, is told as left out; nothing else is."""
    for name, candidates in registers.items():
        for candidate in candidates:
            is_left_out = any(
                (name, candidate.source) == (field, source)
                and type(candidate.value) is type(value)
                and candidate.value == value
                for field, source, value in ignored
            )
            _expect(
                candidate.rule.startswith(LEFT_OUT) == is_left_out,
                f"{profile}.{name} of {candidate.source} is told as {candidate.rule!r}, and is "
                f"{'' if is_left_out else 'not '}left out",
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
