"""Ledger: what the replicas acknowledged, and what therefore must be found in the end.

It knows nothing of how crdtstore joins. It holds what a person would expect: the last value of a
source, the exact sum of a counter, a set from which nothing disappears that its remover had not
seen, a consent that nobody has on one side of a cut while it was revoked on the other.

Two rules keep these expectations simple, and the demo keeps to them: before the cut no two
replicas write one source's value, and during it an element that one side adds the other never
saw added so.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, TypeAlias

Slot: TypeAlias = tuple[str, str, str]
"""(profile id, field, source): the place of one source's value."""


class Ledger:
    """Acknowledged writes. ``part()`` marks the beginning of the cut."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.effective_writes = 0
        self.profile_ids: set[str] = set()
        self._is_parted = False
        self._before: dict[Slot, str] = {}
        self._apart: defaultdict[Slot, dict[str, str]] = defaultdict(dict)
        self._counters: Counter[tuple[str, str]] = Counter()
        self._added: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._removed: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._added_apart: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._consents: dict[tuple[str, str], bool] = {}

    def part(self) -> None:
        """From here on, replicas write without knowing of one another."""
        self._is_parted = True

    def acknowledge(self, replica: str, write: dict[str, Any], changed: list[str]) -> None:
        """Note a write that a replica acknowledged, and the fields that it changed there."""
        self.writes[replica] += 1
        self.edits[replica] += len(changed)
        self.effective_writes += bool(changed)
        self.profile_ids.add(write["id"])
        for field, value in write["fields"].items():
            if isinstance(value, str):
                self._note_value(replica, (write["id"], field, write["source"]), value)
            else:
                self._note_operation((write["id"], field), value)

    def _note_value(self, replica: str, slot: Slot, value: str) -> None:
        if self._is_parted:
            self._apart[slot][replica] = value
        else:
            self._before[slot] = value

    def _note_operation(self, place: tuple[str, str], operation: dict[str, Any]) -> None:
        for name, argument in operation.items():
            match name:
                case "increment":
                    self._counters[place] += argument
                case "add":
                    (self._added_apart if self._is_parted else self._added)[place].update(argument)
                case "remove":
                    self._removed[place].update(argument)
                case "grant":
                    self._consents.setdefault(place, True)
                case "revoke":
                    self._consents[place] = False
                case _:
                    raise AssertionError(f"the demo makes no operation {name!r}")

    @property
    def counter_total(self) -> int:
        """The sum of all counters."""
        return self._counters.total()

    def values(self) -> dict[str, dict[tuple[str, str], set[str]]]:
        """Return, by profile, the values that may stand for (field, source): one from either side.

        What was written during the cut replaces what stood before it.
        """
        values: dict[str, dict[tuple[str, str], set[str]]] = {}
        for (profile_id, field, source), value in self._before.items():
            values.setdefault(profile_id, {})[field, source] = {value}
        for (profile_id, field, source), by_replica in self._apart.items():
            values.setdefault(profile_id, {})[field, source] = set(by_replica.values())
        return values

    def operations(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (profile id, field, value) of every counter, set and consent."""
        for (profile_id, field), total in self._counters.items():
            yield profile_id, field, total
        for place in self._added.keys() | self._added_apart.keys():
            elements = self._added[place] - self._removed[place] | self._added_apart[place]
            yield *place, sorted(elements)
        for (profile_id, field), is_granted in self._consents.items():
            yield profile_id, field, is_granted
