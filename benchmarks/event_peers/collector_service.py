"""One process of the plain collector, told what to do by lines of JSON.

    python -m benchmarks.event_peers.collector_service '{"database": …, "port": …, "is_first": …}'

A batch becomes rows of one table in one transaction, and is answered when that is on disk.
"""

import json
import sys
from typing import Any, Final

import asyncpg
import msgspec
from aiohttp import web

from benchmarks.peers.lines import obey

_CONNECTIONS: Final = 8
_BODY_BYTES_MAX: Final = 1024 * 1024
_TABLE: Final = (
    "CREATE TABLE event_stream (event_id bigserial PRIMARY KEY, user_id varchar NOT NULL, "
    "event_type varchar NOT NULL, properties jsonb NOT NULL, "
    "ingested_at timestamptz NOT NULL DEFAULT now())"
)
_COLUMNS: Final = ("user_id", "event_type", "properties")


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]


class _Item(msgspec.Struct):
    type: str
    userId: str


_BATCHES: Final = msgspec.json.Decoder(_Batch)
_ITEMS: Final = msgspec.json.Decoder(_Item)


class Collecting:
    """Takes batches into the table."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def collect(self, request: web.Request) -> web.Response:
        """Answer a batch when it is on disk."""
        rows = []
        for raw in _BATCHES.decode(await request.read()).batch:
            item = _ITEMS.decode(raw)
            rows.append((item.userId, item.type, bytes(raw).decode()))
        async with self._pool.acquire() as link:
            await link.copy_records_to_table("event_stream", records=rows, columns=_COLUMNS)
        return web.Response(body=b'{"success":true}', content_type="application/json")

    async def count(self) -> dict[str, Any]:
        """Return how many rows the table has."""
        async with self._pool.acquire() as link:
            return {"count": await link.fetchval("SELECT count(*) FROM event_stream")}


async def run(given: dict[str, Any]) -> None:
    """Serve until told to stop."""
    pool = await asyncpg.create_pool(
        host="127.0.0.1", port=given["database"], user="benchmark", database="postgres",
        min_size=_CONNECTIONS, max_size=_CONNECTIONS,
    )  # fmt: skip
    if given["is_first"]:
        await pool.execute(_TABLE)
    collecting = Collecting(pool)
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    app.router.add_post("/v1/batch", collecting.collect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", given["port"], reuse_port=True).start()
    await obey({"count": collecting.count})
    await runner.cleanup()


def main() -> None:
    """Be one process."""
    import uvloop

    uvloop.run(run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
