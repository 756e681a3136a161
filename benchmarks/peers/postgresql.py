"""PostgreSQL with JSONB upserts: a reference that resolves no conflicts."""

import asyncio
import contextlib
import json
import os
import pwd
import time
from dataclasses import astuple
from pathlib import Path
from typing import Final

from benchmarks.peers.install import output, postgresql_programs, python_program, python_versions
from benchmarks.ports import free_port
from benchmarks.processes import (
    Child,
    Missing,
    children,
    disk_bytes,
    module_command,
    user_group,
)
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Workload
from benchmarks.writing import IN_FLIGHT

_REQUIREMENTS: Final = ("asyncpg==0.32.0",)
_USERS: Final = ("postgres", "nobody")
_START_PATIENCE_S: Final = 30.0


def _user() -> int | None:
    """Return the user that the server runs as: it refuses root. None is the present one."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise Missing("refuses to run as root, and there is no user postgres or nobody")


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
        _user()
        python_program(self.name, _REQUIREMENTS, install)
        version = output([str(programs / "postgres"), "--version"]).split()[2]
        return {"postgresql": version, **python_versions(_REQUIREMENTS)}

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        size, port = work.size, free_port()
        data = directory / "data"
        data.mkdir()
        await self._initialise(directory, data)
        empty = disk_bytes(data)
        async with children() as started:
            server = await self._start(directory, data, port, started)
            client = await self._client(work, directory, port, started)
            await client.ask("connect", count=IN_FLIGHT)
            readings: Readings = await client.ask("load")
            readings["disk_loaded"] = (disk_bytes(data) - empty) / size.profiles
            readings |= await client.ask("edit")
            readings["memory"] = server.resident_bytes / 2**20
            await server.kill()
            await client.kill()
            server = await self._start(directory, data, port, started)
            client = await self._client(work, directory, port, started)
            await client.ask("connect", count=1)
            readings |= await client.ask("fetch")
            readings |= await client.ask("one")
            await client.kill()
            readings["wire"] = await self._count_bytes(work, directory, port, started)
            await server.terminate()
        return readings | {"disk_edited": (disk_bytes(data) - empty) / size.profiles}

    async def _initialise(self, directory: Path, data: Path) -> None:
        user = _user()
        if user is not None:
            os.chown(data, user, user_group(user))
        command = [str(postgresql_programs() / "initdb"), "-D", str(data), "-U", "benchmark"]
        command += ["--auth", "trust", "--encoding", "UTF8", "--no-locale"]
        initialising = await Child.start("initdb", command, directory / "initdb.log", user=user)
        await initialising.process.communicate()
        if initialising.process.returncode != 0:
            raise initialising.failure("failed")

    async def _start(self, directory: Path, data: Path, port: int, started: list[Child]) -> Child:
        command = [str(postgresql_programs() / "postgres"), "-D", str(data), "-p", str(port)]
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=",
                        "synchronous_commit=on", "fsync=on"):  # fmt: skip
            command += ["-c", setting]
        # A killed server leaves its lock file, and processes that end when they notice.
        deadline = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < deadline:
            server = await Child.start(
                self.name, command, directory / "postgresql.log", user=_user()
            )
            started.append(server)
            while server.process.returncode is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    if await _answers(port):
                        return server
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
        raise server.failure("did not start")

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


async def _answers(port: int) -> bool:
    """Say whether the server takes connections: it answers a request for TLS with a letter."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        return await asyncio.wait_for(reader.read(1), 1) in (b"N", b"S")
    except (TimeoutError, ConnectionError):
        return False
    finally:
        writer.close()
