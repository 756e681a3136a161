"""Regions: a replica with an event log and its folding, reached by others on a port."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from crdtstore import Replica
from crdtstore.server import application
from replicas.cdp.event_log import EventLog
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from tests.patience import until
from tests.replicas.cdp.traits.plain import TOML

SECRET = "a-link-secret-of-decent-length"


@dataclass(slots=True)
class Region:
    """A region that runs in this process."""

    replica: Replica
    log: EventLog
    folding: Folding


@asynccontextmanager
async def region(
    directory: Path, name: str, ports: Mapping[str, int], *, linked: bool
) -> AsyncIterator[Region]:
    """Run a region; one that is not linked neither calls others nor is there for them."""
    others = tuple(f"http://127.0.0.1:{port}" for other, port in ports.items() if other != name)
    log = EventLog(directory / name / "events")
    async with Replica.open(
        directory / name / "replica", name=name, link_secret=SECRET,
        peers=others if linked else (),
    ) as replica:  # fmt: skip
        runner = web.AppRunner(application(replica, link_secret=SECRET), shutdown_timeout=2)
        await runner.setup()
        try:
            if linked:
                await web.TCPSite(runner, "127.0.0.1", ports[name]).start()
            yield Region(replica, log, Folding(replica, log, TraitDefinitions.parse(TOML)))
        finally:
            await runner.cleanup()
            log.close()


async def until_equal(one: Replica, other: Replica) -> None:
    """Wait until two replicas have the same documents."""
    await until(lambda: one.digest().digest == other.digest().digest, "equal digests")
    await asyncio.sleep(0)
