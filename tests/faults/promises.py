"""Promises: what writers were told is durable, and so must be read ever after.

A lane is one writer that makes numbered batches, one after the other. A batch is a function of lane
and number, so a writer that was killed needs to have said no more than the number. What a batch
does to the profiles is known exactly: registers hold the last number, counters were incremented
once for each write, sets have what was added and not removed, who was erased is not there. A few
profiles have notes that all lanes write into: each insertion is there once, in whatever order.
"""

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crdtstore import Write, add, increment, insert_text, remove

PROFILES = 211
WRITES = 12
SHORT_TEXT_BYTES = 40
LETTERS = string.ascii_letters + string.digits
NOTED = frozenset(f"person-{number:04d}" for number in range(10))

Profiles = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One write of a batch to one profile."""

    id: str
    lane: str
    number: int
    text: str

    @property
    def element(self) -> str:
        return f"{self.lane}-{self.number % 3}"

    @property
    def word(self) -> str:
        """What is inserted into the profile's notes, "" if nothing is."""
        return f"{self.lane}.{self.number}" if self.id in NOTED and self.number % 4 == 1 else ""

    @property
    def adds(self) -> bool:
        return self.number % 4 != 3

    def write(self) -> Write:
        """Return the write for the library."""
        change = add(self.element) if self.adds else remove(self.element)
        return Write(
            self.id, self.lane, self._fields(increment(), change, insert_text(0, f"{self.word} "))
        )

    def body(self) -> dict[str, Any]:
        """Return the write for the HTTP API."""
        change = {"add" if self.adds else "remove": [self.element]}
        edit = {"edit_text": [{"insert": f"{self.word} "}]}
        fields = self._fields({"increment": 1}, change, edit)
        return {"id": self.id, "source": self.lane, "fields": fields}

    def _fields(self, count: Any, change: Any, edit: Any) -> dict[str, Any]:
        named = {f"last-{self.lane}": self.number, f"text-{self.lane}": self.text}
        if self.word:
            named["notes"] = edit
        return {**named, "count": count, "tags": change}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one lane does at once; ``erased`` is a profile that is erased after the writes."""

    lane: str
    number: int
    entries: tuple[Entry, ...]
    erased: str | None


def _text_of(start: str, profile_id: str, text_bytes: int) -> str:
    """Return a text of so many bytes; a long one cannot be deflated by much."""
    if text_bytes <= SHORT_TEXT_BYTES:
        return start.ljust(text_bytes, "x")
    letters = random.Random(start + profile_id).choices(LETTERS, k=text_bytes - len(start))
    return start + "".join(letters)


def batch_of(lane: str, number: int, text_bytes: int = 40) -> Batch:
    """Return a batch: its place in the profiles moves, and each tenth brings one who will leave."""
    ids = [f"person-{(number * WRITES + index) * 89 % PROFILES:04d}" for index in range(WRITES)]
    if number % 10 == 0:
        ids.append(_leaver(lane, number))
    erased = _leaver(lane, number - 9) if number % 10 == 9 and number > 9 else None
    return Batch(
        lane,
        number,
        tuple(
            Entry(id_, lane, number, _text_of(f"{lane}.{number}.", id_, text_bytes)) for id_ in ids
        ),
        erased,
    )


def _leaver(lane: str, number: int) -> str:
    return f"leaver-{lane}-{number:07d}"


@dataclass(slots=True)
class Lane:
    """How far a lane is: the last number that it tried, those answered, those not answered.

    ``answered`` says for each number whether its erasure is durable too: it comes after the writes.
    """

    attempted: int = 0
    answered: dict[int, bool] = field(default_factory=dict)
    unanswered: list[int] = field(default_factory=list)


class Promises:
    """What must be read, after what all lanes were answered. ``checked`` counts writes compared."""

    def __init__(self, text_bytes: int = 40) -> None:
        self.text_bytes = text_bytes
        self.acknowledged = 0
        self.checked = 0
        self._expected: dict[str, dict[str, Any]] = {}
        self._erased: set[str] = set()
        self._lanes: dict[str, Lane] = {}

    def next_number(self, lane: str) -> int:
        """Return the number of the batch that a lane shall try now; it was not tried before."""
        state = self._lanes.setdefault(lane, Lane())
        state.attempted += 1
        return state.attempted

    def batch(self, lane: str, number: int) -> Batch:
        """Return a batch of a lane."""
        return batch_of(lane, number, self.text_bytes)

    def tried(self, lane: str, number: int) -> None:
        """Take note that a lane was writing a batch when it was cut off."""
        state = self._lanes.setdefault(lane, Lane())
        state.attempted = max(state.attempted, number)
        state.unanswered.append(number)

    def answered(self, lane: str, number: int, *, with_erasure: bool = True) -> None:
        """Take note that a batch is durable: from now on it must be read."""
        state = self._lanes.setdefault(lane, Lane())
        state.attempted = max(state.attempted, number)
        state.answered[number] = with_erasure
        batch = self.batch(lane, number)
        for entry in batch.entries:
            fields = self._expected.setdefault(entry.id, {})
            fields[f"last-{lane}"], fields[f"text-{lane}"] = number, entry.text
            fields["count"] = fields.get("count", 0) + 1
            if entry.word:
                fields["notes"] = sorted([*fields.get("notes", ()), entry.word])
            tags = set(fields.get("tags", ()))
            tags = tags | {entry.element} if entry.adds else tags - {entry.element}
            fields.pop("tags", None)
            if tags:
                fields["tags"] = sorted(tags)
        self.acknowledged += len(batch.entries)
        if batch.erased and with_erasure:
            self._expected.pop(batch.erased, None)
            self._erased.add(batch.erased)
            self.acknowledged += 1

    def settle(self, actual: Profiles) -> None:
        """Find out which unanswered batches were made durable: all of one, or nothing of it.

        What is read after a restart is durable, so it is promised from then on.
        """
        for lane, state in self._lanes.items():
            for number in state.unanswered:
                batch = self.batch(lane, number)
                landed = {
                    actual.get(entry.id, {}).get(f"last-{lane}") == number
                    for entry in batch.entries
                }
                assert len(landed) == 1, f"half of batch {number} of {lane} is there"
                if landed == {True}:
                    self.answered(lane, number, with_erasure=batch.erased not in actual)
            state.unanswered.clear()

    def differences(self, actual: Profiles) -> list[str]:
        """Return what is not as it must be, one line each; it must be settled."""
        known = self._expected.keys() | self._erased
        found = [f"{id_} was erased, and is back" for id_ in self._erased & actual.keys()]
        found += [f"{id_} is there, and nobody wrote it" for id_ in actual.keys() - known]
        for id_, fields in self._expected.items():
            if id_ not in actual:
                found.append(f"{id_} is lost")
            elif (there := _comparable(actual[id_])) != fields:
                found += [
                    f"{id_}: {name} is {there.get(name)!r}, must be {fields.get(name)!r}"
                    for name in sorted(fields.keys() | there.keys())
                    if there.get(name) != fields.get(name)
                ]
        return found

    def last_answered(self) -> dict[str, int]:
        """Return the last answered number of each lane."""
        return {name: max(lane.answered, default=0) for name, lane in self._lanes.items()}

    def check_moment(self, actual: Profiles, since: Mapping[str, int]) -> int:
        """Check that profiles are those of one moment, and return the number of its writes.

        Of each lane they have all batches up to one, and that one is none before ``since``.
        """
        moment = Promises(self.text_bytes)
        for name, lane in self._lanes.items():
            seen = [fields.get(f"last-{name}", 0) for fields in actual.values()]
            frontier = max(seen, default=0)
            assert frontier >= since.get(name, 0), f"{name} is at {frontier}, before {since}"
            for number, with_erasure in lane.answered.items():
                if number < frontier:
                    moment.answered(name, number, with_erasure=with_erasure)
            if frontier:
                moment.tried(name, frontier)
        moment.check(actual)
        return moment.checked

    def check(self, actual: Profiles) -> None:
        """Settle what was not answered, and check that everything promised is read."""
        self.settle(actual)
        found = self.differences(actual)
        assert not found, f"{len(found)} differences:\n" + "\n".join(sorted(found)[:30])
        self.checked = self.acknowledged


def _comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with the insertions into notes in order: writers at two replicas have none."""
    notes = fields.get("notes")
    return {**fields, "notes": sorted(notes.split())} if isinstance(notes, str) else dict(fields)


class BesideOthers(Promises):
    """Promises of a store that holds other profiles too, known by the beginnings of their ids."""

    def __init__(self, *beginnings: str, text_bytes: int = 40) -> None:
        super().__init__(text_bytes)
        self._beginnings = beginnings

    def check(self, actual: Profiles) -> None:
        """Check the profiles that are not of the others."""
        kept = {id_: f for id_, f in actual.items() if not id_.startswith(self._beginnings)}
        super().check(kept)
