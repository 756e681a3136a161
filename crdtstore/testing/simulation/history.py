"""History: what was written, what was answered, and therefore what must stand.

It is a model of the store in the plainest terms: a list of writes. It shares no code with
``crdtstore.model``. Of the store it takes only what its callers are told: what ``explain`` says of
a write right after it was made, and whether the write was answered.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtstore.testing.simulation.machine import Machine, Ticket

MUST: Final = "must"
MAY: Final = "may"
NEVER: Final = "never"
OPEN: Final = "open"

Slot = tuple[str, int, Any]
"""Who claims something, for a removal to name: (source, origin, element or None)."""


class Broken(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class Entry:
    """One operation of one write.

    ``what`` is register, counter, add, remove, deny, grant, erase or revive, an edit of a text
    or list (insert, cut, move or format, whose ``value`` are its elements), or fold, whose
    ``value`` is an event. ``seen`` are the claims that a removal or a grant takes back: slot to
    timestamp. ``causes`` are the numbers of writes that its writer had read. ``is_at_mercy`` is
    true if every disk that held it was lost.
    """

    number: int
    ticket: Ticket
    what: str
    profile: str
    epoch: int
    field: str = ""
    source: str = ""
    value: Any = None
    timestamp: int = 0
    seen: Mapping[Slot, int] = dataclasses.field(default_factory=dict)
    causes: tuple[int, ...] = ()
    stamp: int = 0
    is_at_mercy: bool = False
    is_refused: bool = False

    @property
    def origin(self) -> int:
        """The incarnation that wrote it."""
        return self.ticket.origin

    @property
    def fate(self) -> str:
        """Whether it must stand (or have lost by a rule), may, or never."""
        if self.ticket.state == "lost" or self.is_refused:
            return NEVER
        if self.ticket.state in ("durable", "kept"):
            return MAY if self.is_at_mercy else MUST
        return OPEN

    def __str__(self) -> str:
        words = [f"write {self.number} at {self.ticket.machine}/{self.origin:016x}"]
        words.append(f"{self.what} {self.profile}.{self.field} {self.source} {self.value!r:.40}")
        words.append(f"epoch {self.epoch} time {self.timestamp} frame {self.ticket.sequence}")
        return f"{', '.join(words)}: {self.ticket.state}{' at mercy' * self.is_at_mercy}"


class History:
    """Every write, by profile, in the order of writing.

    ``ignored`` tells what an element of the field of candidates left out stands for: the field, the
    source and the value.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.by_profile: dict[str, list[Entry]] = {}
        self.ignored: dict[str, tuple[str, str, Any]] = {}
        self._damaged: set[tuple[str, str]] = set()

    def add(self, **content: Any) -> Entry:
        """Add a write."""
        entry = Entry(number=len(self.entries), **content)
        self.entries.append(entry)
        self.by_profile.setdefault(entry.profile, []).append(entry)
        return entry

    def standing(self, profile: str) -> list[Entry]:
        """Return the writes to a profile that must or may stand."""
        entries = self.by_profile.get(profile, [])
        assert all(entry.fate != OPEN for entry in entries), "a write is under way for ever"
        return [entry for entry in entries if entry.fate != NEVER]

    def withdrawn(self) -> list[str]:
        """Return the profiles with writes that were shown to readers and then lost."""
        return sorted(
            {entry.profile for entry in self.entries if entry.fate == NEVER or entry.is_at_mercy}
        )

    def refuse_beyond(self, wall_ms: int) -> None:
        """Take note that nobody may have writes of a clock that was beyond a time."""
        for entry in self.entries:
            entry.is_refused = entry.stamp >> 16 > wall_ms

    def disk_lost(
        self, before: Mapping[int, int], after: Mapping[int, int], others: Iterable[Machine]
    ) -> int:
        """Take note that a disk went back, or away; return how many writes no disk holds now."""
        lost = [
            entry
            for entry in self.entries
            if after.get(entry.origin, 0) < entry.ticket.sequence <= before.get(entry.origin, 0)
        ]
        return self._leave_to_mercy(lost, list(others))

    def document_damaged(self, name: str, profile: str, others: Iterable[Machine]) -> int:
        """Take note that a machine's document was damaged; return how many writes nobody has."""
        self._damaged.add((name, profile))
        return self._leave_to_mercy(self.by_profile.get(profile, []), list(others))

    def _leave_to_mercy(self, entries: Iterable[Entry], others: Sequence[Machine]) -> int:
        held = [(machine.name, machine.disk_vector) for machine in others]
        count = 0
        for entry in entries:
            if entry.fate == MUST and not any(
                vector.get(entry.origin, 0) >= entry.ticket.sequence
                and (name, entry.profile) not in self._damaged
                for name, vector in held
            ):
                entry.is_at_mercy = True
                count += 1
        return count
