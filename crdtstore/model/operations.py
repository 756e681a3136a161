"""Operations: what a write may do to a field.

A plain value sets a register, ``None`` clears it; the functions below make the other operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from crdtstore.errors import InvalidOperation
from crdtstore.model.values import Value


@dataclass(frozen=True, slots=True)
class SetValue:
    """Set a register to a value, even one that looks like an operation; None clears it."""

    value: Value


@dataclass(frozen=True, slots=True)
class EditSet:
    """Add elements to a set, and remove elements from it."""

    add: tuple[Value, ...] = ()
    remove: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Increment:
    """Add an amount, which may be negative, to a counter."""

    amount: int | float


@dataclass(frozen=True, slots=True)
class Grant:
    """Give consent: lifts every revocation that this replica has seen."""


@dataclass(frozen=True, slots=True)
class Revoke:
    """Withdraw consent: stands until a grant that has seen it."""


Operation: TypeAlias = SetValue | EditSet | Increment | Grant | Revoke


def add(*elements: Value) -> EditSet:
    """Add elements to a set field."""
    return EditSet(add=elements)


def remove(*elements: Value) -> EditSet:
    """Remove elements, as far as they were seen here, from a set field."""
    return EditSet(remove=elements)


def edit_set(*, add: tuple[Value, ...] = (), remove: tuple[Value, ...] = ()) -> EditSet:
    """Add and remove elements of a set field in one operation."""
    return EditSet(add=tuple(add), remove=tuple(remove))


def increment(amount: int | float = 1) -> Increment:
    """Add an amount to a counter field."""
    return Increment(amount)


def decrement(amount: int | float = 1) -> Increment:
    """Subtract an amount from a counter field."""
    if type(amount) not in (int, float):
        raise InvalidOperation(f"a counter changes by a number, not by a {type(amount).__name__}")
    return Increment(-amount)


def grant() -> Grant:
    """Give consent in a consent field."""
    return Grant()


def revoke() -> Revoke:
    """Withdraw consent in a consent field."""
    return Revoke()


def set_value(value: Value) -> SetValue:
    """Set a register to a value as it stands."""
    return SetValue(value)


OPERATION_NAMES: Final = frozenset(
    {"add", "remove", "increment", "decrement", "grant", "revoke", "set"}
)


def from_json(field: str, body: Any) -> Any:
    """Return the operation (or plain value) that a JSON or msgpack body means for a field.

    A map whose keys are all names of operations is an operation, and must be a well-formed one;
    any other map is a value. ``{"set": value}`` writes any value as it stands. Raises
    InvalidOperation.
    """
    if type(body) is not dict or not body or not OPERATION_NAMES.issuperset(body):
        return body
    names = sorted(body)
    if names == ["set"]:
        return SetValue(body["set"])
    if set(names) <= {"add", "remove"}:
        return EditSet(add=_elements(field, "add", body), remove=_elements(field, "remove", body))
    if len(names) > 1:
        raise InvalidOperation(
            f"field {field!r}: {' and '.join(names)} cannot be one operation; "
            'to store this map as a value, write {"set": ...}'
        )
    return _single(field, names[0], body[names[0]])


def _single(field: str, name: str, argument: object) -> Operation:
    if name in ("grant", "revoke"):
        if argument is not True:
            raise InvalidOperation(f'field {field!r}: {name} takes true, as in {{"{name}": true}}')
        return Grant() if name == "grant" else Revoke()
    if type(argument) not in (int, float):
        raise InvalidOperation(f"field {field!r}: {name} takes a number")
    return Increment(argument if name == "increment" else -argument)  # type: ignore[arg-type, operator]


def _elements(field: str, name: str, body: Mapping[str, object]) -> tuple[Any, ...]:
    elements = body.get(name, [])
    if type(elements) is not list:
        raise InvalidOperation(f"field {field!r}: {name} takes a list of elements")
    return tuple(elements)
