"""What queries must answer, found the plain way: every profile, Python's comparisons, no bytes."""

from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any

from crdtstore.model.profile import Profile
from crdtstore.query import bounds
from crdtstore.query.filters import (
    Comparison,
    Conjunction,
    Disjunction,
    Filter,
    Negation,
    Presence,
    parse_filter,
)
from crdtstore.store import Store


def everything(store: Store) -> list[Profile]:
    """Return all living profiles in the order of their ids."""
    found: list[Profile] = []
    while page := store.profiles(after=found[-1].id if found else "", limit=1_000):
        found += page
    return found


def wanted(store: Store, where: str, order: str = "") -> list[str]:
    """Return the ids that a query must answer, in its order."""
    parsed = parse_filter(where) if where else None
    found = [each for each in everything(store) if parsed is None or holds(parsed, each)]
    if order:
        field = order.removeprefix("-")
        found.sort(key=lambda profile: profile.id)
        values = {profile.id: _beginning(profile.get(field)) for profile in found}
        found.sort(key=cmp_to_key(lambda one, two: compared(values[one.id], values[two.id])))
    ids = [profile.id for profile in found]
    return ids[::-1] if order.startswith("-") else ids


def _beginning(value: Any) -> Any:
    """Return what of a value counts in an order: of a long text its beginning."""
    if isinstance(value, str):
        return value.encode()[: bounds.PLACE_TEXT_BYTES_MAX].decode(errors="replace")
    return value


def holds(asked: Filter, profile: Profile) -> bool:
    """Say whether a filter holds for a profile."""
    match asked:
        case Presence(field):
            return field in profile
        case Negation(inner):
            return not holds(inner, profile)
        case Conjunction(parts):
            return all(holds(part, profile) for part in parts)
        case Disjunction(parts):
            return any(holds(part, profile) for part in parts)
        case Comparison(field, operator, literal):
            value = profile.get(field)
            values = value if isinstance(value, list) else [value]
            if operator == "ne":
                return not any(_is(each, "eq", literal) for each in values)
            return any(_is(each, operator, literal) for each in values)


def compared(one: Any, two: Any) -> int:
    """Return which of two values comes first: -1, 0 or 1."""
    ranks = _rank(one), _rank(two)
    if ranks[0] != ranks[1]:
        return -1 if ranks[0] < ranks[1] else 1
    if ranks[0] >= 5:
        return 0
    return int(one > two) - int(one < two)


def _rank(value: Any) -> int:
    kinds: list[Any] = [bool, (int, float), str, bytes, datetime, (list, dict)]
    for rank, kind in enumerate(kinds):
        if isinstance(value, kind):
            return rank
    return len(kinds)


def _is(value: Any, operator: str, literal: Any) -> bool:
    if isinstance(value, datetime) and isinstance(literal, str):
        try:
            literal = datetime.fromisoformat(literal).astimezone(UTC)
        except ValueError:
            return False
        if operator in ("co", "sw", "ew"):
            return False
    is_number = _rank(value) == _rank(literal) == 1
    if not is_number and type(value) is not type(literal):
        return False
    return {
        "eq": lambda: value == literal,
        "gt": lambda: value > literal,
        "ge": lambda: value >= literal,
        "lt": lambda: value < literal,
        "le": lambda: value <= literal,
        "co": lambda: literal in value,
        "sw": lambda: value.startswith(literal),
        "ew": lambda: value.endswith(literal),
    }[operator]()
