"""Programs: a history as Python that runs, with the imports that it needs."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from textwrap import indent
from types import FunctionType
from typing import Any, Final, NamedTuple
from uuid import UUID

from crdtstore.model.operations import EditSet, FoldIn, Grant, Increment, Revoke, SetValue

_OF_DATETIME: Final = (datetime.date, datetime.time, datetime.timedelta, datetime.timezone)

_COLUMNS: Final = 80


class Step(NamedTuple):
    """One call of a method of a trial."""

    verb: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}


class Program:
    """The text of a program, and its imports, as they turn out to be needed."""

    def __init__(self) -> None:
        self._imports: dict[str, set[str]] = {}
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def call(self, verb: str, arguments: Iterable[Any], options: Mapping[str, Any]) -> str:
        """Return a call as text."""
        parts = [self.code(argument) for argument in arguments]
        parts += [f"{name}={self.code(value)}" for name, value in options.items()]
        line = f"{verb}({', '.join(parts)})"
        if len(line) <= _COLUMNS:
            return line
        return "\n".join([f"{verb}(", *(indent(f"{part},", "    ") for part in parts), ")"])

    def imported(self, thing: Callable[..., Any], module: str | None = None) -> str:
        """Return the name of a class or function, and import it; lambdas have none."""
        name = thing.__qualname__
        if "<" in name:
            return name.rpartition(".")[2]
        self._imports.setdefault(module or thing.__module__, set()).add(name.partition(".")[0])
        return name

    def code(self, value: Any) -> str:
        """Return a value as an expression; what has none is shown as it shows itself."""
        match value:
            case Enum():
                return f"{self.imported(type(value))}.{value.name}"
            case bool() | int() | float() | str() | bytes() | None:
                return _literal(value)
            case EditSet() | Increment() | FoldIn() | Grant() | Revoke() | SetValue():
                return self._operation(value)
            case Mapping():
                items = [f"{self.code(key)}: {self.code(item)}" for key, item in value.items()]
                return "{" + ", ".join(items) + "}"
            case list():
                return "[" + ", ".join(map(self.code, value)) + "]"
            case tuple() if not hasattr(value, "_fields"):
                items = [self.code(item) for item in value]
                return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            case tuple():
                return self.call(self.imported(type(value)), value, {})
            case set() | frozenset():
                return f"{type(value).__name__}({self.code(sorted(value, key=repr))})"
            case Decimal() | UUID():
                return f"{self.imported(type(value))}({str(value)!r})"
            case FunctionType():
                return self.imported(value)
        if isinstance(value, _OF_DATETIME):
            self._imports.setdefault("datetime", set())
            return repr(value)
        if is_dataclass(value) and not isinstance(value, type):
            return self.call(self.imported(type(value)), (), _told(value))
        return repr(value)

    def _operation(self, operation: Any) -> str:
        match operation:
            case EditSet(added, ()):
                return self.call(self._public("add"), added, {})
            case EditSet((), removed):
                return self.call(self._public("remove"), removed, {})
            case EditSet(added, removed):
                parts = {"add": tuple(added), "remove": tuple(removed)}
                return self.call(self._public("edit_set"), (), parts)
            case Increment(amount):
                return self.call(self._public("increment"), (amount,), {})
            case FoldIn(fold, payload, options, version):
                named = {"options": list(options), "version": version}
                return self.call(self._public("fold_in"), (fold, payload), named)
            case SetValue(value):
                return self.call(self._public("set_value"), (value,), {})
        return f"{self._public('grant' if isinstance(operation, Grant) else 'revoke')}()"

    def _public(self, name: str) -> str:
        self._imports.setdefault("crdtstore", set()).add(name)
        return name

    def __str__(self) -> str:
        plain = [f"import {module}" for module, names in self._imports.items() if not names]
        named = [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in sorted(self._imports.items())
            if names
        ]
        return "\n".join([*sorted(plain), *named, "", *self._lines])


def _literal(value: Any) -> str:
    if type(value) is str:
        quoted = repr(value)
        return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in quoted else quoted
    return repr(value)


def _told(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that its constructor takes, without what is a default."""
    told = {}
    for each in fields(value):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        held = getattr(value, each.name)
        if each.init and (default is MISSING or held != default):
            told[each.name] = held
    return told
