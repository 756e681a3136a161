"""Subjects: what a condition is about, and the values that a golden record has of it.

A trait is its value at present: of a window, what is in it now, so it may change by time alone, at
the moments when a bucket leaves. A trait that is a record, as sessions are, has members, which are
named behind a dot: `visits.sessions`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from crdtstore import trait_at

Record: TypeAlias = Mapping[str, Any]
Values: TypeAlias = Sequence[Any]

IDENTIFIERS = "identifiers"
"""The field in which identifiers stand."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A field, or a part of it: a member of a trait, or the identifiers of one type."""

    field: str
    member: str = ""
    identifier: str = ""
    is_trait: bool = False

    @classmethod
    def of(cls, word: str, name: str) -> "Subject":
        """Return the subject that a condition names by a word: field, trait, identifier ..."""
        if word == "identifier":
            return cls(IDENTIFIERS, identifier=name)
        if word == "trait":
            field, _, member = name.partition(".")
            return cls(field, member, is_trait=True)
        return cls(name)

    def values(self, record: Record, now_ms: int) -> Values:
        """Return its values at a moment, none if there is nothing."""
        value = record.get(self.field)
        if self.identifier:
            prefix = f"{self.identifier}:"
            return [text[len(prefix) :] for text in value or () if str(text).startswith(prefix)]
        value = trait_at(value, now_ms)
        if self.member:
            value = value.get(self.member) if isinstance(value, dict) else None
        if value is None:
            return ()
        return value if isinstance(value, list) else (value,)

    def turns(self, record: Record) -> Iterator[int]:
        """Yield the moments at which a bucket leaves a window."""
        value = record.get(self.field)
        if isinstance(value, dict) and trait_at(value, 0) is not value:
            width_ms, count, *_ = value["options"]
            for number, _ in value["payload"]:
                yield (number + count) * width_ms
