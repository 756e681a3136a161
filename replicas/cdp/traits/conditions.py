"""Conditions: which events a trait is folded from, by what they say.

    where = { currency = "EUR", total = { ge = 10 }, category = ["books", "music"] }

A scalar must be equal, a list must have the value, a table compares. All conditions must hold. What
an event does not say meets none of them, but for ``ne`` and ``exists = false``.
"""

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.events import Event

Getter: TypeAlias = Callable[[Event], Any]
Condition: TypeAlias = Callable[[Event], bool]

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
)
_SCALARS: Final = (str, int, float, bool)


def getter_of(path: str) -> Getter:
    """Return the function that finds a property of an event; it answers None if there is none.

    ``a.b`` leads into maps. ``context.`` begins a path in the context; ``@timestamp`` is when it
    happened, in milliseconds, and ``@name`` the name of the event.
    """
    if path == "@timestamp":
        return lambda event: event.timestamp_ms
    if path == "@name":
        return lambda event: event.name or None
    names = path.split(".")
    if path.startswith("@") or not all(names):
        raise DefinitionInvalid(
            f"{path!r} is no property; it is as total, address.city, @timestamp"
        )
    if names[0] == "context" and len(names) > 1:
        names = names[1:]
        return lambda event: _found(event.context, names)
    if len(names) == 1:
        return lambda event: event.properties.get(path)
    return lambda event: _found(event.properties, names)


def _found(value: Any, names: list[str]) -> Any:
    for name in names:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def condition_of(where: Mapping[str, Any]) -> Condition | None:
    """Return the function that says whether an event meets all conditions; None if it always does.

    Raises DefinitionInvalid.
    """
    checks = [(getter_of(path), _check_of(path, wanted)) for path, wanted in sorted(where.items())]
    if not checks:
        return None
    if len(checks) == 1:
        ((get, check),) = checks
        return lambda event: check(get(event))
    return lambda event: all(check(get(event)) for get, check in checks)


def _check_of(path: str, wanted: Any) -> Callable[[Any], bool]:
    if type(wanted) in _SCALARS:
        return lambda value: _is_same(value, wanted)
    if type(wanted) is list and wanted and all(type(each) in _SCALARS for each in wanted):
        return lambda value: any(_is_same(value, each) for each in wanted)
    if type(wanted) is dict and wanted:
        parts = [_comparison_of(path, name, bound) for name, bound in sorted(wanted.items())]
        return lambda value: all(part(value) for part in parts)
    raise DefinitionInvalid(f"where.{path}: a value, a list of values, or a table of comparisons")


def _comparison_of(path: str, name: str, bound: Any) -> Callable[[Any], bool]:
    if name == "exists" and type(bound) is bool:
        return lambda value: (value is not None) is bound
    if name == "ne" and type(bound) in _SCALARS:
        return lambda value: not _is_same(value, bound)
    if name == "contains" and type(bound) is str:
        return lambda value: type(value) is str and bound in value
    compares = _COMPARE.get(name)
    if compares is None or type(bound) not in (int, float, str):
        raise DefinitionInvalid(
            f"where.{path}: {name} = {bound!r} is no comparison; there are gt, ge, lt, le (of a "
            "number or a text), ne, contains (of a text), exists (true or false)"
        )
    kinds = (str,) if type(bound) is str else (int, float)
    return lambda value: type(value) in kinds and compares(value, bound)


def _is_same(value: Any, wanted: Any) -> bool:
    is_bool = type(value) is bool, type(wanted) is bool
    return is_bool[0] is is_bool[1] and bool(value == wanted)
