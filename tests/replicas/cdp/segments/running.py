"""A replica with segments, for tests: open, settle, look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from crdtstore import Field, Replica, Schema
from crdtstore.server import application
from replicas.cdp.segments.definitions import SegmentDefinitions, with_segments
from replicas.cdp.segments.segments import Segments

SCHEMA = with_segments(
    Schema(
        fields={
            "plan": Field(indexed=True),
            "orders": Field("counter"),
            "orders_30d": Field("trait"),
        }
    )
)
VIP = """
[segments.vip]
all = [{ field = "plan", eq = "gold" }, { field = "orders", ge = 3 }]
"""
ACTIVE = """
[segments.active]
all = [{ field = "seen", within_last = "30 days" }]
"""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def opened(
    directory: Path, text: str, *, name: str = "eu", peers: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[tuple[Replica, Segments]]:
    """Open a replica, and the segments beside it, which work when ``settle`` lets them."""
    async with Replica.open(directory / name, name=name, schema=SCHEMA, peers=peers) as replica:
        yield replica, Segments(replica, SegmentDefinitions.parse(text), **options)


@asynccontextmanager
async def served(replica: Replica, port: int = 0) -> AsyncIterator[str]:
    """Serve a replica's links; yields its address."""
    runner = web.AppRunner(application(replica), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def settle(segments: Segments) -> None:
    """Let the segments do all there is to do."""
    while await segments.step():
        await asyncio.sleep(0)


def standing(replica: Replica, profile_id: str) -> list[str]:
    """Return the segments of a person, in order."""
    found: Any = replica.persons.read(profile_id).record.get("segments", [])
    return sorted(found)
