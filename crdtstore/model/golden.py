"""The golden record that documents and a schema give, and the account of how.

| kind     | value                                                                            |
|----------|----------------------------------------------------------------------------------|
| register | the survivor among the sources; absent if every source cleared its value         |
| counter  | the sum of the parts: exact for integers, correctly rounded if a part is a float |
| trait    | what the partials of the newest version of its definition come to                |
| set      | a list of its elements in the order of their keys; absent if there are none      |
| consent  | False while a denial stands, else True if anybody granted, else absent           |
| text     | the text as a string                                                             |
| list     | the items                                                                        |

A group of registers survives from one source, also where that source is silent about a member.
Its claim is as old as the newest of its values.

The documents of one person are resolved together: the candidates of all of them compete, counters
add up, sets unite, and a denial in one of them denies. A group survives from one source of one
profile. Texts and lists of several profiles cannot be merged: the one that was edited last is read.

A steward's decisions go before policies: a candidate that was ignored counts as cleared, for as
long as it says the same, and a value that was pinned survives, the newest one if there are several.

Cells of one field may be of several kinds: writers with different schemas made them. The schema
decides; where it does not, the field is left out. ``Profile.conflicts`` tells of either case.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias

from crdtstore.identity_rules import PIN_PREFIX
from crdtstore.model.candidates import Candidate, own_survivor
from crdtstore.model.cells import DENIAL, decode_element
from crdtstore.model.document import Document
from crdtstore.model.gathering import (
    Decisions,
    Documents,
    Entries,
    Entry,
    Others,
    Registers,
    decisions_of,
    gather,
)
from crdtstore.model.profile import FieldConflict, Profile, TextPlace, TextReader
from crdtstore.model.survivorship import Claim, newest, standing, survivor
from crdtstore.model.traits import COUNTED, counting, partial_of, value_of
from crdtstore.model.update_contents import LIST, TEXT
from crdtstore.model.values import CellValue, from_cell_value, pack
from crdtstore.schema import Group, Schema


def resolve(
    profile_id: str, document: Document, schema: Schema, texts: TextReader | None = None
) -> Profile:
    """Return the golden record of a document under a schema."""
    documents = [(profile_id, document.cells)]
    return resolve_all(profile_id, document.version, documents, schema, texts)


def resolve_all(
    record_id: str,
    version: str,
    documents: Documents,
    schema: Schema,
    texts: TextReader | None = None,
) -> Profile:
    """Return the one golden record of several profiles' documents, in the order of their ids.

    ``texts`` reads their collaborative fields, when these are asked for.
    """
    registers, others = gather(documents)
    decisions = decisions_of(registers, others)
    if decisions is not None:
        registers, others = decisions.applied(registers, others)
    values: dict[str, CellValue | list[CellValue]] = {}
    conflicts: list[FieldConflict] = []
    grouped = _group_survivors(registers, schema) if schema.groups else {}
    declared_fields, groups = schema.fields, schema.group_of_field
    for field in sorted(registers.keys() | others.keys() if others else registers):
        if field in groups or field in declared_fields or field in others:
            kind, conflict = _kind(field, registers, others, schema)
            if conflict is not None:
                conflicts.append(conflict)
        else:
            kind = "register"
        if kind != "register":
            if kind is not None:
                value = _value_of(kind, others.get(field, {}).get(kind, []))
                if value is not None:
                    values[field] = value
            continue
        if decisions is not None and field in decisions.pins:
            claim: Claim | None = decisions.pins[field]
        elif field in groups:
            claim = grouped.get(field)
        else:
            claim = _survivor_of(field, registers.get(field, ()), schema)
        if claim is not None:
            values[field] = claim[3]
    return Profile(record_id, version, values, tuple(conflicts), texts)


def explain(
    profile_id: str,
    document: Document,
    schema: Schema,
    replica_names: Mapping[int, str],
    field: str | None = None,
) -> list[Candidate]:
    """Return every candidate of every field (or of one), by field, survivors and newest first."""
    return explain_all([(profile_id, document.cells)], schema, replica_names, field)


def explain_all(
    documents: Documents,
    schema: Schema,
    replica_names: Mapping[int, str],
    field: str | None = None,
) -> list[Candidate]:
    """Return the candidates of several profiles' documents, each with its profile."""
    found, others = gather(documents)
    decisions = decisions_of(found, others) or Decisions({}, set())
    registers = {**{name: [] for name in decisions.pins if name not in others}, **found}
    gathered = _Gathered(registers, others, decisions.applied(registers, others)[0], decisions)
    candidates: list[tuple[tuple[object, ...], Candidate]] = []
    for name in registers.keys() | others.keys() if field is None else (field,):
        if name.startswith(PIN_PREFIX):
            continue
        for kind, claim, survives, rule in _accounts(name, gathered, schema):
            timestamp, origin, source, value, profile_id = claim
            candidate = Candidate(
                field=name,
                kind=kind,
                source=source,
                value=from_cell_value(value),
                timestamp=timestamp,
                origin=origin,
                replica=replica_names.get(origin, ""),
                survives=survives,
                rule=rule,
                profile_id=profile_id,
            )
            order = (name, not survives, -timestamp, -origin, source, kind, pack(value), profile_id)
            candidates.append((order, candidate))
    return [candidate for _, candidate in sorted(candidates, key=lambda pair: pair[0])]


def _kind(
    field: str, registers: Registers, others: Others, schema: Schema
) -> tuple[str | None, FieldConflict | None]:
    """Return the kind by which to read a field, None if undecided, and the conflict if any."""
    declared = schema.kind_of(field)
    if field not in others:
        kinds = ["register"]
    else:
        kinds = sorted([*others[field], *(["register"] if field in registers else [])])
    if len(kinds) == 1 and declared in (None, kinds[0]):
        return kinds[0], None
    return declared, FieldConflict(field, tuple(kinds), declared)


def _survivor_of(field: str, claims: Sequence[Claim], schema: Schema) -> Claim | None:
    """Return the surviving claim to a register that is in no group; None if all were cleared."""
    if len(claims) == 1:
        return None if claims[0][3] is None else claims[0]
    present = [claim for claim in claims if claim[3] is not None]
    if not present:
        return None
    declared = schema.fields.get(field)
    if declared is None or declared.policy is None:
        return newest(present)
    if declared.policy.choose is not None:
        return own_survivor(present, declared.policy, field)
    return survivor(present, declared.policy)


def _group_claims(group: Group, registers: Registers) -> list[Claim]:
    """Return what each source claims for a whole group: its values there, None for the missing."""
    by_source: dict[tuple[str, str], dict[str, Claim]] = {}
    for field in group.fields:
        for claim in registers.get(field, ()):
            if claim[3] is not None:
                by_source.setdefault(_whose(claim), {})[field] = claim
    claims: list[Claim] = []
    for (source, profile_id), members in by_source.items():
        latest = newest(list(members.values()))
        values = [members[field][3] if field in members else None for field in sorted(group.fields)]
        claims.append((latest[0], latest[1], source, values, profile_id))
    return claims


def _whose(claim: Claim) -> tuple[str, str]:
    """Return source and profile of a claim: of each register they have one."""
    return claim[2], claim[4]


def _group_survivor(name: str, group: Group, claims: Sequence[Claim]) -> Claim:
    if group.policy.choose is None:
        return survivor(claims, group.policy)
    return own_survivor(claims, group.policy, name, sorted(group.fields))


def _group_survivors(registers: Registers, schema: Schema) -> dict[str, Claim]:
    """Return the surviving claim to every field of every group."""
    survivors = {}
    for name, group in schema.groups.items():
        claims = _group_claims(group, registers)
        if claims:
            chosen = _whose(_group_survivor(name, group, claims))
            for field in group.fields:
                for claim in registers.get(field, ()):
                    if _whose(claim) == chosen and claim[3] is not None:
                        survivors[field] = claim
    return survivors


def _value_of(kind: str, entries: Entries) -> CellValue | list[CellValue]:
    """Return the value of a field that is no register; None if it has none."""
    if not entries:
        return None
    if kind in (TEXT, LIST):
        parsed, _, profile_id = _latest(entries)
        return TextPlace(profile_id, parsed.letter + parsed.field)
    if kind == "counter":
        return _sum_of([cell[2] for _, cell, _ in entries])
    if kind == "trait":
        return value_of(cell[2] for _, cell, _ in entries)
    if kind == "set":
        standing_elements = {parsed.element for parsed, cell, _ in entries if cell[0] > cell[1]}
        return [decode_element(element) for element in sorted(standing_elements)] or None
    if any(parsed.letter == DENIAL and cell[0] > cell[1] for parsed, cell, _ in entries):
        return False
    return True if any(parsed.letter != DENIAL for parsed, _, _ in entries) else None


def _latest(entries: Entries) -> Entry:
    """Return the trail of the newest edit: of several profiles' texts, that one is read."""
    return max(entries, key=lambda entry: (entry[1][:2], entry[0].source, entry[2]))


def _sum_of(parts: list[int | float]) -> int | float:
    """Return the sum of a counter's parts, the same in every order of them.

    Integers add up exactly, beyond 64 bits too. A sum of floats that is beyond their range is the
    greatest (or least) float.
    """
    if all(type(part) is int for part in parts):
        return sum(parts)
    try:
        return math.fsum(parts)
    except OverflowError:
        exact = sum(Fraction(float(part)) for part in parts)
        bound = sys.float_info.max
        return float(max(Fraction(-bound), min(exact, Fraction(bound))))


_Account: TypeAlias = tuple[str, Claim, bool, str]
"""(kind, claim, whether it survives, rule)."""

_COUNTER_RULE: Final = "counter: a part of the sum"


class _Gathered(NamedTuple):
    """All cells by field, the registers that policies see, and what stewards decided."""

    registers: Registers
    others: Others
    visible: Registers
    decisions: Decisions


def _accounts(field: str, gathered: _Gathered, schema: Schema) -> Iterator[_Account]:
    """Give an account of every cell of a field, of whatever kind."""
    registers, others, _, _ = gathered
    if field not in registers and field not in others:
        return
    decided, conflict = _kind(field, registers, others, schema)
    accounts = list(_register_accounts(field, gathered, schema))
    for kind, entries in others.get(field, {}).items():
        accounts.extend(_entry_accounts(kind, entries))
    for kind, claim, survives, rule in accounts:
        if kind == decided or conflict is None:
            yield kind, claim, survives, rule
        elif decided is None:
            yield kind, claim, False, f"kind conflict: {' and '.join(conflict.kinds)}, undeclared"
        else:
            yield kind, claim, False, f"kind conflict: the schema declares a {decided}"


def _register_accounts(field: str, gathered: _Gathered, schema: Schema) -> Iterator[_Account]:
    registers, _, visible, decisions = gathered
    claims = registers.get(field, [])
    policy = schema.policy_of(field)
    group_name = schema.group_of_field.get(field)
    compared = {_whose(claim): claim for claim in visible.get(field, ()) if claim[3] is not None}
    prefix = ""
    if group_name is not None:
        group_claims = _group_claims(schema.groups[group_name], visible)
        compared = {_whose(claim): claim for claim in group_claims}
        prefix = f"group {group_name}: "
    everyone = list(compared.values())
    chosen: Claim | None = None
    if everyone and group_name is not None:
        chosen = _group_survivor(group_name, schema.groups[group_name], everyone)
    elif everyone:
        chosen = _survivor_of(field, everyone, schema)
    pin = decisions.pins.get(field)
    if pin is not None:
        yield "register", pin, True, "pinned: a steward chose this value"
    for claim in claims:
        if claim[3] is None:
            yield "register", claim, False, "cleared: the source withdrew its value"
        elif decisions.is_ignored(field, claim):
            yield "register", claim, False, "ignored: a steward left this value out"
        else:
            mine = compared[_whose(claim)]
            rule = prefix + standing(mine, everyone, policy)
            if pin is None:
                yield "register", claim, mine is chosen, rule
            else:
                yield "register", claim, False, f"{rule}; another value is pinned"


def _entry_accounts(kind: str, entries: Entries) -> Iterator[_Account]:
    denied = kind == "consent" and _value_of(kind, entries) is False
    read = _latest(entries)[2] if kind in (TEXT, LIST) else ""
    definition = counting([cell[2] for _, cell, _ in entries]) if kind == "trait" else None
    for parsed, cell, profile_id in entries:
        if kind == "counter":
            claim: Claim = (cell[0], cell[1], parsed.source, cell[2], profile_id)
            yield kind, claim, True, _COUNTER_RULE
        elif kind == "trait":
            claim = (cell[0], cell[1], parsed.source, cell[2], profile_id)
            counts = partial_of(cell[2]).definition == definition
            rule = COUNTED if counts else "outdated: another version of this trait counts"
            yield kind, claim, counts, rule
        elif kind in (TEXT, LIST):
            claim = (cell[0], cell[1], parsed.source, cell[2], profile_id)
            yield kind, claim, profile_id == read, f"{kind}: {cell[2]:,} edits, the newest then"
        elif kind == "set":
            element = decode_element(parsed.element)
            claim = (max(cell), parsed.origin, parsed.source, element, profile_id)
            stands = cell[0] > cell[1]
            yield kind, claim, stands, "added" if stands else "removed"
        elif parsed.letter == DENIAL:
            stands = cell[0] > cell[1]
            rule = (
                "denied: a revocation that no grant has seen stands"
                if stands
                else "lifted: a grant has seen this revocation"
            )
            claim = (max(cell), parsed.origin, parsed.source, False, profile_id)
            yield kind, claim, stands, rule
        else:
            rule = "overruled: a revocation stands" if denied else "granted: no revocation stands"
            claim = (cell[0], cell[1], parsed.source, True, profile_id)
            yield kind, claim, not denied, rule
