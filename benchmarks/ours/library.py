"""crdtstore as a library: a replica in the program's own process, with no network in the way.

    python -m benchmarks.ours.library '{"size": […], "directory": …}'

is the program that is measured; it prints its readings.
"""

import asyncio
import json
import sys
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

from benchmarks.latencies import latency_readings
from benchmarks.ours.writers import SOURCE, LibraryWriter
from benchmarks.processes import Child, children, disk_bytes, module_command
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Size, Workload
from benchmarks.writing import IN_FLIGHT, write_one_by_one, write_shapes
from crdtstore import Replica, Write

_LOAD_BATCH = 1_000
_LOADERS = 4


class Library:
    """Ours in process: ``Replica.write_many`` and ``Replica.write``."""

    name = "crdtstore (library)"
    kind: Kind = "ours"
    share = 1.0
    differs = (
        "One replica in the writing program's own process, with its default settings; nothing is "
        "replicated. Everything acknowledged is on disk (fsync). Memory is that of the program, "
        "with the workload in it."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Return nothing: the versions are those of the servers."""
        return {}

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once, in a process of its own."""
        given = {"size": astuple(work.size), "directory": str(directory / "replica")}
        command = module_command("benchmarks.ours.library", json.dumps(given))
        async with children() as started:
            child = await Child.start(self.name, command, directory / "library.log")
            started.append(child)
            readings: Readings = await child.answer("the work")
            readings["memory"] = child.resident_bytes / 2**20
            await child.stop()
        return readings | {"disk_edited": disk_bytes(directory / "replica") / work.size.profiles}


async def run(work: Workload, directory: Path) -> Readings:
    """Do the work in this process."""
    async with Replica.open(directory, name="library") as replica:
        waiting = iter(
            [
                [
                    Write(name, SOURCE, fields)
                    for name, fields in work.profiles[start:][:_LOAD_BATCH]
                ]
                for start in range(0, work.size.profiles, _LOAD_BATCH)
            ]
        )
        started = time.monotonic()

        async def loader() -> None:
            for batch in waiting:
                await replica.write_many(batch)

        await asyncio.gather(*(loader() for _ in range(_LOADERS)))
        readings = {"load": work.size.profiles / (time.monotonic() - started)}
        readings["disk_loaded"] = disk_bytes(directory) / work.size.profiles
        writers = [LibraryWriter(replica)] * IN_FLIGHT
        readings |= await write_shapes(writers, work, work.durable)
        readings |= latency_readings(await write_one_by_one(writers[0], work))
    return readings


def main(given: dict[str, Any]) -> None:
    """Do the work, print the readings, and stay until standard input ends."""
    work = Workload(Size(*given["size"]))
    print(json.dumps(asyncio.run(run(work, Path(given["directory"])))), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
