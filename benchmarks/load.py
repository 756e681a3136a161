"""Latency under load: a reader and a lone writer beside a client that streams edits.

While a client in a process of its own writes 20,000 edits a second, one profile after the other is
read over HTTP, and one edit after the other written. A third of the way in, a new replica comes and
takes a snapshot; checkpoints come as they come. Its own delay is told too: where that is as long as
a read, it is this process that is late, not the replica.

    python -m benchmarks.load '{"url": …, "profiles": …, "per_s": …}'

is the client: it writes until its input ends, then prints how many edits it made a second.
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from benchmarks.ending import run_until_told
from benchmarks.latencies import percentile
from benchmarks.ours.servers import LAST, Served, Servers, serving
from benchmarks.ours.writers import SOURCE
from benchmarks.processes import Child, children, module_command, scratch_directory
from benchmarks.workload import FIELDS, SEED, Size, Workload, profile_id
from crdtstore import Client
from crdtstore.replica.loop_delay import LoopDelay

EDITS_PER_S: Final = 20_000
_SLICE_S: Final = 0.005
_READ_PAUSE_S: Final = 0.002
_WRITE_PAUSE_S: Final = 0.01

Figures = dict[str, float]


def measure(profiles: int, seconds: float) -> dict[str, Figures]:
    """Return the figures of a replica with so many profiles, after so many seconds of load."""
    return {f"{profiles:,} profiles": run_until_told(_measure(profiles, seconds))}


async def _measure(profiles: int, seconds: float) -> Figures:
    with scratch_directory("load") as directory:
        async with serving(directory) as servers:
            loaded = await servers.start("a")
            await loaded.load(Workload(Size(profiles, 1, 0, 0, 0)).profiles)
            await loaded.child.terminate()
            a = await servers.start("a")
            async with streaming(a, profiles, EDITS_PER_S) as client, own_delay() as own:
                until = time.monotonic() + seconds
                checkpoints = (await a.ask("/v1/status"))["counters"]["checkpoints"]
                reads, writes, snapshot_s = await asyncio.gather(
                    _read(a, profiles, until), _write(a, until), _snapshot(servers, a, seconds / 3)
                )
                status = await a.ask("/v1/status")
                written = await client.ask("stop")
    return {
        "edits_per_s": written["edits_per_s"],
        "read_p50_ms": percentile(reads, 0.5) * 1000,
        "read_p99_ms": percentile(reads, 0.99) * 1000,
        "write_p50_ms": percentile(writes, 0.5) * 1000,
        "write_p99_ms": percentile(writes, 0.99) * 1000,
        "loop_delay_max_ms": status["loop_delay_max_ms"],
        "own_delay_p99_ms": own.recent_ms()[0],
        "checkpoints": status["counters"]["checkpoints"] - checkpoints,
        "snapshot_s": snapshot_s,
    }


@contextlib.asynccontextmanager
async def own_delay() -> AsyncIterator[LoopDelay]:
    """Sample how late this process itself is, which its latencies include."""
    delay = LoopDelay()
    sampling = asyncio.create_task(delay.run())
    try:
        yield delay
    finally:
        sampling.cancel()


@contextlib.asynccontextmanager
async def streaming(replica: Served, profiles: int, per_s: int) -> AsyncIterator[Child]:
    """Have a process write edits to a replica until it is asked to stop, or the block ends."""
    given = {"url": replica.url, "profiles": profiles, "per_s": per_s}
    command = module_command("benchmarks.load", json.dumps(given))
    with scratch_directory("stream") as directory:
        async with children() as started:
            client = await Child.start("stream", command, directory / "stream.log")
            started.append(client)
            await client.answer("start")
            yield client


async def _read(replica: Served, profiles: int, until: float) -> list[float]:
    """Read profiles at random until then; return the seconds that each took."""
    draw = random.Random(SEED)
    latencies = []
    while time.monotonic() < until:
        path = f"/v1/profiles/{profile_id(draw.randrange(profiles))}"
        started = time.monotonic()
        await replica.ask(path)
        latencies.append(time.monotonic() - started)
        await asyncio.sleep(_READ_PAUSE_S)
    return latencies


async def _write(replica: Served, until: float) -> list[float]:
    """Write one edit after the other until then; return the seconds that each took."""
    writer = replica.writer()
    latencies: list[float] = []
    while time.monotonic() < until:
        prepared = writer.prepared([("zz-alone", "email", f"{len(latencies)}@example.com")])
        started = time.monotonic()
        await writer.write(prepared)
        latencies.append(time.monotonic() - started)
        await asyncio.sleep(_WRITE_PAUSE_S)
    return latencies


async def _snapshot(servers: Servers, source: Served, after_s: float) -> float:
    """Bring a new replica up to date while the other is under load; return the seconds."""
    await asyncio.sleep(after_s)
    new = await servers.start("new", [source.url])
    started = time.monotonic()
    await new.sees(LAST, await source.mark(LAST))
    elapsed_s = time.monotonic() - started
    await new.child.terminate()
    return elapsed_s


async def stream(url: str, profiles: int, per_s: int) -> float:
    """Write edits at a set rate until standard input ends; return how many a second."""
    draw = random.Random(SEED)
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    edits = 0
    async with Client(url) as client:
        print(json.dumps({"started": True}), flush=True)
        started = time.monotonic()
        while not ending.done():
            due = int((time.monotonic() - started) * per_s)
            for number in range(edits, due):
                name = profile_id(int(profiles * draw.random() ** 3))
                await client.submit(name, {FIELDS[number % 12]: f"{number}"}, source=SOURCE)
            edits = due
            await asyncio.sleep(_SLICE_S)
        await client.flush()
        return edits / (time.monotonic() - started)


def main(given: dict[str, Any]) -> None:
    """Be the client."""
    print(json.dumps({"edits_per_s": asyncio.run(stream(**given))}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
