"""Profile: the golden record that a document and a schema give, and the account of how.

| kind     | value                                                                            |
|----------|----------------------------------------------------------------------------------|
| register | the survivor among the sources; absent if every source cleared its value         |
| counter  | the sum of the parts: exact for integers, correctly rounded if a part is a float |
| set      | a list of its elements in the order of their keys; absent if there are none      |
| consent  | False while a denial stands, else True if anybody granted, else absent           |

A group of registers survives from one source, also where that source is silent about a member.
Its claim is as old as the newest of its values.

Cells of one field may be of several kinds: writers with different schemas made them. The schema
decides; where it does not, the field is left out. ``Profile.conflicts`` tells of either case.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from crdtstore.model.candidates import Candidate, own_survivor
from crdtstore.model.cells import (
    DENIAL,
    KIND_OF_LETTER,
    REGISTER,
    Cell,
    Cells,
    ParsedKey,
    decode_element,
    parse_key,
)
from crdtstore.model.document import Document
from crdtstore.model.survivorship import Claim, newest, standing, survivor
from crdtstore.model.values import CellValue, Value, from_cell_value, pack
from crdtstore.schema import Group, Schema

_Registers: TypeAlias = dict[str, list[Claim]]
"""The claims to each field; those whose value is None were cleared."""

_Entries: TypeAlias = list[tuple[ParsedKey, Cell]]
_Others: TypeAlias = dict[str, dict[str, _Entries]]
"""The cells that are no registers: by field, then by kind."""


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field whose cells are of other kinds than the declared one, or of several undeclared.

    ``kinds`` are those of the cells; ``declared`` is the kind in the schema, by which the field
    was read, or None: then the field was left out of the profile.
    """

    field: str
    kinds: tuple[str, ...]
    declared: str | None


class Profile(Mapping[str, Value]):
    """The surviving value of every field, read-only, in the order of the field names.

    Lists and maps are unpacked anew at every read, so they are the reader's own. A profile equals
    any mapping with the same items.
    """

    __slots__ = ("_conflicts", "_id", "_values", "_version")

    def __init__(
        self,
        profile_id: str,
        version: str,
        values: Mapping[str, CellValue | list[CellValue]],
        conflicts: tuple[FieldConflict, ...] = (),
    ) -> None:
        self._id = profile_id
        self._version = version
        self._values = values
        self._conflicts = conflicts

    @property
    def id(self) -> str:
        """The profile's id."""
        return self._id

    @property
    def version(self) -> str:
        """The version of the document behind it: an opaque token for ``if_version``."""
        return self._version

    @property
    def conflicts(self) -> tuple[FieldConflict, ...]:
        """The fields whose cells are of more than one kind, or not of the declared one."""
        return self._conflicts

    def __getitem__(self, field: str) -> Value:
        value = self._values[field]
        if isinstance(value, list):
            return [*value]
        return from_cell_value(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, field: object) -> bool:
        return field in self._values

    def __repr__(self) -> str:
        conflicts = f", conflicts={self._conflicts!r}" if self._conflicts else ""
        return f"Profile({self._id!r}, {self._version!r}, {dict(self)!r}{conflicts})"


def resolve(profile_id: str, document: Document, schema: Schema) -> Profile:
    """Return the golden record of a document under a schema."""
    registers, others = _gather(document.cells)
    values: dict[str, CellValue | list[CellValue]] = {}
    conflicts: list[FieldConflict] = []
    grouped = _group_survivors(profile_id, registers, schema) if schema.groups else {}
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
        if field in groups:
            claim = grouped.get(field)
        else:
            claim = _survivor_of(profile_id, field, registers.get(field, ()), schema)
        if claim is not None:
            values[field] = claim[3]
    return Profile(profile_id, document.version, values, tuple(conflicts))


def explain(
    profile_id: str,
    document: Document,
    schema: Schema,
    replica_names: Mapping[int, str],
    field: str | None = None,
) -> list[Candidate]:
    """Return every candidate of every field (or of one), by field, survivors and newest first."""
    registers, others = _gather(document.cells)
    candidates: list[tuple[tuple[object, ...], Candidate]] = []
    for name in registers.keys() | others.keys() if field is None else (field,):
        for account in _accounts(profile_id, name, registers, others, schema):
            kind, claim, survives, rule = account
            timestamp, origin, source, value = claim
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
            order = (name, not survives, -timestamp, -origin, source, kind, pack(value))
            candidates.append((order, candidate))
    return [candidate for _, candidate in sorted(candidates, key=lambda pair: pair[0])]


def _gather(cells: Cells) -> tuple[_Registers, _Others]:
    registers: _Registers = {}
    others: _Others = {}
    for key, cell in cells.items():
        parsed = parse_key(key)
        letter, field, source, _, _, _ = parsed
        if letter == REGISTER:
            claim = (cell[0], cell[1], source, cell[2])
            claims = registers.get(field)
            if claims is None:
                registers[field] = [claim]
            else:
                claims.append(claim)
        else:
            kinds = others.setdefault(field, {})
            kinds.setdefault(KIND_OF_LETTER[letter], []).append((parsed, cell))
    return registers, others


def _kind(
    field: str, registers: _Registers, others: _Others, schema: Schema
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


def _survivor_of(
    profile_id: str, field: str, claims: Sequence[Claim], schema: Schema
) -> Claim | None:
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
        return own_survivor(present, declared.policy, profile_id, field)
    return survivor(present, declared.policy)


def _group_claims(group: Group, registers: _Registers) -> list[Claim]:
    """Return what each source claims for a whole group: its values there, None for the missing."""
    by_source: dict[str, dict[str, Claim]] = {}
    for field in group.fields:
        for claim in registers.get(field, ()):
            if claim[3] is not None:
                by_source.setdefault(claim[2], {})[field] = claim
    claims: list[Claim] = []
    for source, members in by_source.items():
        latest = newest(list(members.values()))
        values = [members[field][3] if field in members else None for field in sorted(group.fields)]
        claims.append((latest[0], latest[1], source, values))
    return claims


def _group_survivor(profile_id: str, name: str, group: Group, claims: Sequence[Claim]) -> Claim:
    if group.policy.choose is None:
        return survivor(claims, group.policy)
    return own_survivor(claims, group.policy, profile_id, name, sorted(group.fields))


def _group_survivors(profile_id: str, registers: _Registers, schema: Schema) -> dict[str, Claim]:
    """Return the surviving claim to every field of every group."""
    survivors = {}
    for name, group in schema.groups.items():
        claims = _group_claims(group, registers)
        if claims:
            source = _group_survivor(profile_id, name, group, claims)[2]
            for field in group.fields:
                for claim in registers.get(field, ()):
                    if claim[2] == source and claim[3] is not None:
                        survivors[field] = claim
    return survivors


def _value_of(kind: str, entries: _Entries) -> CellValue | list[CellValue]:
    """Return the value of a counter, set or consent field; None if it has none."""
    if not entries:
        return None
    if kind == "counter":
        return _sum_of([cell[2] for _, cell in entries])
    if kind == "set":
        standing_elements = {parsed.element for parsed, cell in entries if cell[0] > cell[1]}
        return [decode_element(element) for element in sorted(standing_elements)] or None
    if any(parsed.letter == DENIAL and cell[0] > cell[1] for parsed, cell in entries):
        return False
    return True if any(parsed.letter != DENIAL for parsed, _ in entries) else None


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


def _accounts(
    profile_id: str, field: str, registers: _Registers, others: _Others, schema: Schema
) -> Iterator[_Account]:
    """Give an account of every cell of a field, of whatever kind."""
    if field not in registers and field not in others:
        return
    decided, conflict = _kind(field, registers, others, schema)
    accounts = list(_register_accounts(profile_id, field, registers, schema))
    for kind, entries in others.get(field, {}).items():
        accounts.extend(_entry_accounts(kind, entries))
    for kind, claim, survives, rule in accounts:
        if kind == decided or conflict is None:
            yield kind, claim, survives, rule
        elif decided is None:
            yield kind, claim, False, f"kind conflict: {' and '.join(conflict.kinds)}, undeclared"
        else:
            yield kind, claim, False, f"kind conflict: the schema declares a {decided}"


def _register_accounts(
    profile_id: str, field: str, registers: _Registers, schema: Schema
) -> Iterator[_Account]:
    claims = registers.get(field, [])
    policy = schema.policy_of(field)
    group_name = schema.group_of_field.get(field)
    present = [claim for claim in claims if claim[3] is not None]
    compared = {claim[2]: claim for claim in present}
    prefix = ""
    if group_name is not None:
        group_claims = _group_claims(schema.groups[group_name], registers)
        compared = {claim[2]: claim for claim in group_claims}
        prefix = f"group {group_name}: "
    everyone = list(compared.values())
    chosen: Claim | None = None
    if everyone and group_name is not None:
        chosen = _group_survivor(profile_id, group_name, schema.groups[group_name], everyone)
    elif everyone:
        chosen = _survivor_of(profile_id, field, everyone, schema)
    for claim in claims:
        if claim[3] is None:
            yield "register", claim, False, "cleared: the source withdrew its value"
        else:
            mine = compared[claim[2]]
            yield "register", claim, mine is chosen, prefix + standing(mine, everyone, policy)


def _entry_accounts(kind: str, entries: _Entries) -> Iterator[_Account]:
    denied = kind == "consent" and _value_of(kind, entries) is False
    for parsed, cell in entries:
        if kind == "counter":
            yield kind, (cell[0], cell[1], parsed.source, cell[2]), True, _COUNTER_RULE
        elif kind == "set":
            claim = (max(cell), parsed.origin, parsed.source, decode_element(parsed.element))
            stands = cell[0] > cell[1]
            yield kind, claim, stands, "added" if stands else "removed"
        elif parsed.letter == DENIAL:
            stands = cell[0] > cell[1]
            rule = (
                "denied: a revocation that no grant has seen stands"
                if stands
                else "lifted: a grant has seen this revocation"
            )
            yield kind, (max(cell), parsed.origin, parsed.source, False), stands, rule
        else:
            rule = "overruled: a revocation stands" if denied else "granted: no revocation stands"
            yield kind, (cell[0], cell[1], parsed.source, True), not denied, rule
