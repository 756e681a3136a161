"""Partials: what a trait costs a store that folds into it, and one that the partial is sent to.

    python -m benchmarks.partials [--persons 100000] [--per-s 12500] [--seconds 4]

Persons have a past of twelve times. Then there are some seconds of events, each gathered as a CDP
gathers it, written in commits of 150 profiles, sent in frames, and brought to rest. Told are
microseconds of this thread for each partial, with storage in memory: what a disk takes is not in
them. Python's search for garbage is switched off while they are counted.
"""

import argparse
import gc
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from benchmarks.event_mix import TRAITS_FILE, Visitors
from crdtstore import Settings, Store, fold_in, limits
from crdtstore.limits import MEBIBYTE
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import split_frames
from replicas.cdp.events import Event
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.gathering import Gatherer
from replicas.cdp.traits.matching import Rules

NOW_MS: Final = 1_800_000_000_000
AGO_H: Final = (600, 480, 360, 240, 168, 120, 72, 48, 20, 10, 5, 2)
PROFILES_PER_COMMIT: Final = 150
_BATCH: Final = 500

Gained: TypeAlias = dict[str, dict[str, Any]]
"""What some events add: by profile and trait."""


class Course:
    """Two stores, and the seconds that each part of the work takes."""

    def __init__(self, definitions: TraitDefinitions) -> None:
        self.spent_s: dict[str, float] = {}
        self.partials = 0
        self.changed = 0
        self._definitions = definitions
        self._rules = Rules(definitions.by_name.values())
        self._gatherers: Mapping[str, Gatherer] = self._rules.gatherers
        self._now_ms = NOW_MS
        self._position = 0
        self._source, self._reader = (
            Store.open(
                MemoryStorage(), name=name, schema=definitions.declared(),
                settings=Settings(cache_bytes=8192 * MEBIBYTE), now_ms=lambda: self._now_ms,
            )
            for name in ("source", "reader")
        )  # fmt: skip

    def gathered(self, visitors: Visitors, count: int, at_ms: int) -> Gained:
        """Return what so many events add that happen within one second."""
        held: Gained = {}
        for event in _events(visitors, count, at_ms):
            for rule in self._rules.of(event):
                if rule.condition is not None and not rule.condition(event):
                    continue
                value = None if rule.get is None else rule.gatherer.taken(rule.get(event))
                mine = held.setdefault(event.profile_id, {})
                name, gatherer = rule.name, rule.gatherer
                if name in mine:
                    mine[name] = gatherer.add(mine[name], value, event)
                else:
                    mine[name] = gatherer.begun(value, event)
        return held

    def fold(self, gained: Gained, at_ms: int) -> None:
        """Write what was gained, and send it."""
        self._now_ms = at_ms
        profiles = list(gained.items())
        for first in range(0, len(profiles), PROFILES_PER_COMMIT):
            part = profiles[first : first + PROFILES_PER_COMMIT]
            with self._timed("payloads"):
                writes = [(profile_id, self._operations(held)) for profile_id, held in part]
            with self._timed("write"):
                results = [
                    self._source.write(profile_id, fields, source="cdp")
                    for profile_id, fields in writes
                ]
            with self._timed("commit"):
                self._source.commit()
            self.partials += sum(len(fields) for _, fields in writes)
            self.changed += sum(len(result.changed) for result in results)
        self._send()

    def _operations(self, held: dict[str, Any]) -> dict[str, Any]:
        operations = {}
        for name, gain in held.items():
            payload, its = self._gatherers[name].finished(gain), self._definitions.by_name[name]
            operations[name] = fold_in(its.fold, payload, options=its.options, version=its.version)
        return operations

    def _send(self) -> None:
        while True:
            with self._timed("send"):
                records = self._source.replication.records_after(
                    self._position, limits.MESSAGE_FRAMES_BYTES
                )
                message = b"".join(raw for _, raw in records)
            if not records:
                return
            self._position = records[-1][0]
            with self._timed("receive"):
                self._reader.replication.receive_frames(split_frames(message), self._now_ms)
            with self._timed("commit there"):
                self._reader.commit()

    def rest(self) -> None:
        """Bring all documents to rest."""
        for store, part in ((self._source, "checkpoint"), (self._reader, "checkpoint there")):
            with self._timed(part):
                store.commit(checkpoint=True)

    def is_equal(self) -> bool:
        """Say whether both stores hold the same."""
        return self._source.digest().digest == self._reader.digest().digest

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.thread_time()
        yield
        self.spent_s[part] = self.spent_s.get(part, 0.0) + time.thread_time() - begun


def _events(visitors: Visitors, count: int, at_ms: int) -> Iterator[Event]:
    for _ in range(max(count // _BATCH, 1)):
        for item in json.loads(visitors.batch(min(count, _BATCH)))["batch"]:
            name = item.get("event") or item.get("name") or ""
            properties = item.get("properties") or item.get("traits")
            yield Event(
                item["type"], item["messageId"], f"profile-of-{item['userId']}", name,
                properties=properties, timestamp_ms=at_ms, received_at_ms=at_ms,
            )  # fmt: skip


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser("python -m benchmarks.partials", description=__doc__)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--per-s", type=int, default=12_500)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    course = Course(TraitDefinitions.load(TRAITS_FILE))
    visitors = Visitors("benchmark", arguments.persons, seed=7)
    for hours in AGO_H:
        at_ms = NOW_MS - hours * 3_600_000
        course.fold(course.gathered(visitors, 2 * arguments.per_s, at_ms), at_ms)
        course.rest()
    seconds = [
        course.gathered(visitors, arguments.per_s, NOW_MS + 1_000 * second)
        for second in range(arguments.seconds)
    ]
    course.spent_s.clear()
    course.partials = course.changed = 0
    gc.collect()
    gc.disable()
    for second, gained in enumerate(seconds):
        course.fold(gained, NOW_MS + 1_000 * second)
    course.rest()
    assert course.is_equal()
    idle = course.partials - course.changed
    print(f"{course.partials:,} partials, {idle:,} of which changed nothing")
    for part, spent_s in course.spent_s.items():
        print(f"{part:<17}{spent_s / course.partials * 1e6:>6.2f} us")


if __name__ == "__main__":
    main()
