"""Matching: whether a golden record is what a filter asks for.

| operator    | holds if the field's value                                              |
|-------------|-------------------------------------------------------------------------|
| eq          | is equal; 1 and 1.0 are, 1 and true are not                             |
| ne          | is not: also where there is no value                                    |
| co, sw, ew  | is text that contains, starts with, ends with                           |
| gt ge lt le | is of the same sort (number, text, time) and greater, …                 |
| pr          | is there                                                                |

A text that says a moment (RFC 3339) is compared with times as such a moment. Of a list or a set it
is enough that one element is so. Maps are only there, or not.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from crdtstore.model.values import Value
from crdtstore.query.filters import (
    Comparison,
    Conjunction,
    Disjunction,
    Filter,
    Literal,
    Negation,
    Presence,
)

Matcher: TypeAlias = Callable[[Mapping[str, Value]], bool]

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "co": operator.contains,
    "sw": str.startswith,
    "ew": str.endswith,
}
_TEXT_ONLY: Final = frozenset({"co", "sw", "ew"})
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def matcher_of(wanted: Filter) -> Matcher:
    """Return the function that says whether a record is what a filter asks for."""
    match wanted:
        case Presence(field):
            return lambda record: field in record
        case Negation(inner):
            holds = matcher_of(inner)
            return lambda record: not holds(record)
        case Conjunction(parts):
            all_hold = tuple(map(matcher_of, parts))
            return lambda record: all(holds(record) for holds in all_hold)
        case Disjunction(parts):
            any_holds = tuple(map(matcher_of, parts))
            return lambda record: any(holds(record) for holds in any_holds)
        case Comparison(field, "ne", value):
            equal = _comparison("eq", value)
            return lambda record: not (field in record and equal(record[field]))
        case Comparison(field, name, value):
            compares = _comparison(name, value)
            return lambda record: field in record and compares(record[field])


def moment_of(value: Literal) -> datetime | None:
    """Return the moment that a text says, None if it says none."""
    if type(value) is not str or not _MOMENT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _comparison(name: str, literal: Literal) -> Callable[[Value], bool]:
    compare = _COMPARE[name]
    moment = None if name in _TEXT_ONLY else moment_of(literal)
    kinds: tuple[type, ...] = (type(literal),)
    if type(literal) in (int, float):
        kinds = (int, float)

    def holds(value: Value) -> bool:
        if type(value) is list:
            return any(holds(element) for element in value if type(element) is not list)
        if type(value) in kinds:
            return compare(value, literal)
        return moment is not None and type(value) is datetime and compare(value, moment)

    return holds
