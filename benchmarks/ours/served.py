"""crdtstore as servers: clients stream writes to one replica, another process follows it."""

import asyncio
import time
from pathlib import Path

from benchmarks.latencies import latency_readings
from benchmarks.ours.servers import LAST, Served, Servers, cold_sync, equal, met, serving
from benchmarks.processes import Child, disk_bytes
from benchmarks.subject import Kind, Readings
from benchmarks.workload import CONFLICT_ROUNDS, FIELDS, Workload, batches
from benchmarks.writing import (
    BEST,
    IN_FLIGHT,
    OTHERS,
    write_one_by_one,
    write_shape,
    write_shapes,
)

_WIRE_BATCH = 100


class ServedReplicas:
    """Ours as servers: ``crdtstore serve`` with default settings, and a second one behind it."""

    name = "crdtstore"
    kind: Kind = "ours"
    share = 1.0
    differs = (
        "Two processes of crdtstore serve: crdtstore.Client streams edits to one over websockets, "
        "the other follows over a link all the while. A batch is so many edits, handed over one by "
        "one, and a flush. Everything acknowledged is on disk (fsync). "
        "End to end ends with a write at the follower that is acknowledged after all it received. "
        "Cold sync is a new replica with a disk of its own. Wire is the link between the two, "
        "edits in batches of 100."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Return the versions of crdtstore and of what it stands on."""
        from importlib.metadata import PackageNotFoundError, version

        versions = {}
        for name in ("crdtstore", "aiohttp", "lmdb", "msgpack", "uvloop"):
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                versions[name] = "not installed"
        return versions

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        async with serving(directory) as servers:
            readings = await self._write(servers, work)
            readings |= await self._meet(servers, work)
            readings |= await self._follow(servers, work)
            readings |= await self._start_from_snapshot(servers, work)
        return readings | {"disk_edited": disk_bytes(servers.data("a")) / work.size.profiles}

    async def _write(self, servers: Servers, work: Workload) -> Readings:
        """Load and edit at one replica while another follows; then kill both."""
        size = work.size
        a = await servers.start("a")
        b = await servers.start("b", [a.url])
        readings = {"load": size.profiles / await a.load(work.profiles)}
        readings["disk_loaded"] = disk_bytes(servers.data("a")) / size.profiles
        await b.sees(LAST, await a.mark(LAST))
        async with a.stream_writers(BEST.in_flight) as writers:
            readings |= await write_shapes(writers, work, work.durable, [BEST])
        readings["memory"] = a.child.resident_bytes / 2**20
        await asyncio.gather(a.child.kill(), b.child.kill())
        return readings

    async def _meet(self, servers: Servers, work: Workload) -> Readings:
        """Bring a new replica up to date, part the two and let them meet, count bytes."""
        a = await servers.start("a")
        proxy, c, elapsed_s = await cold_sync(servers, a, "c")
        readings = {
            "cold_sync": work.size.profiles / elapsed_s,
            "lost": await _lost(c, work),
        }
        readings["conflicts"] = await self._conflict(proxy, a, c, work)
        readings["wire"] = await self._count_bytes(proxy, a, c, work)
        await c.child.terminate()
        async with a.stream_writers(1) as (writer,):
            readings |= latency_readings(await write_one_by_one(writer, work))
        await proxy.stop()
        await a.child.terminate()
        return readings

    async def _follow(self, servers: Servers, work: Workload) -> Readings:
        """Write at one replica until all of it is durable at the other; then the other shapes."""
        a = await servers.start("a")
        b = await servers.start("b", [a.url])
        await equal(a, b)
        async with a.stream_writers(IN_FLIGHT) as writers:
            started = time.monotonic()
            await write_shape(writers, work, work.end_to_end, BEST)
            await b.sees(LAST, await a.mark(LAST))
            readings = {"end_to_end": work.size.edits / (await b.barrier() - started)}
            await equal(a, b)
            readings |= await write_shapes(writers, work, work.durable, OTHERS)
        await asyncio.gather(a.child.terminate(), b.child.terminate())
        return readings

    async def _start_from_snapshot(self, servers: Servers, work: Workload) -> Readings:
        """Bring a new replica up to date with one that has no journal: only a snapshot serves."""
        await servers.copy_without_journal("a", "restored")
        restored = await servers.start("restored")
        proxy, d, elapsed_s = await cold_sync(servers, restored, "d")
        await asyncio.gather(restored.child.terminate(), d.child.terminate())
        await proxy.stop()
        return {"cold_sync_snapshot": work.size.profiles / elapsed_s}

    async def _conflict(self, proxy: Child, a: Served, c: Served, work: Workload) -> float:
        await proxy.ask("cut")
        for replica, side in ((a, "left"), (c, "right")):
            writer = replica.writer()
            for turn in range(CONFLICT_ROUNDS):
                edits = [
                    (name, FIELDS[turn % 3], f"{side} {turn}")
                    for name, _ in work.profiles[: work.size.conflict_profiles]
                ]
                await writer.write(writer.prepared(edits))
        from_a, from_c = await a.mark("zz-left"), await c.mark("zz-right")
        started = await met(proxy)
        await asyncio.gather(a.sees("zz-right", from_c), c.sees("zz-left", from_a))
        elapsed_s = max(await asyncio.gather(a.barrier(), c.barrier())) - started
        await equal(a, c)
        return elapsed_s

    async def _count_bytes(self, proxy: Child, a: Served, c: Served, work: Workload) -> float:
        await equal(a, c)
        edits = work.edits[slice(*work.wire)]
        before = (await proxy.ask("count"))["bytes"]
        writer = a.writer()
        for batch in batches(edits, _WIRE_BATCH):
            await writer.write(writer.prepared(batch))
        await c.sees(LAST, await a.mark(LAST))
        return float(((await proxy.ask("count"))["bytes"] - before) / len(edits))


async def _lost(replica: Served, work: Workload) -> float:
    """Count the profiles at the new replica that are not as the edits left them."""
    expected = work.after(work.durable)
    lost, after = 0, ""
    while expected:
        page = (await replica.ask(f"/v1/profiles?after={after}&limit=1000"))["profiles"]
        if not page:
            break
        for profile in page:
            fields = expected.pop(profile["id"], None)
            lost += fields is not None and profile["fields"] != fields
        after = page[-1]["id"]
    return float(lost + len(expected))
