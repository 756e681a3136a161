"""Hypothesis strategies for values, cells, documents, claims and schemas.

Names, origins and timestamps come from small pools, so that cells meet: most examples have
several sources in one field, equal timestamps, repeated elements and erased epochs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore import limits
from crdtstore.model.cells import (
    COLLABORATIVE_KINDS,
    COUNTER,
    DENIAL,
    GRANT,
    KIND_OF_LETTER,
    NEWEST_KINDS,
    REGISTER,
    SEPARATOR,
    SET,
    SLOT_PARTS,
    TRAIT,
    Cell,
    Cells,
    counter_key,
    denial_key,
    encode_element,
    grant_key,
    parse_key,
    register_key,
    set_key,
    trail_key,
    trait_key,
)
from crdtstore.model.document import Document
from crdtstore.model.survivorship import Claim
from crdtstore.model.values import CellValue, Value, to_cell_value
from crdtstore.schema import GROUP_POLICIES, KINDS, Field, Group, Policy, Schema, Trust
from crdtstore.testing.partials import partial_cells

FIELDS: Final = ("name", "address.city", "größe")
SOURCES: Final = ("cdp", "salesforce", "steward")
ORIGINS: Final = (0x1F3A5C7E9B2D4F61, 0x6C8E1A3B5D7F9021)
PROFILE_IDS: Final = ("p1", "p2")
LETTERS: Final = (REGISTER, COUNTER, TRAIT, SET, DENIAL, GRANT)

_DAY: Final = 86_400_000 << 16
_EPOCHS: Final = (0, 0, 0, 0, 0, 0, 1, 2, 2, 3)
"""Most documents are of one epoch, so that most joins are of cells."""


def texts(*, max_size: int = 20) -> SearchStrategy[str]:
    """Any text that is Unicode."""
    return st.text(max_size=max_size)


@cache
def scalars() -> SearchStrategy[Value]:
    """Any value that is neither a list nor a map, and not None."""
    return st.one_of(
        st.booleans(),
        st.sampled_from([0, 1, -1, limits.INTEGER_MIN, limits.INTEGER_MAX]),
        st.integers(limits.INTEGER_MIN, limits.INTEGER_MAX),
        st.sampled_from([0.0, -0.0, 1.0]),
        st.floats(allow_nan=False, allow_infinity=False),
        texts(),
        st.binary(max_size=20),
        st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0)),
    )


@cache
def values() -> SearchStrategy[Value]:
    """Any value that a register may hold, None (a cleared register) included."""
    leaves: SearchStrategy[Value] = st.one_of(st.none(), scalars())
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(texts(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    )


@cache
def cell_values() -> SearchStrategy[CellValue]:
    """Any value in the form in which a cell holds it."""
    simple = st.sampled_from([None, True, 1, 1.0, 0.0, -0.0, "", "a", "b", b"a"])
    return simple | values().map(lambda value: to_cell_value(value, "an example"))


@cache
def timestamps() -> SearchStrategy[int]:
    """Timestamps that are often equal, and sometimes the greatest there is."""
    return st.one_of(st.integers(1, 6), st.sampled_from([limits.TIMESTAMP_MAX]))


@cache
def keys(letter: str) -> SearchStrategy[str]:
    """Keys of cells of one kind."""
    field, source = st.sampled_from(FIELDS[:2]), st.sampled_from(SOURCES[:2])
    origin = st.sampled_from(ORIGINS)
    if letter == REGISTER:
        return st.builds(register_key, field, source)
    if letter == GRANT:
        return st.builds(grant_key, field, source)
    if letter == COUNTER:
        return st.builds(counter_key, field, source, origin)
    if letter == TRAIT:
        return st.builds(trait_key, field, source, origin)
    if letter == DENIAL:
        return st.builds(denial_key, field, source, origin)
    if letter in COLLABORATIVE_KINDS:
        return st.builds(trail_key, st.just(KIND_OF_LETTER[letter]), field, source, origin)
    usual = st.sampled_from(["a", "b"])
    element = st.one_of(usual, usual, scalars()).map(_element_name)
    return st.builds(set_key, field, source, origin, element)


def cells_at(key: str) -> SearchStrategy[Cell]:
    """Cells that may stand at a key."""
    parsed = parse_key(key)
    return _cells_of(parsed.letter, parsed.origin)


@cache
def _cells_of(letter: str, origin: int) -> SearchStrategy[Cell]:
    if letter not in NEWEST_KINDS:
        moment = st.one_of(st.just(0), timestamps())
        return st.tuples(moment, moment).filter(any)
    if letter == REGISTER:
        return st.tuples(timestamps(), st.sampled_from(ORIGINS), cell_values())
    if letter == GRANT:
        return st.tuples(timestamps(), st.sampled_from(ORIGINS), st.just(True))
    if letter in COLLABORATIVE_KINDS:
        return st.tuples(timestamps(), st.just(origin), st.integers(1, 9))
    if letter == TRAIT:
        return st.tuples(timestamps(), st.just(origin), partial_cells())
    part = st.one_of(
        st.integers(limits.INTEGER_MIN, limits.INTEGER_MAX),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    return st.tuples(timestamps(), st.just(origin), part)


def _element_name(value: Value) -> str:
    return encode_element(to_cell_value(value, "an example"))


@st.composite
def cell_maps(
    draw: st.DrawFn, letters: Sequence[str] = LETTERS, min_size: int = 0, max_size: int = 8
) -> Cells:
    """The cells of a document or a delta, as they come out of ``check_cells``."""
    chosen = draw(_key_lists(tuple(letters), min_size, max_size))
    return {key: draw(cells_at(key)) for key in chosen}


def usual_key(letter: str) -> str:
    """Return the key of a kind that most documents have."""
    slots = [FIELDS[0], SOURCES[0], f"{ORIGINS[0]:016x}", encode_element("a")]
    return letter + SEPARATOR.join(slots[: 1 + SLOT_PARTS[letter]])


@cache
def _key_lists(letters: tuple[str, ...], min_size: int, max_size: int) -> SearchStrategy[list[str]]:
    """Return lists of keys, of which the usual ones stand in every second list."""
    usual = [usual_key(letter) for letter in letters]
    some = st.tuples(*(st.sampled_from([key, None]) for key in usual))
    others = st.lists(st.one_of(*(keys(letter) for letter in letters)), max_size=max_size)
    return (
        st.tuples(some, others)
        .map(lambda parts: list(dict.fromkeys([*filter(None, parts[0]), *parts[1]]))[:max_size])
        .filter(lambda chosen: len(chosen) >= min_size)
    )


@st.composite
def documents(draw: st.DrawFn, max_epoch: int = 3) -> Document:
    """Documents of the epochs 0 to 3; those of odd epochs are erased, the others have cells."""
    epoch = draw(st.sampled_from([epoch for epoch in _EPOCHS if epoch <= max_epoch]))
    return Document(epoch, {} if epoch & 1 else draw(cell_maps(min_size=1)))


@cache
def claims() -> SearchStrategy[list[Claim]]:
    """One or more claims to a field, of which any two sources may say the same at one time."""
    return st.lists(_claim_of(st.sampled_from(SOURCES), _present()), min_size=1, max_size=6)


def rival_claims(
    sources: Sequence[str], values: SearchStrategy[CellValue] | None = None
) -> SearchStrategy[list[Claim]]:
    """Two or more claims to a field, at most one of each source and profile of a person."""
    claim = _claim_of(st.sampled_from(sources), _present() if values is None else values)
    return st.lists(claim, min_size=2, max_size=6, unique_by=lambda claim: (claim[2], claim[4]))


def _present() -> SearchStrategy[CellValue]:
    return cell_values().filter(lambda value: value is not None)


def _claim_of(
    sources: SearchStrategy[str], values: SearchStrategy[CellValue]
) -> SearchStrategy[Claim]:
    moment = st.one_of(st.integers(1, 4), st.integers(0, 400).map(lambda days: (days + 1) * _DAY))
    return st.tuples(
        moment, st.sampled_from(ORIGINS), sources, values, st.sampled_from(PROFILE_IDS)
    )


@st.composite
def trusts(draw: st.DrawFn) -> Trust:
    """Trust with any start, floor and decay."""
    start = draw(st.integers(0, limits.TRUST_MAX))
    floor = draw(st.integers(0, start))
    return Trust(start, floor, draw(st.integers(1, 500)))


@st.composite
def policies(draw: st.DrawFn, names: Sequence[str] | None = None) -> Policy:
    """Policies of the given names (of all by default) with any options."""
    name = draw(st.sampled_from(sorted(_OPTIONS if names is None else names)))
    options: dict[str, Any] = {key: draw(option) for key, option in _OPTIONS[name].items()}
    return Policy(name, **options)


_SOURCE_LISTS: Final = st.lists(st.sampled_from(SOURCES), min_size=1, unique=True).map(tuple)
_TRUST_MAPS: Final = st.dictionaries(st.sampled_from(SOURCES), trusts(), min_size=1)
_OPTIONS: Final[Mapping[str, Mapping[str, SearchStrategy[object]]]] = MappingProxyType(
    {
        "recency": {},
        "source_priority": {"sources": _SOURCE_LISTS},
        "frequency": {},
        "oldest": {},
        "minimum": {},
        "maximum": {},
        "longest": {},
        "trust_decay": {"trust": _TRUST_MAPS, "default": st.none() | trusts()},
        "fill_only": {"sources": _SOURCE_LISTS},
    }
)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Schemas over the fields and sources of these strategies, with at most one group."""
    group = Group(FIELDS[:2], draw(policies(GROUP_POLICIES))) if draw(st.booleans()) else None
    fields = {}
    for name in draw(st.lists(st.sampled_from(FIELDS[2 if group else 0 :]), unique=True)):
        kind = draw(st.sampled_from(KINDS))
        policy = draw(st.none() | policies()) if kind == "register" else None
        fields[name] = Field(kind, policy)
    return Schema(fields=fields, groups={} if group is None else {"both": group})
