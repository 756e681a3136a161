"""The client of PostgreSQL, in its own virtual environment, told what to do by lines of JSON.

python -m benchmarks.peers.postgresql_driver '{"size": […], "port": …}'
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from benchmarks.latencies import latency_readings
from benchmarks.peers.lines import obey
from benchmarks.workload import Edit, Size, Workload, batches
from benchmarks.writing import write_one_by_one, write_shapes

_TABLE: Final = "CREATE TABLE profiles (id text PRIMARY KEY, fields jsonb NOT NULL)"
_UPSERT: Final = (
    "INSERT INTO profiles VALUES ($1, $2) "
    "ON CONFLICT (id) DO UPDATE SET fields = profiles.fields || EXCLUDED.fields"
)
_LOADERS: Final = 8
_BATCH: Final = 100
_RECOVERY_PATIENCE_S: Final = 60.0


class Connection:
    """A connection that writes a batch in one transaction, pipelined by the library."""

    def __init__(self, link: Any) -> None:
        self.link = link

    def prepared(self, batch: Sequence[Edit]) -> list[tuple[str, str]]:
        """Return the rows of a batch, sorted so that two transactions never wait crosswise."""
        rows = [(profile, json.dumps({field: value})) for profile, field, value in batch]
        return sorted(rows, key=lambda row: row[0])

    async def write(self, prepared: list[tuple[str, str]]) -> None:
        """Upsert a batch and commit it."""
        if len(prepared) == 1:
            await self.link.execute(_UPSERT, *prepared[0])
        else:
            await self.link.executemany(_UPSERT, prepared)


class Course:
    """What the client does, step by step."""

    def __init__(self, work: Workload, port: int) -> None:
        self._work = work
        self._port = port
        self._links: list[Connection] = []

    async def connect(self, count: int) -> dict[str, Any]:
        """Open connections."""
        for _ in range(count):
            self._links.append(Connection(await self._connected()))
        return {}

    async def _connected(self) -> Any:
        """Connect, while a server that was killed recovers."""
        deadline = time.monotonic() + _RECOVERY_PATIENCE_S
        while True:
            try:
                return await asyncpg.connect(
                    host="127.0.0.1", port=self._port, user="benchmark", database="postgres"
                )
            except asyncpg.CannotConnectNowError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def load(self) -> dict[str, Any]:
        """Make the table and load every profile."""
        await self._links[0].link.execute(_TABLE)
        rows = [(name, json.dumps(fields)) for name, fields in self._work.profiles]
        started = time.monotonic()

        async def loader(link: Connection, mine: list[tuple[str, str]]) -> None:
            for start in range(0, len(mine), _BATCH):
                await link.write(mine[start : start + _BATCH])

        await asyncio.gather(
            *(loader(link, rows[n::_LOADERS]) for n, link in enumerate(self._links[:_LOADERS]))
        )
        return {"load": len(rows) / (time.monotonic() - started)}

    async def edit(self) -> dict[str, Any]:
        """Write the edits in every shape."""
        return await write_shapes(self._links, self._work, self._work.durable)

    async def fetch(self) -> dict[str, Any]:
        """Read every profile, and count those that are not as written."""
        started = time.monotonic()
        rows = await self._links[0].link.fetch("SELECT id, fields FROM profiles")
        found = {row["id"]: json.loads(row["fields"]) for row in rows}
        elapsed_s = time.monotonic() - started
        expected = self._work.after(self._work.durable)
        lost = sum(found.get(name) != fields for name, fields in expected.items())
        return {"cold_sync": len(found) / elapsed_s, "lost": float(lost)}

    async def one(self) -> dict[str, Any]:
        """Write edits one at a time."""
        return latency_readings(await write_one_by_one(self._links[0], self._work))

    async def wire(self) -> dict[str, Any]:
        """Write the edits whose bytes are counted."""
        for batch in batches(self._work.edits[slice(*self._work.wire)], _BATCH):
            await self._links[0].write(self._links[0].prepared(batch))
        return {}


async def main(settings: dict[str, Any]) -> None:
    """Obey until told to stop."""
    course = Course(Workload(Size(*settings["size"])), settings["port"])
    steps = ("connect", "load", "edit", "fetch", "one", "wire")
    await obey({name: getattr(course, name) for name in steps})


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
