"""What is measured beside the stores: our own parts, persons, growth, and the number of replicas.

Each part gives a table: a row per case, figures with names that carry their units.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import apply, events, fleet, growth, identifiers, load, persons, stream, texts

Table = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part, in its two sizes, and with a million profiles."""

    name: str
    title: str
    full: Callable[[], Table]
    smoke: Callable[[], Table]
    million: Callable[[], Table] | None = None


PARTS = (
    Part(
        "apply",
        "Alone: frames applied in memory, and a store without asyncio",
        lambda: apply.measure_all(100_000, 100_000, 5),
        lambda: apply.measure_all(2_000, 2_000, 1),
    ),
    Part(
        "stream",
        "Write streams: one client process, one server process",
        lambda: stream.measure(10_000, 100_000, 5),
        lambda: stream.measure(500, 2_000, 1),
    ),
    Part(
        "load",
        f"Latency while {load.EDITS_PER_S:,} edits/s come in and a new replica takes a snapshot",
        lambda: load.measure(100_000, 45),
        lambda: load.measure(200, 2),
    ),
    Part(
        "persons",
        "Persons: found by an e-mail address, and read by the id of a profile",
        lambda: persons.measure(20, 500, 5),
        lambda: persons.measure(2, 10, 1),
    ),
    Part(
        "identifiers",
        "Identifiers: loaded, two a profile, and persons found among them",
        lambda: identifiers.measure(identifiers.STEPS),
        lambda: identifiers.measure(identifiers.STEPS_SMOKE),
        lambda: identifiers.measure(identifiers.STEPS_WITH_MILLIONS),
    ),
    Part(
        "texts",
        "Texts: an edit of 100 KB, and what it costs the fields beside it",
        lambda: texts.measure(400, 5),
        lambda: texts.measure(10, 1),
    ),
    Part(
        "growth",
        "Growth: by the number of profiles",
        lambda: growth.measure(growth.STEPS),
        lambda: growth.measure(growth.STEPS_SMOKE),
        lambda: growth.measure(growth.STEPS_WITH_A_MILLION),
    ),
    Part(
        "fleet",
        "Replicas: by their number, one of which is written to",
        lambda: fleet.measure(fleet.COUNTS, fleet.SIZE),
        lambda: fleet.measure(fleet.COUNTS_SMOKE, fleet.SIZE_SMOKE),
    ),
    Part(
        "events",
        "Events: batches of 100 over HTTP, 30 traits, and a second region that follows",
        lambda: events.measure(events.CASES, 100_000),
        lambda: events.measure(events.CASES_SMOKE, 200),
    ),
)


def run_parts(names: set[str], smoke: bool, million: bool) -> dict[str, Table]:
    """Measure the parts with these names."""
    tables = {}
    for part in PARTS:
        if part.name not in names:
            continue
        if smoke:
            tables[part.name] = part.smoke()
        elif million and part.million is not None:
            tables[part.name] = part.million()
        else:
            tables[part.name] = part.full()
    return tables
