"""Growth: what 10,000, 100,000 and a million profiles cost one replica, and a second one.

    python -m benchmarks.growth '{"profiles": …, "directory": …}'

is the program that is measured in process; it prints what it found.
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.ending import run_until_told
from benchmarks.latencies import percentile
from benchmarks.load import EDITS_PER_S, streaming
from benchmarks.ours.servers import LAST, Served, Servers, cold_sync, serving
from benchmarks.ours.writers import SOURCE
from benchmarks.processes import Child, children, disk_bytes, module_command, scratch_directory
from benchmarks.workload import SEED, initial_fields, profile_id, random_edits
from crdtstore import Replica, Write

STEPS: Final = (10_000, 100_000)
STEPS_WITH_A_MILLION: Final = (*STEPS, 1_000_000)
STEPS_SMOKE: Final = (200,)
_BATCH: Final = 1_000
_IN_FLIGHT: Final = 4
_EDITS_PER_PROFILE: Final = 2
_EDITS_AT_MOST: Final = 50_000
_READS: Final = 10_000
_LOOK_S: Final = 0.1

Figures = dict[str, float]


def measure(steps: tuple[int, ...]) -> dict[str, Figures]:
    """Return the figures of every number of profiles, by that number."""
    return {str(profiles): run_until_told(_measure(profiles)) for profiles in steps}


async def _measure(profiles: int) -> Figures:
    with scratch_directory("growth") as directory:
        given = {"profiles": profiles, "directory": str(directory / "a")}
        command = module_command("benchmarks.growth", json.dumps(given))
        async with children() as started:
            child = await Child.start("growth", command, directory / "growth.log")
            started.append(child)
            figures: Figures = await child.answer("growing", patience_s=3_600)
        async with serving(directory) as servers:
            return figures | await _two_replicas(servers, profiles)


async def _two_replicas(servers: Servers, profiles: int) -> Figures:
    """Let a new replica follow one that has no journal, and compare the two when equal."""
    await servers.copy_without_journal("a", "restored")
    source = await servers.start("restored")
    _, new, elapsed_s = await cold_sync(servers, source, "b")
    started = time.monotonic()
    compared = await new.post("/v1/repair", {"peer": "restored"})
    compare_s = time.monotonic() - started
    started = time.monotonic()
    await new.post("/v1/repair", {"peer": "restored", "quick": True})
    compare_known_s = time.monotonic() - started
    await new.child.terminate()
    return {
        "cold_sync_per_s": profiles / elapsed_s,
        "compare_s": compare_s,
        "compare_known_s": compare_known_s,
        "differing": float(compared["differing"]),
        **await _peaks_under_load(servers, source, profiles),
    }


async def _peaks_under_load(servers: Servers, source: Served, profiles: int) -> Figures:
    """Let edits come in while another new replica takes a snapshot; return the peaks of memory.

    Own memory is what the process allocated; the rest of what is resident are pages of the data
    file, which the system takes back when it needs room.
    """
    async with streaming(source, profiles, EDITS_PER_S) as client:
        newest = await servers.start("c", [source.url])
        watching = [asyncio.create_task(_watch(each.child)) for each in (source, newest)]
        await newest.sees(LAST, await source.mark(LAST))
        written = await client.ask("stop")
        for task in watching:
            task.cancel()
        peaks = await asyncio.gather(*watching)
    return {
        "loaded_edits_per_s": float(written["edits_per_s"]),
        "peak_mib": source.child.peak_bytes / 2**20,
        "peak_own_mib": peaks[0] / 2**20,
        "new_peak_mib": newest.child.peak_bytes / 2**20,
        "new_peak_own_mib": peaks[1] / 2**20,
    }


async def _watch(child: Child) -> int:
    """Return the most memory of its own that a process was seen with until this is cancelled."""
    most = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            most = max(most, child.own_bytes)
            await asyncio.sleep(_LOOK_S)
    return most


async def grow(profiles: int, directory: Path) -> Figures:
    """Load, edit, read, close, open and verify one replica in this process."""
    edits = min(profiles * _EDITS_PER_PROFILE, _EDITS_AT_MOST)
    async with Replica.open(directory, name="a") as replica:
        load_s = await _write(replica, _initial(profiles))
        disk = disk_bytes(directory) / profiles
        edit_s = await _write(replica, _edits(profiles, edits))
        reads = _read(replica, profiles)
        resident = _resident_mib()
    started = time.perf_counter()
    async with Replica.open(directory, name="a") as replica:
        open_s = time.perf_counter() - started
        started = time.perf_counter()
        report = await replica.verify()
        verify_s = time.perf_counter() - started
        assert report.is_sound
    return {
        "load_per_s": profiles / load_s,
        "edits_per_s": edits / edit_s,
        "read_p50_us": percentile(reads, 0.5) * 1e6,
        "read_p99_us": percentile(reads, 0.99) * 1e6,
        "open_s": open_s,
        "verify_s": verify_s,
        "resident_mib": resident,
        "disk_per_profile": disk,
    }


def _initial(profiles: int) -> Iterator[Write]:
    return (Write(profile_id(n), SOURCE, initial_fields(n)) for n in range(profiles))


def _edits(profiles: int, edits: int) -> Iterator[Write]:
    return (Write(name, SOURCE, fields) for name, fields in random_edits(profiles, edits))


async def _write(replica: Replica, writes: Iterator[Write]) -> float:
    """Write in batches, several in flight; return the seconds. Making the writes counts too."""
    started = time.perf_counter()

    async def writer() -> None:
        while batch := list(islice(writes, _BATCH)):
            for result in await replica.write_many(batch):
                if isinstance(result, Exception):
                    raise result

    await asyncio.gather(*(writer() for _ in range(_IN_FLIGHT)))
    return time.perf_counter() - started


def _read(replica: Replica, profiles: int) -> list[float]:
    draw = random.Random(SEED)
    latencies = []
    for _ in range(_READS):
        name = profile_id(draw.randrange(profiles))
        started = time.perf_counter()
        replica.read(name)
        latencies.append(time.perf_counter() - started)
    return latencies


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(given: dict[str, Any]) -> None:
    """Be the program that is measured."""
    print(json.dumps(asyncio.run(grow(given["profiles"], Path(given["directory"])))), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
