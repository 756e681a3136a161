"""Folding: events of a log made into traits, by one process, with nothing else to do.

    python -m benchmarks.folding [--events 200000] [--profiles 100000] [--definitions 30]

Three definitions match each event. Told are the rates at which events are read from the log, at
which they are gathered, and at which all of it is done: partials made, committed, and positions.
Seconds are those of the processor, so that what else runs on the machine counts for little.
"""

import argparse
import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import scratch_directory
from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from replicas.cdp.traits.gathering import Gatherer
from replicas.cdp.traits.matching import Rules

MATCHING: Final = 3
NOW_MS: Final = 1_800_000_000_000
FOLDS: Final = (
    'fold = "count"',
    'fold = "sum"\nproperty = "total"\ndecimals = 2',
    'fold = "count"\nwindow = "30d"',
    'fold = "last"\nproperty = "item"',
    'fold = "maximum"\nproperty = "total"\ndecimals = 2',
    'fold = "unique_list"\nproperty = "item"',
    'fold = "most_frequent"\nproperty = "item"',
    'fold = "average"\nproperty = "total"',
    'fold = "count"\nwhere = { currency = "EUR" }',
    'fold = "sum"\nproperty = "total"\nwindow = "7d"\nbucket = "1d"',
)


def definitions_of(count: int) -> TraitDefinitions:
    """Return so many definitions, of which three are of each event's name."""
    names = count // MATCHING
    bodies = [
        f'[traits.t{number}]\nevent = "Event {number % names}"\n{FOLDS[number % len(FOLDS)]}\n'
        for number in range(count)
    ]
    return TraitDefinitions.parse("\n".join(bodies))


def events_of(count: int, profiles: int, names: int) -> list[Event]:
    """Return events of some names, spread over profiles and three weeks."""
    chance = random.Random(1)
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(profiles)]
    return [
        Event(
            "track", f"m{number}", chance.choice(ids), f"Event {chance.randrange(names)}",
            properties={
                "total": round(100 * chance.random(), 2), "item": chance.choice("abcde"),
                "currency": "EUR",
            },
            timestamp_ms=NOW_MS - chance.randrange(1_800_000_000), received_at_ms=NOW_MS,
        )
        for number in range(count)
    ]  # fmt: skip


def gathering_s(rules: Rules, events: list[Event]) -> float:
    """Return the seconds that gathering takes."""
    held: dict[tuple[str, str], Any] = {}
    begun = time.process_time()
    for event in events:
        for rule in rules.of(event):
            if rule.condition is not None and not rule.condition(event):
                continue
            gatherer: Gatherer = rule.gatherer
            value = gatherer.taken(rule.get(event)) if rule.get else None
            place = event.profile_id, rule.name
            mine = held.get(place)
            held[place] = (
                gatherer.begun(value, event) if mine is None else gatherer.add(mine, value, event)
            )
    return time.process_time() - begun


async def measure(events: list[Event], definitions: TraitDefinitions, directory: Path) -> None:
    """Print the rates of one run."""
    count = len(events)
    spent = gathering_s(Rules(definitions.by_name.values()), events)
    print(f"gathered   {count / spent:>10,.0f} events/s")
    log = EventLog(directory / "events")
    for first in range(0, count, 10_000):
        log.append(events[first : first + 10_000])
    begun = time.process_time()
    log.read(0, count)
    print(f"read       {count / (time.process_time() - begun):>10,.0f} events/s")
    schema = definitions.declared()
    async with Replica.open(directory / "replica", name="eu", schema=schema) as replica:
        folding = Folding(replica, log, definitions)
        begun = time.process_time()
        while await folding.fold_once():
            pass
        spent = time.process_time() - begun
        partials = folding.counters["partials"]
    log.close()
    print(f"all of it  {count / spent:>10,.0f} events/s, {partials / spent:,.0f} partials/s")


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser("python -m benchmarks.folding", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--definitions", type=int, default=30)
    arguments = parser.parse_args()
    definitions = definitions_of(arguments.definitions)
    names = arguments.definitions // MATCHING
    events = events_of(arguments.events, arguments.profiles, names)
    with scratch_directory("folding") as directory:
        asyncio.run(measure(events, definitions, directory))


if __name__ == "__main__":
    main()
