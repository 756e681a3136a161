"""Conditions: what a definition asks of a golden record, compiled to pure functions.

A condition is a table. It names one subject, and says something about it with operators, all of
which must hold; or it is a group of conditions:

    { field = "plan", eq = "gold" }
    { trait = "orders", ge = 3, lt = 10 }
    { trait = "visits.sessions", ge = 3 }
    { consent = "newsletter", is = "granted" }
    { identifier = "email", ew = "@example.com" }
    { any = [ { identifier = "email" }, { identifier = "phone" } ] }

What is compiled takes a golden record and the present, and knows nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from replicas.cdp import limits
from replicas.cdp.segments.errors import SegmentInvalid
from replicas.cdp.segments.operators import OPERATORS, Test, Turns, test_of, turns_of
from replicas.cdp.segments.subjects import Record, Subject

GROUPS: Final = ("all", "any", "none")
"""How conditions are put together."""

_SUBJECTS: Final = ("field", "trait", "consent", "identifier")
_CONSENT_STATES: Final[dict[str, bool | None]] = {
    "granted": True,
    "denied": False,
    "unknown": None,
}


@dataclass(frozen=True, slots=True)
class Says:
    """One operator and its operand, as they were written, and what they were compiled to."""

    operator: str
    operand: Any
    test: Test
    turns: Turns | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is said about one subject."""

    subject: Subject
    says: tuple[Says, ...]

    def holds(self, record: Record, now_ms: int) -> bool:
        """Say whether all of it holds."""
        values = self.subject.values(record, now_ms)
        return all(said.test(values, now_ms) for said in self.says)

    def turns(self, record: Record, now_ms: int) -> Iterator[int]:
        """Yield the moments at which that may change by time alone."""
        yield from self.subject.turns(record)
        relative = [said.turns for said in self.says if said.turns is not None]
        if relative:
            values = self.subject.values(record, now_ms)
            for turns in relative:
                yield from turns(values)

    def subjects(self) -> Iterator[Subject]:
        """Yield what is read."""
        yield self.subject


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions put together: "all", "any" or "none" of them hold."""

    word: str
    parts: tuple["Condition", ...]

    def holds(self, record: Record, now_ms: int) -> bool:
        """Say whether it holds."""
        found = (part.holds(record, now_ms) for part in self.parts)
        if self.word == "all":
            return all(found)
        return any(found) is (self.word == "any")

    def turns(self, record: Record, now_ms: int) -> Iterator[int]:
        """Yield the moments at which that may change by time alone."""
        for part in self.parts:
            yield from part.turns(record, now_ms)

    def subjects(self) -> Iterator[Subject]:
        """Yield what is read."""
        for part in self.parts:
            yield from part.subjects()


Condition: TypeAlias = Comparison | Group


def condition_of(table: object, place: str) -> Condition:
    """Return the condition that a table is; raises SegmentInvalid, which says where it is wrong."""
    condition = _condition_of(table, place, 0)
    count = sum(1 for _ in condition.subjects())
    if count > limits.SEGMENT_CONDITIONS_MAX:
        maximum = limits.SEGMENT_CONDITIONS_MAX
        raise SegmentInvalid(place, f"has {count:,} conditions; the limit is {maximum}")
    return condition


def _condition_of(table: object, place: str, depth: int) -> Condition:
    if not isinstance(table, dict):
        raise SegmentInvalid(place, 'a condition is a table, as { field = "plan", eq = "gold" }')
    words = [word for word in (*GROUPS, *_SUBJECTS) if word in table]
    if len(words) != 1:
        named = " and ".join(words) or "none of them"
        raise SegmentInvalid(
            place, f"a condition has one of {', '.join((*GROUPS, *_SUBJECTS))}; this has {named}"
        )
    (word,) = words
    if word in GROUPS:
        return _group_of(table, word, place, depth)
    subject = table[word]
    if not isinstance(subject, str) or not subject:
        raise SegmentInvalid(place, f"{word} is a name")
    said = {name: operand for name, operand in table.items() if name != word}
    if word == "consent":
        return _consent_of(subject, said, place)
    if not said:
        if word != "identifier":
            allowed = ", ".join(OPERATORS)
            raise SegmentInvalid(place, f"nothing is said about {word} {subject!r}: add {allowed}")
        said = {"pr": True}
    says = tuple(_said(name, operand, place) for name, operand in said.items())
    return Comparison(Subject.of(word, subject), says)


def _group_of(table: dict[str, Any], word: str, place: str, depth: int) -> Group:
    if len(table) > 1:
        extra = next(name for name in table if name != word)
        raise SegmentInvalid(place, f"{extra!r} stands beside {word}: put it into the list")
    parts = table[word]
    if not isinstance(parts, list) or not parts:
        raise SegmentInvalid(f"{place}.{word}", "is a list of at least one condition")
    if depth == limits.SEGMENT_DEPTH_MAX:
        raise SegmentInvalid(place, f"is more than {depth} groups deep")
    found = (
        _condition_of(part, f"{place}.{word}[{number}]", depth + 1)
        for number, part in enumerate(parts)
    )
    return Group(word, tuple(found))


def _consent_of(field: str, said: dict[str, Any], place: str) -> Comparison:
    state = said.get("is")
    if set(said) != {"is"} or state not in _CONSENT_STATES:
        raise SegmentInvalid(place, "of a consent is said: is = granted, denied or unknown")
    value = _CONSENT_STATES[state]
    says = _said("pr", False, place) if value is None else _said("eq", value, place)
    return Comparison(Subject.of("consent", field), (says,))


def _said(name: str, operand: object, place: str) -> Says:
    if name not in OPERATORS:
        raise SegmentInvalid(place, f"{name!r} is no operator; there are {', '.join(OPERATORS)}")
    try:
        return Says(name, operand, test_of(name, operand), turns_of(name, operand))
    except ValueError as error:
        raise SegmentInvalid(place, str(error)) from None
