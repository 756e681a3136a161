"""Traits in a simulation: events that are folded in, and a plain recomputation from all of them.

Traits are drawn from a chance of their own, and go along with writes that would be made anyway: the
other choices of a seed stay as they were before there were traits.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from crdtstore.model.candidates import Candidate
from crdtstore.model.operations import FoldIn
from crdtstore.schema import Field, Schema
from crdtstore.testing.simulation.history import MUST, Broken, Entry

FOLD: Final = "fold"
"""What an entry of the history is that folds an event into a trait."""

WIDTH_MS: Final = 100
BUCKETS: Final = 4
GAP_MS: Final = 20

OPTIONS: Final[Mapping[str, list[Any]]] = {
    "count": [],
    "sum": [2],
    "last": [],
    "unique_list": [],
    "sessions": [GAP_MS],
    "windows": [WIDTH_MS, BUCKETS, "count", []],
}
TRAITS: Final[Mapping[str, Field]] = {f"trait_{fold}": Field(kind="trait") for fold in OPTIONS}
"""The fields of the traits in a simulation, each of one fold."""


class Event(NamedTuple):
    """One event: when it was, and what it says."""

    time_ms: int
    number: int
    word: str


class Traits:
    """Draws what is folded in."""

    def __init__(self, chance: random.Random, schema: Schema) -> None:
        self._chance = random.Random(f"traits {chance.getstate()[1][:8]}")
        self._fields = [name for name in TRAITS if schema.kind_of(name) == "trait"]

    def drawn(self) -> dict[str, Event]:
        """Return the events that go along with a write, by field: most often none."""
        chance = self._chance
        if not self._fields or chance.random() < 0.8:
            return {}
        event = Event(chance.randrange(1_000), chance.choice([1, -2, 150, 3]), chance.choice("abc"))
        names = chance.sample(self._fields, chance.choice([1, 1, 2, len(self._fields)]))
        return dict.fromkeys(sorted(names), event)


def operation_of(name: str, event: Event) -> FoldIn:
    """Return the operation that folds an event in."""
    fold = name.removeprefix("trait_")
    return FoldIn(fold, payload_of(fold, [event]), OPTIONS[fold])


def check_trait(
    where: str, candidates: Sequence[Candidate], entries: Sequence[Entry], value: Any
) -> None:
    """Every partial folds what was answered there, in order; the value folds all of it anew."""
    fold = where.rsplit(".trait_", 1)[-1]
    found: dict[tuple[str, int], Any] = {(c.source, c.origin): c.value for c in candidates}
    parts: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        parts[entry.source, entry.origin].append(entry)
    counted: list[Event] = []
    for part in found.keys() | parts.keys():
        seen: list[Event] = []
        allowed: list[list[Event]] = [[]]
        for entry in parts[part]:
            seen.append(entry.value)
            if entry.fate == MUST:
                allowed.clear()
            allowed.append(seen.copy())
        partial = found.get(part)
        payload = None if partial is None else partial[3]
        matching = [events for events in allowed if payload_of(fold, events) == payload]
        if not matching:
            raise Broken(
                f"{where}: the partial of {part[0]} at {part[1]:016x} is {partial}, not that of "
                f"{allowed[-3:]}"
            )
        counted += matching[-1]
    expected = value_of(fold, counted)
    if value != expected:
        raise Broken(f"{where} reads {value}; what was answered folds into {expected}")


def payload_of(fold: str, events: Sequence[Event]) -> Any:
    """Return the partial of some events, None if there are none: worked out a second time."""
    if not events:
        return None
    match fold:
        case "count":
            return len(events)
        case "sum":
            return sum(event.number for event in events)
        case "last":
            last = max(events, key=lambda event: (event.time_ms, str(event.number), event.word))
            return [last.time_ms, str(last.number), last.word]
        case "unique_list":
            return sorted({event.word for event in events})
        case "sessions":
            return [[0, 0, 0], _sessions(event.time_ms for event in events)]
    newest = max(event.time_ms // WIDTH_MS for event in events)
    numbers = [event.time_ms // WIDTH_MS for event in events]
    standing = sorted({number for number in numbers if number > newest - BUCKETS})
    return [[number, numbers.count(number)] for number in standing]


def value_of(fold: str, events: Sequence[Event]) -> Any:
    """Return what all events of a trait come to."""
    payload = payload_of(fold, events)
    if payload is None:
        return None
    match fold:
        case "sum":
            return payload / 100
        case "last":
            return payload[2]
        case "sessions":
            sessions = payload[1]
            return {
                "sessions": len(sessions),
                "events": len(events),
                "duration_ms": sum(end - start for start, end, _ in sessions),
                "last_started_ms": sessions[-1][0],
                "last_ended_ms": sessions[-1][1],
            }
        case "windows":
            return {"fold": fold, "options": OPTIONS[fold], "payload": payload}
    return payload


def _sessions(times: Iterable[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for time_ms in sorted(times):
        if found and time_ms - found[-1][1] <= GAP_MS:
            found[-1][1:] = [time_ms, found[-1][2] + 1]
        else:
            found.append([time_ms, time_ms, 1])
    return found
