"""Identity: what the cells of one document say about whose profile it is."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from crdtstore.identity_rules import IDENTIFIERS, MATCH, NOT_MATCH
from crdtstore.model.cells import SEPARATOR, SET, TEXT_ELEMENT, Cells

IDENTIFIER_PREFIX: Final = f"{SET}{IDENTIFIERS}{SEPARATOR}"
"""Beginning of the keys of all cells that hold identifiers."""

_PREFIXES = tuple(f"{SET}{field}{SEPARATOR}" for field in (IDENTIFIERS, MATCH, NOT_MATCH))


class ProfileIdentity(NamedTuple):
    """What one document says about whose profile it is.

    ``identifiers`` maps each to the timestamp since when the profile has held it; ``match`` and
    ``not_match`` are the ids of other profiles.
    """

    profile_id: str
    identifiers: Mapping[str, int]
    match: frozenset[str]
    not_match: frozenset[str]


def identity_of(profile_id: str, cells: Cells) -> ProfileIdentity:
    """Return what the cells of a document say about whose profile it is."""
    identifiers: dict[str, int] = {}
    edges: dict[str, set[str]] = {MATCH: set(), NOT_MATCH: set()}
    for key, cell in cells.items():
        if not key.startswith(_PREFIXES) or cell[0] <= cell[1]:
            continue
        field, _, _, element = key[1:].split(SEPARATOR, 3)
        text = element[1:]
        if element[:1] != TEXT_ELEMENT:
            continue
        if field != IDENTIFIERS:
            edges[field].add(text)
        elif ":" in text:
            identifiers[text] = min(cell[0], identifiers.get(text, cell[0]))
    match, not_match = edges[MATCH], edges[NOT_MATCH]
    return ProfileIdentity(
        profile_id, identifiers, frozenset(match - {profile_id}), frozenset(not_match)
    )


def mentioned_in(cells: Cells) -> tuple[frozenset[str], frozenset[str]]:
    """Return all identifiers, and ids of profiles, that some cells name or have ever named."""
    identifiers: set[str] = set()
    others: set[str] = set()
    for key in cells:
        if key.startswith(_PREFIXES):
            field, _, _, element = key[1:].split(SEPARATOR, 3)
            if element[:1] == TEXT_ELEMENT:
                (identifiers if field == IDENTIFIERS else others).add(element[1:])
    return frozenset(identifiers), frozenset(others)


def identifiers_in(cells: Cells) -> frozenset[str]:
    """Return the identifiers that stand in some cells: the keys of ``identity_of``'s."""
    found = [
        key.split(SEPARATOR, 3)[3]
        for key, cell in cells.items()
        if key.startswith(IDENTIFIER_PREFIX) and cell[0] > cell[1]
    ]
    return frozenset(text[1:] for text in found if text[0] == TEXT_ELEMENT and ":" in text)
