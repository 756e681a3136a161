"""A plain collector over PostgreSQL: what a table of events costs, with nothing done to them.

It is no product, and a reference for those that are: RudderStack, too, keeps what it takes in a
table of PostgreSQL before it answers.
"""

import contextlib
import importlib.metadata
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.event_peers.subject import Offer
from benchmarks.peers.install import output, postgresql_programs
from benchmarks.peers.postgresql_server import initialise, start
from benchmarks.peers.users import unprivileged_user
from benchmarks.ports import free_port
from benchmarks.processes import Child, Missing, children, module_command
from benchmarks.subject import Kind

_PROCESSES: Final = 2
_LIBRARIES: Final = ("aiohttp", "asyncpg", "msgspec")


@dataclass(frozen=True, slots=True)
class RunningCollector:
    """The collector while it runs."""

    url: str
    processes: Sequence[Child]
    service: Child

    async def stored(self) -> int:
        """Return how many rows the table has."""
        answer: dict[str, Any] = await self.service.ask("count")
        return int(answer["count"])


class Collector:
    """The reference: batches of Segment's specification into one table, and nothing else."""

    name = "postgresql collector"
    kind: Kind = "reference"
    dialect = "segment"
    is_quick = True
    offers = (Offer(10_000, 30), Offer(50_000, 30))
    differs = (
        "No product, and made for this benchmark: a batch is read, and copied into one table of "
        "PostgreSQL in one transaction (synchronous_commit on), then answered. No persons, no "
        "traits, no write keys, no message id is compared, no second region follows. "
        f"{_PROCESSES} processes share the port, with aiohttp, msgspec and asyncpg; 8 connections "
        "each."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Return the versions; raises Missing. Nothing is installed."""
        programs = postgresql_programs()
        unprivileged_user()
        try:
            versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        except importlib.metadata.PackageNotFoundError as error:
            raise Missing(f"needs {error.name}") from None
        version = output([str(programs / "postgres"), "--version"]).split()[2]
        return {"postgresql": version, **versions}

    @contextlib.asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[RunningCollector]:
        """Run it for the block."""
        database, port = free_port(), free_port()
        async with children() as started:
            await initialise(directory, directory / "data")
            await start(directory, directory / "data", database, started)
            for number in range(_PROCESSES):
                given = {"database": database, "port": port, "is_first": number == 0}
                service = await Child.start(
                    f"collector-{number}",
                    module_command("benchmarks.event_peers.collector_service", json.dumps(given)),
                    directory / "collector.log",
                )
                started.append(service)
                await service.answer("start")
            yield RunningCollector(f"http://127.0.0.1:{port}", tuple(started), service)
