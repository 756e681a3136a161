"""Durable writes through one replica: batches, single writes in flight, and one at a time.

Everything that a user of the library pays is in it: checks, join, frame, journal, fsync, answer.
The floor is measured in the same run and directory: one append and fdatasync of as many bytes.
"""

import asyncio
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.measure import Figure, figure
from benchmarks.workload import initial_fields, profile_id, random_edits
from crdtstore import Replica, Write

BATCH = 1_000
IN_FLIGHT = 4
SINGLES_IN_FLIGHT = 64
_EDIT_BYTES = 70


def measure(profiles: int, edits: int, runs: int) -> list[Figure]:
    """Return the figures of durable writes for a replica of so many profiles."""
    with tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as directory:
        figures = [_fsync_floor(Path(directory) / "floor", runs)]
        return figures + asyncio.run(_measure(Path(directory) / "replica", profiles, edits, runs))


async def _measure(directory: Path, profiles: int, edits: int, runs: int) -> list[Figure]:
    async with Replica.open(directory, name="benchmark") as replica:
        numbers = range(profiles)
        for start in range(0, profiles, BATCH):
            await replica.write_many(
                Write(profile_id(number), "crm", initial_fields(number))
                for number in numbers[start : start + BATCH]
            )
        batches = [await _run_batches(replica, profiles, edits) for _ in range(runs)]
        singles = [await _run_singles(replica, profiles, edits // 10) for _ in range(runs)]
        latencies = [await _run_one_by_one(replica, 200) for _ in range(runs)]
    return [
        _figure_of("durable batches", "edits/s", batches, f"{BATCH:,} a batch, 4 in flight"),
        _figure_of("durable singles", "edits/s", singles, f"{SINGLES_IN_FLIGHT} in flight"),
        _figure_of("durable latency", "ms p50", latencies, "one write at a time"),
    ]


async def _run_batches(replica: Replica, profiles: int, edits: int) -> float:
    pending = random_edits(profiles, edits)
    batches = [
        [Write(profile, "crm", fields) for profile, fields in islice(pending, BATCH)]
        for _ in range(edits // BATCH)
    ]
    started = time.perf_counter()

    async def writer(mine: list[list[Write]]) -> None:
        for batch in mine:
            await replica.write_many(batch)

    await asyncio.gather(*(writer(batches[number::IN_FLIGHT]) for number in range(IN_FLIGHT)))
    return edits / (time.perf_counter() - started)


async def _run_singles(replica: Replica, profiles: int, edits: int) -> float:
    pending = list(random_edits(profiles, edits))
    started = time.perf_counter()

    async def writer(mine: list[tuple[str, dict[str, str]]]) -> None:
        for profile, fields in mine:
            await replica.write(profile, {**fields, "seen": time.perf_counter()}, source="web")

    await asyncio.gather(
        *(writer(pending[number::SINGLES_IN_FLIGHT]) for number in range(SINGLES_IN_FLIGHT))
    )
    return edits / (time.perf_counter() - started)


async def _run_one_by_one(replica: Replica, edits: int) -> float:
    latencies = []
    for _ in range(edits):
        started = time.perf_counter()
        await replica.write("latency", {"seen": started}, source="web")
        latencies.append((time.perf_counter() - started) * 1000)
    return statistics.median(latencies)


def _figure_of(name: str, unit: str, values: list[float], note: str) -> Figure:
    return Figure(
        name, unit, statistics.median(values), min(values), max(values), len(values), note
    )


def _fsync_floor(path: Path, runs: int) -> Figure:
    """Measure the floor under the latency: append the bytes of one frame, and fdatasync."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    payload = os.urandom(_EDIT_BYTES + 150)

    def run() -> float:
        latencies = []
        for _ in range(200):
            started = time.perf_counter()
            os.write(descriptor, payload)
            os.fdatasync(descriptor)
            latencies.append((time.perf_counter() - started) * 1000)
        return statistics.median(latencies)

    try:
        return figure("floor: fdatasync", "ms p50", run, runs, "append to a file, same directory")
    finally:
        os.close(descriptor)
