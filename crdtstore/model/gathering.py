"""Gathering: the cells of one or more documents by field, and what stewards decided about them."""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

from crdtstore.identity_rules import IGNORED, PIN_PREFIX, RESERVED_PREFIX
from crdtstore.model.cells import (
    KIND_OF_LETTER,
    REGISTER,
    SEPARATOR,
    Cell,
    Cells,
    ParsedKey,
    decode_element,
    parse_key,
)
from crdtstore.model.survivorship import Claim, newest
from crdtstore.model.values import CellValue, pack

Registers: TypeAlias = dict[str, list[Claim]]
"""The claims to each field; those whose value is None were cleared."""

Entry: TypeAlias = tuple[ParsedKey, Cell, str]
Entries: TypeAlias = list[Entry]
Others: TypeAlias = dict[str, dict[str, Entries]]
"""The cells that are no registers, with their profile: by field, then by kind."""

Documents: TypeAlias = Sequence[tuple[str, Cells]]
"""Profile ids and cells, in the order of the ids."""


def ignored_element(field: str, source: str, value: CellValue) -> str:
    """Return the element by which a candidate of a profile is ignored, as long as it says this."""
    digest = hashlib.blake2b(pack(value), digest_size=16, person=b"crdtstore.ignore")
    return SEPARATOR.join((field, source, digest.hexdigest()))


def ignored_elements(cells: Cells, field: str, source: str) -> tuple[str, ...]:
    """Return the elements by which candidates of a source for a field are ignored, in order."""
    beginning = SEPARATOR.join((field, source, ""))
    elements = {
        str(decode_element(parsed.element))
        for parsed in map(parse_key, cells)
        if parsed.field == IGNORED and parsed.letter == "s"
    }
    return tuple(sorted(each for each in elements if each.startswith(beginning)))


class Decisions:
    """What stewards decided: the pinned claim of a field, and (profile id, ignored element)."""

    def __init__(self, pins: dict[str, Claim], ignored: set[tuple[str, str]]) -> None:
        self.pins = pins
        self._ignored = ignored

    def is_ignored(self, field: str, claim: Claim) -> bool:
        """Say whether a claim to a field is to be left out."""
        return bool(self._ignored) and (
            claim[4], ignored_element(field, claim[2], claim[3])
        ) in self._ignored  # fmt: skip

    def applied(self, registers: Registers, others: Others) -> tuple[Registers, Others]:
        """Return what policies are to see: no reserved fields, and no ignored candidates."""
        seen: Registers = {field: [] for field in self.pins if field not in others}
        for field, claims in registers.items():
            if not field.startswith(RESERVED_PREFIX):
                seen[field] = [claim for claim in claims if not self.is_ignored(field, claim)]
        kept = {name: kinds for name, kinds in others.items() if not _is_reserved(name)}
        return seen, kept


def _is_reserved(field: str) -> bool:
    return field.startswith(RESERVED_PREFIX)


def decisions_of(registers: Registers, others: Others) -> Decisions | None:
    """Return what stewards decided; None if there is no field of theirs at all."""
    reserved = [field for field in registers if field.startswith(RESERVED_PREFIX)]
    if not reserved and not any(map(_is_reserved, others)):
        return None
    pins = {}
    for field in reserved:
        present = [claim for claim in registers[field] if claim[3] is not None]
        if present and field.startswith(PIN_PREFIX):
            pins[field.removeprefix(PIN_PREFIX)] = newest(present)
    entries = others.get(IGNORED, {}).get("set", [])
    ignored = {
        (profile_id, str(decode_element(parsed.element)))
        for parsed, cell, profile_id in entries
        if cell[0] > cell[1]
    }
    return Decisions(pins, ignored)


def gather(documents: Documents) -> tuple[Registers, Others]:
    """Return the cells of documents, by field."""
    registers: Registers = {}
    others: Others = {}
    for profile_id, cells in documents:
        for key, cell in cells.items():
            parsed = parse_key(key)
            letter, field, source, _, _, _ = parsed
            if letter == REGISTER:
                claim = (cell[0], cell[1], source, cell[2], profile_id)
                claims = registers.get(field)
                if claims is None:
                    registers[field] = [claim]
                else:
                    claims.append(claim)
            else:
                kinds = others.setdefault(field, {})
                kinds.setdefault(KIND_OF_LETTER[letter], []).append((parsed, cell, profile_id))
    return registers, others
