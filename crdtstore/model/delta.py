"""Delta: a change of a rich text, in the form of Quill, and its algebra.

A delta is a tuple of operations over a text: keep so many units, delete so many, insert something.
Units are those of UTF-16, as JavaScript counts; an embed (a picture, a mention) is one unit. A
document is the delta that makes it out of nothing: insertions only. Deltas are kept in normal form:
neighbours of one kind are one operation, an insertion stands before a deletion at its place, and
nothing is kept at the end without a change of format.

    compose(a, b)              first a, then b
    transform(a, b)            b as it must be after a, where both started from one text
    invert(a, document)        what takes a back

``transform`` keeps the law TP1: compose(a, transform(a, b, a_is_first=True)) equals
compose(b, transform(b, a, a_is_first=False)). The semantics are those of the library quill-delta.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Attributes: TypeAlias = Mapping[str, Any]

_ENDLESS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert a text, or an embed (a map of one key), with a format."""

    content: str | Mapping[str, Any]
    attributes: Attributes = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Its length in UTF-16 units."""
        return utf16_units(self.content) if isinstance(self.content, str) else 1


@dataclass(frozen=True, slots=True)
class Retain:
    """Keep so many units, and change their format: None takes an attribute away."""

    units: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete so many units."""

    units: int


Operation: TypeAlias = Insert | Retain | Delete
Delta: TypeAlias = tuple[Operation, ...]


def utf16_units(text: str) -> int:
    """Return the length of a text as JavaScript counts it."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal; true is not 1, as it is to Python."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class Builder:
    """A delta that is put together, operation by operation, into normal form."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []

    def push(self, operation: Operation) -> None:
        """Append an operation, joined with what stands before it."""
        operations = self._operations
        place = len(operations)
        if operations and isinstance(operations[-1], Delete):
            if isinstance(operation, Delete):
                operations[-1] = Delete(operations[-1].units + operation.units)
                return
            if isinstance(operation, Insert):
                place -= 1
        joined = _joined(operations[place - 1], operation) if place else None
        if joined is None:
            operations.insert(place, operation)
        else:
            operations[place - 1] = joined

    def delta(self) -> Delta:
        """Return what was put together, without what is kept unchanged at the end."""
        if self._operations and _is_plain_retain(self._operations[-1]):
            self._operations.pop()
        return tuple(self._operations)


def normal(operations: "tuple[Operation, ...] | list[Operation]") -> Delta:
    """Return the normal form of some operations."""
    builder = Builder()
    for operation in operations:
        builder.push(operation)
    return builder.delta()


def compose(first: Delta, second: Delta) -> Delta:
    """Return the delta that does what two do, one after the other."""
    builder = Builder()
    mine, other = _Cursor(first), _Cursor(second)
    while mine.has_more or other.has_more:
        if other.is_insert:
            builder.push(other.take())
            continue
        if mine.is_delete:
            builder.push(mine.take())
            continue
        units = min(mine.units, other.units)
        kept, change = mine.take(units), other.take(units)
        if isinstance(change, Delete):
            if isinstance(kept, Retain):
                builder.push(change)
            continue
        assert isinstance(change, Retain)
        if isinstance(kept, Retain):
            builder.push(Retain(units, {**kept.attributes, **change.attributes}))
        else:
            assert isinstance(kept, Insert)
            builder.push(Insert(kept.content, formatted(kept.attributes, change.attributes)))
    return builder.delta()


def transform(first: Delta, second: Delta, *, first_is_first: bool) -> Delta:
    """Return ``second`` as it must be once ``first`` was made; both started from one text.

    ``first_is_first`` says who wins where they meet: whose insertion stands before the other at one
    place, and whose format stays.
    """
    builder = Builder()
    mine, other = _Cursor(first), _Cursor(second)
    while mine.has_more or other.has_more:
        if mine.is_insert and (first_is_first or not other.is_insert):
            builder.push(Retain(mine.take().units))
            continue
        if other.is_insert:
            builder.push(other.take())
            continue
        units = min(mine.units, other.units)
        made, wanted = mine.take(units), other.take(units)
        if isinstance(made, Delete):
            continue
        if isinstance(wanted, Delete):
            builder.push(wanted)
            continue
        assert isinstance(made, Retain)
        assert isinstance(wanted, Retain)
        attributes = wanted.attributes
        if first_is_first:
            attributes = {k: v for k, v in attributes.items() if k not in made.attributes}
        builder.push(Retain(units, attributes))
    return builder.delta()


def invert(delta: Delta, document: Delta) -> Delta:
    """Return the delta that takes another one back, which is made on this document.

    ``document`` must be as long as ``delta`` needs it.
    """
    builder = Builder()
    before = _Cursor(document)
    for operation in delta:
        if isinstance(operation, Insert):
            builder.push(Delete(operation.units))
            continue
        left = operation.units
        while left:
            assert before.has_more, "a delta is inverted on a document that it does not fit"
            was = before.take(min(left, before.units))
            assert isinstance(was, Insert)
            left -= was.units
            if isinstance(operation, Delete):
                builder.push(was)
            else:
                undone = _undone(operation.attributes, was.attributes)
                builder.push(Retain(was.units, undone))
    return builder.delta()


def formatted(attributes: Attributes, change: Attributes) -> Attributes:
    """Return the format that an insertion has after a change: an attribute of None is gone."""
    if not change:
        return attributes
    return {k: v for k, v in {**attributes, **change}.items() if v is not None}


def _undone(change: Attributes, was: Attributes) -> Attributes:
    return {
        key: was.get(key)
        for key, value in change.items()
        if key not in was or not same(value, was[key])
    }


def _joined(left: Operation, right: Operation) -> Operation | None:
    """Return two neighbours as one operation, None if they are not of one kind and format."""
    if isinstance(left, Retain) and isinstance(right, Retain):
        if same(left.attributes, right.attributes):
            return Retain(left.units + right.units, left.attributes)
    elif isinstance(left, Insert) and isinstance(right, Insert):
        one, other = left.content, right.content
        are_texts = isinstance(one, str) and isinstance(other, str)
        if are_texts and same(left.attributes, right.attributes):
            assert isinstance(one, str)
            assert isinstance(other, str)
            return Insert(_concatenated(one, other), left.attributes)
    return None


def _concatenated(one: str, other: str) -> str:
    """Join two texts; the halves of a pair become the character that they are."""
    if "\ud800" <= one[-1] <= "\udbff" and "\udc00" <= other[0] <= "\udfff":
        pair = (one[-1] + other[0]).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        return one[:-1] + pair + other[1:]
    return one + other


def _is_plain_retain(operation: Operation) -> bool:
    return isinstance(operation, Retain) and not operation.attributes


class _Cursor:
    """A place in a delta. Behind the end, everything is kept."""

    def __init__(self, delta: Delta) -> None:
        self._delta = delta
        self._place = -1
        self._offset = 0
        self._whole = _ENDLESS
        self._pairs: bytes | None = None
        self._advance()

    @property
    def has_more(self) -> bool:
        return self._place < len(self._delta)

    @property
    def is_insert(self) -> bool:
        return self.has_more and isinstance(self._delta[self._place], Insert)

    @property
    def is_delete(self) -> bool:
        return self.has_more and isinstance(self._delta[self._place], Delete)

    @property
    def units(self) -> int:
        """Units left of the present operation."""
        return self._whole - self._offset

    def take(self, units: int = _ENDLESS) -> Operation:
        """Return up to so many units of the present operation, and move past them."""
        if not self.has_more:
            return Retain(units)
        operation, start = self._delta[self._place], self._offset
        end = min(start + units, self._whole)
        if isinstance(operation, Insert):
            taken: Operation = operation
            if end - start < self._whole:
                taken = Insert(self._text(start, end), operation.attributes)
        elif isinstance(operation, Retain):
            taken = Retain(end - start, operation.attributes)
        else:
            taken = Delete(end - start)
        self._offset = end
        if end == self._whole:
            self._advance()
        return taken

    def _advance(self) -> None:
        self._place += 1
        self._offset = 0
        self._pairs = None
        if not self.has_more:
            self._whole = _ENDLESS
            return
        operation = self._delta[self._place]
        self._whole = operation.units
        content = operation.content if isinstance(operation, Insert) else None
        if isinstance(content, str) and self._whole != len(content):
            self._pairs = content.encode("utf-16-le", "surrogatepass")

    def _text(self, start: int, end: int) -> str:
        """Return a part of the insertion's text; a pair that is cut leaves half of it."""
        operation = self._delta[self._place]
        assert isinstance(operation, Insert)
        assert isinstance(operation.content, str)
        if self._pairs is None:
            return operation.content[start:end]
        return self._pairs[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
