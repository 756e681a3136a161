"""The service as a process of its own, to be killed and started again."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.ports import free_port
from tests.patience import until
from tests.replicas.crm.cut import Cut
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.pubsub_server import PubSubServer
from tests.replicas.crm.regions import POLLS, write_hubspot, write_salesforce
from tests.replicas.crm.salesforce_server import SalesforceServer

ROOT = Path(__file__).parents[3]


class ServiceProcess:
    """A service's command, ``crdtstore-crm run``: start it, ask it, kill it."""

    def __init__(self, config: Path, port: int, module: str = "replicas.crm.command") -> None:
        self.config = config
        self._module = module
        self.url = f"http://127.0.0.1:{port}"
        self.log = config.parent / "log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process_id(self) -> int:
        """The id of the process, 0 if it was not started."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, "run", "--config", str(self.config),
                stdout=log, stderr=log, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        await until(self.answers, f"{self.config} to answer")

    async def answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log.read_text()[-3000:]
        try:
            await self.ask("GET", "/healthz")
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the service or its replica; return the JSON answer."""
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.url + path, json=body) as answer,
        ):
            return await answer.json(content_type=None)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> int:
        """Stop the service in order; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


class World:
    """Both vendors, a replica beside each, and the link between them."""

    def __init__(
        self,
        salesforce: SalesforceServer,
        hubspot: HubSpotServer,
        eu: ServiceProcess,
        us: ServiceProcess,
        link: Cut,
    ) -> None:
        self.salesforce = salesforce
        self.hubspot = hubspot
        self.eu = eu
        self.us = us
        self.link = link

    async def start(self) -> None:
        """Start both services."""
        await asyncio.gather(self.eu.start(), self.us.start())

    async def told(self) -> str:
        """Return what the services say of themselves, for a test that failed."""
        lines = []
        for service in (self.eu, self.us):
            for page in ("status", "dead-letters"):
                lines.append(str(await service.ask("GET", f"/crm/{page}")))
            lines.append(service.log.read_text()[-1500:])
        return "\n".join(lines)


@contextlib.asynccontextmanager
async def world(
    directory: Path, more: str = POLLS, *, is_streaming: bool = False
) -> AsyncIterator[World]:
    """Start two vendors; the two services beside them are started by ``World.start``.

    With ``is_streaming`` Salesforce's events come over its Pub/Sub API instead of CometD.
    """
    salesforce, hubspot = await SalesforceServer().start(), await HubSpotServer().start()
    stream = await PubSubServer(salesforce).start() if is_streaming else None
    events = "" if stream is None else f'events = "pubsub"\npubsub_address = "{stream.url}"\n'
    eu_port, us_port, hook_port = free_port(), free_port(), free_port()
    link = await Cut(us_port).start()
    peers = [f"http://127.0.0.1:{link.port}"]
    eu_config = write_salesforce(
        directory / "eu", salesforce, port=eu_port, peers=peers, more=more + events
    )
    us_config = write_hubspot(
        directory / "us", hubspot, port=us_port, peers=[], hook_port=hook_port, more=more
    )
    eu, us = ServiceProcess(eu_config, eu_port), ServiceProcess(us_config, us_port)
    try:
        yield World(salesforce, hubspot, eu, us, link)
    finally:
        for service in (eu, us):
            await service.kill()
        await link.stop()
        if stream is not None:
            await stream.stop()
        await salesforce.stop()
        await hubspot.stop()
