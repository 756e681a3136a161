"""Identifiers: what loading 10,000, 100,000 and a million of them costs one replica.

    python -m benchmarks.identifiers '{"identifiers": …, "directory": …}'

is the program that is measured in process; it prints what it found. Of three profiles
the first two share the number of a card, so there are persons to find. Memory is told twice:
``resident`` has pages of the mapped data file in it, which the system takes back when it needs
them; ``anonymous`` is what the process itself holds, at its peak: of the first half of the load,
and of all of it. Bounded means that these two are close once the cache is full.

What a person, a merge and an unmerge cost is measured in the largest store and in the smallest, for
it must depend on the person, not on the store.
"""

import asyncio
import json
import random
import statistics
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.ending import run_until_told
from benchmarks.processes import Child, children, disk_bytes, module_command, scratch_directory
from benchmarks.workload import SEED, profile_id
from crdtstore import Replica, Write, add

STEPS: Final = (10_000, 100_000, 1_000_000)
STEPS_WITH_MILLIONS: Final = (*STEPS, 2_000_000)
STEPS_SMOKE: Final = (400,)
_PER_PROFILE: Final = 2
_BATCH: Final = 1_000
_IN_FLIGHT: Final = 4
_READS: Final = 2_000
_MERGES: Final = 200
_SOURCE: Final = "crm"

Figures = dict[str, float]


def measure(steps: tuple[int, ...]) -> dict[str, Figures]:
    """Return the figures of every number of identifiers, by that number."""
    return {f"{count:,} identifiers": run_until_told(_measure(count)) for count in steps}


async def _measure(count: int) -> Figures:
    with scratch_directory("identifiers") as directory:
        given = {"identifiers": count, "directory": str(directory / "a")}
        command = module_command("benchmarks.identifiers", json.dumps(given))
        async with children() as started:
            child = await Child.start("identifiers", command, directory / "identifiers.log")
            started.append(child)
            figures: Figures = await child.answer("loading", patience_s=3_600)
            return figures


async def load(count: int, directory: Path) -> Figures:
    """Load so many identifiers, then find, read, merge and part some persons, in this process."""
    profiles = count // _PER_PROFILE
    samples_mib: list[float] = []
    async with Replica.open(directory, name="a") as replica:
        writes = (_profile(number) for number in range(profiles))
        before_mib = _memory_mib("RssAnon")
        started = time.perf_counter()

        async def writer() -> None:
            while batch := list(islice(writes, _BATCH)):
                for result in await replica.write_many(batch):
                    if isinstance(result, Exception):
                        raise result
                samples_mib.append(_memory_mib("RssAnon"))

        await asyncio.gather(*(writer() for _ in range(_IN_FLIGHT)))
        load_s = time.perf_counter() - started
        half = (len(samples_mib) + 1) // 2
        figures = {
            "identifiers_per_s": count / load_s,
            "anonymous_mib_before": before_mib,
            "anonymous_mib_peak_of_first_half": max(samples_mib[:half]),
            "anonymous_mib_peak": max(samples_mib),
            "resident_mib": _memory_mib("VmRSS"),
            "disk_per_identifier": disk_bytes(directory) / count,
        }
        return figures | await _persons(replica, profiles)


async def _persons(replica: Replica, profiles: int) -> Figures:
    """Return the medians of finding and reading, and of decisions until they are durable."""
    draw = random.Random(SEED)
    times_us: dict[str, list[float]] = {"find_us": [], "read_us": [], "merge_us": [], "part_us": []}

    def took(name: str, since_s: float) -> float:
        now_s = time.perf_counter()
        times_us[name].append((now_s - since_s) * 1e6)
        return now_s

    for _ in range(_READS):
        number = draw.randrange(profiles)
        started = time.perf_counter()
        (found,) = replica.persons.find("email", f"p{number}@example.com")
        started = took("find_us", started)
        read = replica.persons.read(profile_id(number))
        took("read_us", started)
        assert found.profiles == read.profiles == _expected(number, profiles)
    for number in range(0, min(_MERGES * 6, profiles - 5), 6):
        started = time.perf_counter()
        merged = await replica.persons.merge(profile_id(number), profile_id(number + 3))
        started = took("merge_us", started)
        parted = await replica.persons.unmerge(profile_id(number), profile_id(number + 3))
        took("part_us", started)
        assert len(merged.profiles) == 4
        assert len(parted.profiles) == 2
    return {name: statistics.median(times) for name, times in times_us.items()}


def _profile(number: int) -> Write:
    """Return a profile with two identifiers; of three, the first two are one person."""
    shared = number - 1 if number % 3 == 1 else number
    texts = (f"email:p{number}@example.com", f"card:c{shared:09d}")
    fields: dict[str, Any] = {"name": f"Person {number}", "identifiers": add(*texts)}
    return Write(profile_id(number), _SOURCE, fields)


def _expected(number: int, profiles: int) -> tuple[str, ...]:
    first = number - number % 3
    together = (first, first + 1) if number % 3 < 2 and first + 1 < profiles else (number,)
    return tuple(sorted(profile_id(each) for each in together))


def _memory_mib(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(given: dict[str, Any]) -> None:
    """Be the program that is measured."""
    found = asyncio.run(load(given["identifiers"], Path(given["directory"])))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
