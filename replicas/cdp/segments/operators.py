"""Operators: what a condition may say about the values of its subject.

| Operator                | Holds if one of the values                                            |
|-------------------------|-----------------------------------------------------------------------|
| `eq` `in`               | is equal: 1 and 1.0 are, 1 and true are not; to one of them           |
| `ne`                    | (if none is equal, or there is no value)                              |
| `co` `sw` `ew`          | is text that contains, starts with, ends with it                      |
| `gt` `ge` `lt` `le`     | is of the same sort (number, text, time), and greater ...             |
| `pr`                    | is there; `pr = false`: there is none                                 |
| `within_last`           | is a time at most so long ago, and not to come                        |
| `within_next`           | is a time to come, at most so far off                                 |
| `older_than`            | is a time longer ago                                                  |

They are those of the filter language (docs/queries.md), and those that are relative to now. A value
that is a list or a set is several values. Where a time is asked for that is relative to now, a
number is one too: Unix milliseconds, as traits of `@timestamp` are.
"""

import math
import operator
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Final, TypeAlias, TypeGuard

from replicas.cdp import limits
from replicas.cdp.segments.moments import length_ms, moment_ms
from replicas.cdp.segments.subjects import Values

Test: TypeAlias = Callable[[Values, int], bool]
"""From the values of a subject, and the present in milliseconds, to whether it holds."""
Turns: TypeAlias = Callable[[Values], Iterable[int]]
"""From the values of a subject to the moments, in milliseconds, at which a test may turn."""

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_PARTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "co": lambda value, part: part in value,
    "sw": str.startswith,
    "ew": str.endswith,
}
RELATIVE: Final = frozenset({"within_last", "within_next", "older_than"})
"""The operators that are relative to now."""

OPERATORS: Final = ("eq", "ne", "in", *_PARTS, *_ORDERS, "pr", *sorted(RELATIVE))
"""All operators."""


def test_of(name: str, operand: object) -> Test:
    """Return the test of an operator; raises ValueError, which says what is wrong."""
    if name in RELATIVE:
        return _relative(name, _length(name, operand))
    if name == "pr":
        if type(operand) is not bool:
            raise ValueError("pr is true or false")
        return lambda values, now_ms: bool(values) is operand
    if name == "in":
        return _one_of(operand)
    if type(operand) not in (str, int, float, bool) and not isinstance(operand, date):
        raise ValueError(f"{name} compares with a text, a number, true, false or a time")
    if name == "eq":
        return lambda values, now_ms: any(is_equal(value, operand) for value in values)
    if name == "ne":
        return lambda values, now_ms: not any(is_equal(value, operand) for value in values)
    if name in _PARTS:
        return _part(name, operand)
    if type(operand) is bool:
        raise ValueError(f"{name} compares numbers, texts or times")
    return _order(name, operand)


def turns_of(name: str, operand: object) -> Turns | None:
    """Return when the test of an operator may turn by time alone, None if never."""
    if name not in RELATIVE:
        return None
    length = _length(name, operand)
    offsets = {
        "within_last": (0, length + 1),
        "within_next": (-length, 1),
        "older_than": (length + 1,),
    }[name]
    return lambda values: (
        moment + offset
        for value in values
        if (moment := _moment_of(value)) is not None
        for offset in offsets
    )


def is_equal(value: object, operand: object) -> bool:
    """Say whether a value equals one of a definition: numbers by size, times by their moment."""
    if _is_number(value) and _is_number(operand):
        return value == operand
    if isinstance(value, date) or isinstance(operand, date):
        moment = moment_ms(value)
        return moment is not None and moment == moment_ms(operand)
    return type(value) is type(operand) and value == operand


def _length(name: str, operand: object) -> int:
    if type(operand) is not str:
        raise ValueError(f"{name} is a length of time, such as '30 days'")
    return length_ms(operand)


def _one_of(operand: object) -> Test:
    if type(operand) is not list or not 0 < len(operand) <= limits.SEGMENT_VALUES_MAX:
        raise ValueError(f"in has a list of 1 to {limits.SEGMENT_VALUES_MAX:,} values")
    tests = [test_of("eq", each) for each in operand]
    return lambda values, now_ms: any(test(values, now_ms) for test in tests)


def _part(name: str, operand: object) -> Test:
    if not isinstance(operand, str) or not operand:
        raise ValueError(f"{name} compares with a text that is not empty")
    holds, part = _PARTS[name], operand
    return lambda values, now_ms: any(
        isinstance(value, str) and holds(value, part) for value in values
    )


def _order(name: str, operand: object) -> Test:
    holds = _ORDERS[name]
    if _is_number(operand):
        return lambda values, now_ms: any(
            _is_number(value) and holds(value, operand) for value in values
        )
    moment = moment_ms(operand)

    def compared(value: object) -> bool:
        if isinstance(value, str) and isinstance(operand, str):
            return holds(value, operand)
        if moment is None or not isinstance(value, date | str):
            return False
        other = moment_ms(value)
        return other is not None and holds(other, moment)

    return lambda values, now_ms: any(compared(value) for value in values)


def _relative(name: str, length: int) -> Test:
    def holds(moment: int | None, now_ms: int) -> bool:
        if moment is None:
            return False
        if name == "within_last":
            return now_ms - length <= moment <= now_ms
        if name == "within_next":
            return now_ms <= moment <= now_ms + length
        return moment < now_ms - length

    return lambda values, now_ms: any(holds(_moment_of(value), now_ms) for value in values)


def _moment_of(value: object) -> int | None:
    return int(value) if _is_number(value) else moment_ms(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) is int or (type(value) is float and math.isfinite(value))
