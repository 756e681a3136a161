"""Spans: which parts of which indexes answer a filter.

The conditions of a filter that all must hold are looked at one by one. One that an index answers
becomes an ``Access``: spans of keys that lead to every profile for which it holds, and, unless they
are exact, to some more. What no index answers is left to whoever looks at the profiles.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crdtstore.query.filters import (
    Comparison,
    Conjunction,
    Disjunction,
    Filter,
    Literal,
    Negation,
    Presence,
)
from crdtstore.query.matching import moment_of
from crdtstore.query.places import (
    ABSENT,
    BEYOND_IDS,
    COMPOSITES,
    DATETIMES,
    ELEMENT,
    END_OF_PLACES,
    NUMBERS,
    TEXTS,
    after_prefix,
    is_exact_number,
    is_short,
    place_of,
    text_prefix,
)

_LISTING_KINDS = ("register", "set", "trait")


class Span(NamedTuple):
    """Keys of one field's index from ``lower`` on, and below ``upper``.

    ``is_exact`` says that the condition holds for each profile that they lead to, ``is_one`` that
    all have one place, so that they are in the order of the profile ids.
    """

    field: str
    lower: bytes
    upper: bytes
    is_exact: bool
    is_one: bool = False


class Access(NamedTuple):
    """The spans of which at least one leads to each profile for which a condition holds."""

    spans: tuple[Span, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields whose indexes are read."""
        return tuple(sorted({span.field for span in self.spans}))


class Plan(NamedTuple):
    """How indexes answer a filter: ``accesses`` must all lead to a profile that is wanted.

    ``is_whole`` says that nothing of the filter is left to look at where all spans are exact.
    """

    accesses: tuple[Access, ...]
    is_whole: bool


def plan_of(wanted: Filter | None, kinds: Mapping[str, str]) -> Plan:
    """Return how indexes answer a filter; ``kinds`` are the kinds of the indexed fields."""
    if wanted is None:
        return Plan((), True)
    conditions = wanted.parts if isinstance(wanted, Conjunction) else (wanted,)
    found = [_access_of(condition, kinds) for condition in conditions]
    accesses = [access for access in found if access is not None]
    return Plan(tuple(_narrowed(accesses, kinds)), len(accesses) == len(found))


def walk_spans(field: str, plan: Plan) -> tuple[Span, ...]:
    """Return the spans of places, ascending, to go through in the order of a field.

    Those of a condition on the field itself, or all of them. Lists have one place, and their
    elements others, so they are gone through wherever a condition may hold for an element.
    """
    for access in plan.accesses:
        if access.fields == (field,):
            spans = [span for span in access.spans if span.lower < ELEMENT]
            if len(spans) < len(access.spans):
                spans.append(Span(field, COMPOSITES, ABSENT, False))
            return _apart(spans)
    return (Span(field, b"", END_OF_PLACES, False),)


def _apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return spans in order, those that overlap made into one."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.lower):
        if merged and span.lower < merged[-1].upper:
            upper = max(span.upper, merged[-1].upper)
            merged[-1] = merged[-1]._replace(upper=upper, is_exact=False, is_one=False)
        else:
            merged.append(span)
    return tuple(merged)


def _access_of(condition: Filter, kinds: Mapping[str, str]) -> Access | None:
    match condition:
        case Comparison(field, _, _) if field in kinds:
            found = list(_compared(condition))
            if not found:
                return None
            if kinds[field] not in _LISTING_KINDS:
                return Access(tuple(found))
            elements = [
                Span(field, ELEMENT + each.lower, ELEMENT + each.upper, each.is_exact, each.is_one)
                for each in found
            ]
            return Access(tuple(elements if kinds[field] == "set" else found + elements))
        case Presence(field) if field in kinds:
            return Access((Span(field, b"", ABSENT, True),))
        case Negation(Presence(field)) if field in kinds:
            return Access((Span(field, ABSENT, END_OF_PLACES, True, True),))
        case Disjunction(parts):
            accesses = [_access_of(part, kinds) for part in parts]
            known = [access for access in accesses if access is not None]
            if len(known) < len(accesses):
                return None
            return Access(tuple(span for access in known for span in access.spans))
    return None


def _compared(condition: Comparison) -> Iterable[Span]:
    """Yield the spans of a comparison: of its own sort of values, and of times for a moment."""
    field, operator, value = condition.field, condition.operator, condition.value
    if operator == "sw":
        assert isinstance(value, str)
        prefix = text_prefix(value)
        yield Span(field, prefix, after_prefix(prefix), is_short(value))
        return
    moment = moment_of(value)
    for place, is_exact in (
        (place_of(value), _is_exact(value)),
        *(() if moment is None else ((place_of(moment), True),)),
    ):
        bounds = _bounds(operator, place, is_exact)
        if bounds is not None:
            yield Span(field, *bounds, is_exact, operator == "eq")


def _is_exact(value: Literal) -> bool:
    if isinstance(value, str):
        return is_short(value)
    return value is None or is_exact_number(value)


def _bounds(operator: str, place: bytes, is_exact: bool) -> tuple[bytes, bytes] | None:
    """Return the bounds of the keys of a comparison; None if no index answers it."""
    sort = place[:1]
    above = place + BEYOND_IDS
    if operator == "eq":
        return place, above
    assert operator not in ("gt", "ge", "lt", "le") or sort in (NUMBERS, TEXTS, DATETIMES)
    if operator in ("gt", "ge"):
        return above if operator == "gt" and is_exact else place, after_prefix(sort)
    if operator in ("lt", "le"):
        return sort, place if operator == "lt" and is_exact else above
    return None


def _narrowed(accesses: list[Access], kinds: Mapping[str, str]) -> list[Access]:
    """Return accesses with those of one field that has one value, from and to, made into one."""
    kept: list[Access] = []
    for access in accesses:
        for place, other in enumerate(kept):
            narrow = _intersection(other, access, kinds)
            if narrow is not None:
                kept[place] = narrow
                break
        else:
            kept.append(access)
    return kept


def _intersection(one: Access, other: Access, kinds: Mapping[str, str]) -> Access | None:
    """Return the access for both conditions, None if it takes looking at the profiles.

    The elements of a list may satisfy two conditions apart, so their spans of one condition stand,
    and lead to profiles to be looked at.
    """
    if len(one.fields) != 1 or one.fields != other.fields or kinds[one.fields[0]] == "set":
        return None
    field = one.fields[0]
    places = []
    for mine in one.spans:
        for theirs in other.spans:
            lower, upper = max(mine.lower, theirs.lower), min(mine.upper, theirs.upper)
            if lower < upper and upper <= ELEMENT:
                is_exact = mine.is_exact and theirs.is_exact
                places.append(Span(field, lower, upper, is_exact, mine.is_one or theirs.is_one))
    elements = [span._replace(is_exact=False) for span in one.spans if span.lower >= ELEMENT]
    if bool(elements) != any(span.lower >= ELEMENT for span in other.spans):
        return None
    return Access((*places, *elements))
