"""The course of one run for a peer with a server and clients, which are processes that it talks to.

    load → edit → kill the server → cold sync → end to end → conflicts → latency → wire → disk

A client holds all profiles in its memory, as a replica of ours does; the server keeps them on disk.
Times are stamps of the monotonic clock that all processes share, taken where the thing happened.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.latencies import latency_readings
from benchmarks.ports import free_port
from benchmarks.processes import Child, ChildFailed, children, disk_bytes, module_command
from benchmarks.subject import Readings
from benchmarks.workload import CONFLICT_ROUNDS, Span, Workload

_CONVERGE_PATIENCE_S: Final = 600.0
_LOOK_S: Final = 0.01

Launch = Callable[[str, str, dict[str, Any]], Awaitable[Child]]
"""Starts a process of a peer: "server" or "client", its name, its settings."""


@dataclass
class Session:
    """One run of one peer: its processes, and what was measured so far."""

    work: Workload
    directory: Path
    launch: Launch
    durable_at: Literal["server", "client"]
    started: list[Child]
    settings: dict[str, Any]
    port: int

    @property
    def _all(self) -> Span:
        return 0, self.work.size.profiles

    @property
    def _data(self) -> Path:
        return self.directory / "server"

    async def _start(self, role: str, name: str, **settings: Any) -> Child:
        data = self.directory / name
        data.mkdir(exist_ok=True)
        fixed = {
            "workload": str(self.directory / "workload.json"),
            "directory": str(data),
            "port": self.port,
        }
        child = await self.launch(role, name, {**fixed, **self.settings, **settings})
        self.started.append(child)
        await child.answer("start")
        return child

    async def run(self) -> Readings:
        """Go through the whole course and return what was measured."""
        self.work.save(self.directory / "workload.json")
        server, readings = await self._write()
        server, meeting = await self._meet(server)
        readings |= meeting
        readings |= await self._one_at_a_time(server)
        readings |= await self._count_bytes(server)
        await server.stop()
        readings["disk_edited"] = disk_bytes(self._data) / self.work.size.profiles
        return readings

    async def _write(self) -> tuple[Child, Readings]:
        """Load and edit at one place; then take the server away with no warning."""
        server = await self._start("server", "server")
        client = await self._start("client", "a")
        size = self.work.size
        loaded = await client.ask("load", profiles=self._all)
        is_local = self.durable_at == "client"
        ended = loaded if is_local else await server.ask("settle", profiles=self._all)
        data = self.directory / "a" if is_local else self._data
        readings = {
            "load": size.profiles / (ended["at"] - loaded["start"]),
            "disk_loaded": disk_bytes(data) / size.profiles,
        }
        edited = await client.ask("edit", edits=self.work.durable)
        ended = edited if is_local else await server.ask("settle", edits=self.work.durable)
        readings["durable"] = size.edits / (ended["at"] - edited["start"])
        if is_local:
            await client.ask("connect")
            await server.ask("settle", edits=self.work.durable)
            await server.ask("settle", profiles=self._all, edits=self.work.durable)
        readings["memory"] = server.resident_bytes / 2**20
        await server.kill()
        await client.kill()
        return await self._start("server", "server"), readings

    async def _meet(self, server: Child) -> tuple[Child, Readings]:
        """Bring a new client up to date, follow edits to it, part the two and let them meet."""
        size, work = self.work.size, self.work
        b = await self._start("client", "b")
        opened = await b.ask("open", profiles=self._all)
        found = await b.ask("check", profiles=self._all, edits=work.durable)
        readings = {
            "cold_sync": size.profiles / (max(opened["at"], found["at"]) - opened["start"]),
            "lost": float(found["differing"]),
        }
        a = await self._start("client", "a")
        await a.ask("open", profiles=self._all)
        edited, seen, settled = await asyncio.gather(
            a.ask("edit", edits=work.end_to_end),
            b.ask("see", edits=work.end_to_end),
            server.ask("settle", edits=work.end_to_end),
        )
        elapsed_s = max(seen["at"], settled["at"]) - edited["start"]
        readings["end_to_end"] = size.edits / elapsed_s
        readings["conflicts"] = await self._conflict(server, a, b)
        for client in (a, b):
            await client.stop()
        return server, readings

    async def _conflict(self, server: Child, a: Child, b: Child) -> float:
        profiles = (0, self.work.size.conflict_profiles)
        for client in (a, b):
            await client.ask("disconnect")
        for client, side in ((a, "left"), (b, "right")):
            await client.ask("conflict", profiles=profiles, rounds=CONFLICT_ROUNDS, side=side)
        start = (await a.ask("connect"))["start"]
        await b.ask("connect")
        deadline = time.monotonic() + _CONVERGE_PATIENCE_S
        while True:
            answers = await asyncio.gather(
                *(each.ask("digest", profiles=profiles) for each in (a, b, server))
            )
            if len({answer["digest"] for answer in answers}) == 1:
                break
            if time.monotonic() > deadline:
                raise ChildFailed(f"not equal after {_CONVERGE_PATIENCE_S:g} s of meeting")
            await asyncio.sleep(_LOOK_S)
        ended = max(time.monotonic(), (await server.ask("settle"))["at"])
        return float(ended - start)

    async def _one_at_a_time(self, server: Child) -> Readings:
        client = await self._start("client", "c")
        if self.durable_at == "client":
            await client.ask("open", profiles=self._all)
        latencies = []
        first, last = self.work.latency
        for number in range(first, last):
            written = await client.ask("one", edit=number)
            settled = written
            if self.durable_at == "server":
                settled = await server.ask("settle", edits=(number, number + 1))
            latencies.append(settled["at"] - written["start"])
        await client.stop()
        return latency_readings(latencies)

    async def _count_bytes(self, server: Child) -> Readings:
        command = module_command("benchmarks.proxy", str(self.port))
        proxy = await Child.start("proxy", command, self.directory / "proxy.log")
        self.started.append(proxy)
        port = (await proxy.answer("start"))["port"]
        client = await self._start("client", "d", port=port)
        profiles = (0, min(self.work.size.profiles, 200))
        await client.ask("open", profiles=profiles)
        before = (await proxy.ask("count"))["bytes"]
        await client.ask("edit", edits=self.work.wire)
        await server.ask("settle", edits=self.work.wire)
        after = (await proxy.ask("count"))["bytes"]
        await client.stop()
        await proxy.stop()
        return {"wire": (after - before) / self.work.size.wire_edits}


async def run_session(
    work: Workload,
    directory: Path,
    launch: Launch,
    *,
    durable_at: Literal["server", "client"] = "server",
    settings: dict[str, Any] | None = None,
) -> Readings:
    """Run a peer through the whole course; every process it started is gone afterwards."""
    async with children() as started:
        session = Session(work, directory, launch, durable_at, started, settings or {}, free_port())
        return await session.run()
