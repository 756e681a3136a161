"""PostgreSQL with JSONB upserts: a reference that resolves no conflicts."""

import json
from dataclasses import astuple
from pathlib import Path
from typing import Final

from benchmarks.peers.install import output, postgresql_programs, python_program, python_versions
from benchmarks.peers.postgresql_server import initialise, start
from benchmarks.peers.users import unprivileged_user
from benchmarks.ports import free_port
from benchmarks.processes import Child, children, disk_bytes, module_command
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Workload
from benchmarks.writing import IN_FLIGHT

_REQUIREMENTS: Final = ("asyncpg==0.32.0",)


class Postgresql:
    """The reference: one table, one JSONB document per profile."""

    name = "postgresql"
    kind: Kind = "reference"
    share = 1.0
    differs = (
        "One master: no conflicts are resolved and nothing is replicated here. One JSONB document "
        "per profile, edits are upserts that merge it, synchronous_commit on, batches of 100 in "
        "one transaction on 8 connections (durable: 1,000 on 4), by asyncpg. Cold sync is one "
        "select. Wire is between client and server."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Install the client if that is allowed, and return the versions."""
        programs = postgresql_programs()
        unprivileged_user()
        python_program(self.name, _REQUIREMENTS, install)
        version = output([str(programs / "postgres"), "--version"]).split()[2]
        return {"postgresql": version, **python_versions(_REQUIREMENTS)}

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        size, port = work.size, free_port()
        data = directory / "data"
        await initialise(directory, data)
        empty = disk_bytes(data)
        async with children() as started:
            server = await start(directory, data, port, started)
            client = await self._client(work, directory, port, started)
            await client.ask("connect", count=IN_FLIGHT)
            readings: Readings = await client.ask("load")
            readings["disk_loaded"] = (disk_bytes(data) - empty) / size.profiles
            readings |= await client.ask("edit")
            readings["memory"] = server.resident_bytes / 2**20
            await server.kill()
            await client.kill()
            server = await start(directory, data, port, started)
            client = await self._client(work, directory, port, started)
            await client.ask("connect", count=1)
            readings |= await client.ask("fetch")
            readings |= await client.ask("one")
            await client.kill()
            readings["wire"] = await self._count_bytes(work, directory, port, started)
            await server.terminate()
        return readings | {"disk_edited": (disk_bytes(data) - empty) / size.profiles}

    async def _client(
        self, work: Workload, directory: Path, port: int, started: list[Child]
    ) -> Child:
        python = python_program(self.name, _REQUIREMENTS, install=False)
        given = {"size": astuple(work.size), "port": port}
        command = [str(python), "-m", "benchmarks.peers.postgresql_driver", json.dumps(given)]
        client = await Child.start(f"{self.name} client", command, directory / "client.log")
        started.append(client)
        await client.answer("start")
        return client

    async def _count_bytes(
        self, work: Workload, directory: Path, port: int, started: list[Child]
    ) -> float:
        command = module_command("benchmarks.proxy", str(port))
        proxy = await Child.start("proxy", command, directory / "proxy.log")
        started.append(proxy)
        through = (await proxy.answer("start"))["port"]
        client = await self._client(work, directory, through, started)
        await client.ask("connect", count=1)
        before = (await proxy.ask("count"))["bytes"]
        await client.ask("wire")
        after = (await proxy.ask("count"))["bytes"]
        await client.kill()
        return float((after - before) / work.size.wire_edits)
