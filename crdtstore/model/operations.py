"""Operations: what a write may do to a field.

A plain value sets a register, ``None`` clears it; the functions below make the other operations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from crdtstore.errors import InvalidOperation
from crdtstore.model.edits import UNITS, Unit
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


class FoldIn(NamedTuple):
    """Fold what was seen into the partial that this replica keeps of a trait.

    See ``crdtstore.model.folds`` for folds, their options and payloads. A partial of a greater
    version starts anew.
    """

    fold: str
    payload: Any
    options: Sequence[Any] = ()
    version: int = 1


@dataclass(frozen=True, slots=True)
class Grant:
    """Give consent: lifts every revocation that this replica has seen."""


@dataclass(frozen=True, slots=True)
class Revoke:
    """Withdraw consent: stands until a grant that has seen it."""


@dataclass(frozen=True, slots=True)
class EditText:
    """Edit a text field by a rich-text delta; see ``crdtstore.model.edits``."""

    delta: tuple[Mapping[str, Any], ...]
    unit: Unit = "character"


@dataclass(frozen=True, slots=True)
class EditList:
    """Edit a list field step by step; see ``crdtstore.model.edits``."""

    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class JoinUpdate:
    """Join a Yjs update of kind "text" or "list" that a Yjs client made.

    Not for callers: what comes from outside goes through ``Replica.texts``, which tries it first.
    """

    kind: str
    update: bytes


Operation: TypeAlias = (
    SetValue | EditSet | Increment | FoldIn | Grant | Revoke | EditText | EditList | JoinUpdate
)

COLLABORATIVE_OPERATIONS: Final[Mapping[type, str | None]] = {
    EditText: "text",
    EditList: "list",
    JoinUpdate: None,
}
"""The operations on collaborative fields, with the kind of the field if it is always the same."""


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


def fold_in(fold: str, payload: Any, *, options: Sequence[Any] = (), version: int = 1) -> FoldIn:
    """Fold what was seen into a trait field, as in ``fold_in("count", 3)``."""
    return FoldIn(fold, payload, options, version)


def grant() -> Grant:
    """Give consent in a consent field."""
    return Grant()


def revoke() -> Revoke:
    """Withdraw consent in a consent field."""
    return Revoke()


def set_value(value: Value) -> SetValue:
    """Set a register to a value as it stands."""
    return SetValue(value)


def edit_text(delta: Sequence[Mapping[str, Any]], *, unit: Unit = "character") -> EditText:
    """Edit a text field by a rich-text (Quill) delta, whose lengths are in ``unit``."""
    if unit not in UNITS:
        raise InvalidOperation(f"a unit is one of {', '.join(UNITS)}, not {unit!r}")
    return EditText(tuple(delta), unit)


def insert_text(
    at: int, text: str, attributes: Mapping[str, Any] | None = None, *, unit: Unit = "character"
) -> EditText:
    """Insert text into a text field before position ``at``, formatted by ``attributes`` alone."""
    return edit_text(_retained(at, {"insert": text, "attributes": attributes}), unit=unit)


def delete_text(at: int, length: int, *, unit: Unit = "character") -> EditText:
    """Delete so much of a text field, from position ``at`` on."""
    return edit_text(_retained(at, {"delete": length}), unit=unit)


def format_text(
    at: int, length: int, attributes: Mapping[str, Any], *, unit: Unit = "character"
) -> EditText:
    """Format so much of a text field; an attribute of None is taken away."""
    return edit_text(_retained(at, {"retain": length, "attributes": attributes}), unit=unit)


def _retained(at: int, operation: dict[str, Any]) -> list[dict[str, Any]]:
    if type(at) is not int or at < 0:
        raise InvalidOperation(f"a position is a whole number from 0, not {at!r}")
    return [{"retain": at}, operation] if at else [operation]


def edit_list(*steps: Mapping[str, Any]) -> EditList:
    """Edit a list field by steps, each of which sees what those before it did."""
    return EditList(steps)


def insert_items(at: int, *items: Value) -> EditList:
    """Insert items into a list field before position ``at``."""
    return EditList(({"at": at, "insert": list(items)},))


def delete_items(at: int, count: int = 1) -> EditList:
    """Delete items of a list field, from position ``at`` on."""
    return EditList(({"at": at, "delete": count},))


def move_item(at: int, to: int) -> EditList:
    """Move the item at a position of a list field so that it stands at ``to``."""
    return EditList(({"at": at, "move": to},))


OPERATION_NAMES: Final = frozenset(
    {
        "add", "remove", "increment", "decrement", "fold_in", "grant", "revoke", "set",
        "edit_text", "edit_list", "unit",
    }
)  # fmt: skip


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
    if names in (["edit_text"], ["edit_text", "unit"]):
        delta = _elements(field, "edit_text", body)
        return edit_text(delta, unit=body.get("unit", "character"))
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
    if name == "fold_in":
        return _fold_in(field, argument)
    if name == "edit_list":
        return EditList(_elements(field, name, {name: argument}))
    if name == "unit":
        raise InvalidOperation(f"field {field!r}: a unit goes with edit_text")
    if type(argument) not in (int, float):
        raise InvalidOperation(f"field {field!r}: {name} takes a number")
    return Increment(argument if name == "increment" else -argument)  # type: ignore[arg-type, operator]


def _fold_in(field: str, argument: object) -> FoldIn:
    known = {"fold", "payload", "options", "version"}
    if type(argument) is not dict or not {"fold", "payload"} <= argument.keys() <= known:
        raise InvalidOperation(
            f"field {field!r}: fold_in takes a map of fold and payload, and of options and version"
        )
    return FoldIn(**{"options": [], **argument})


def _elements(field: str, name: str, body: Mapping[str, object]) -> tuple[Any, ...]:
    elements = body.get(name, [])
    if type(elements) is not list:
        raise InvalidOperation(f"field {field!r}: {name} takes a list of elements")
    return tuple(elements)
