"""Two CDP services and a CRM service as processes, linked by links that can be cut.

Beside the CDP in Europe are a real Redis and a real PostgreSQL, beside the CRM a local HubSpot;
clients reach the CDPs by doors that can be shut.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ports import free_port
from replicas.cdp.configuration import load_configuration
from tests.replicas.cdp.projections.agreement import PREFIX
from tests.replicas.cdp.projections.servers import PostgresqlServer, RedisServer
from tests.replicas.cdp.service import KEY
from tests.replicas.cdp.shoppers import REGIONS
from tests.replicas.cdp.traits import plain
from tests.replicas.crm.cut import Cut
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.processes import ServiceProcess
from tests.replicas.crm.regions import write_hubspot

SEGMENTS = """
[segments.buyers]
all = [{ trait = "orders", ge = 3 }]

[segments.recent]
all = [{ trait = "orders_7d", ge = 2 }]

[segments.addressable]
all = [{ consent = "consent.ads", is = "granted" }, { identifier = "email" }]
"""
PUSHED = {"orders": "orders_count", "spent": "orders_total"}
"""The traits that the CRM replica sends to HubSpot, and the properties that they are there."""


@dataclass(frozen=True, slots=True)
class World:
    """All parts: services by name, links between them, and the doors of the CDPs by region."""

    services: Mapping[str, ServiceProcess]
    links: tuple[Cut, ...]
    doors: Mapping[str, Cut]
    hubspot: HubSpotServer
    redis: RedisServer
    postgresql: PostgresqlServer

    async def start(self) -> None:
        """Start all services."""
        await asyncio.gather(*(service.start() for service in self.services.values()))

    def logs(self) -> str:
        """Return the ends of the services' logs, for a test that failed."""
        return "\n".join(each.log.read_text()[-1500:] for each in self.services.values())


@contextlib.asynccontextmanager
async def world(
    directory: Path, redis: RedisServer, postgresql: PostgresqlServer
) -> AsyncIterator[World]:
    """Make the world; its services are started by ``World.start``, and killed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def cut(port: int) -> Cut:
            made = await Cut(port).start()
            stack.push_async_callback(made.stop)
            return made

        hubspot = await HubSpotServer().start()
        stack.push_async_callback(hubspot.stop)
        ports = {name: free_port() for name in (*REGIONS, "crm")}
        links = [await cut(ports[name]) for name in ("eu", "eu", "us")]
        us_to_eu, crm_to_eu, crm_to_us = (f"http://127.0.0.1:{link.port}" for link in links)
        targets = (
            f'[projections.redis]\nurl = "{redis.url}"\nprefix = "{PREFIX}"\n'
            f'[projections.postgresql]\nurl = "{postgresql.url}"\n'
        )
        eu = _write_cdp(directory / "eu", "eu", ports["eu"], [], targets)
        us = _write_cdp(directory / "us", "us", ports["us"], [us_to_eu], "")
        crm = _write_crm(directory / "crm", hubspot, ports["crm"], [crm_to_eu, crm_to_us])
        command = "replicas.cdp.command"
        services = {
            "eu": ServiceProcess(eu, ports["eu"], command),
            "us": ServiceProcess(us, ports["us"], command),
            "crm": ServiceProcess(crm, ports["crm"]),
        }
        doors = {
            name: await cut(load_configuration(services[name].config).collect_port)
            for name in REGIONS
        }
        for service in services.values():
            stack.push_async_callback(service.kill)
        yield World(services, tuple(links), doors, hubspot, redis, postgresql)


def _write_cdp(directory: Path, name: str, port: int, peers: list[str], targets: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "traits.toml").write_text(plain.TOML)
    (directory / "segments.toml").write_text(SEGMENTS)
    path = directory / "cdp.toml"
    path.write_text(
        f"""\
name = "{name}"
data = "data"
listen = "127.0.0.1:{port}"
collect_listen = "127.0.0.1:{free_port()}"
peers = {peers}
traits_file = "traits.toml"
segments_file = "segments.toml"
log_level = "warning"

[write_keys]
shop = "{KEY}"

[identify]
keeps_others = false

{targets}"""
    )
    return path


def _write_crm(directory: Path, hubspot: HubSpotServer, port: int, peers: list[str]) -> Path:
    path = write_hubspot(
        directory, hubspot, port=port, peers=peers, hook_port=free_port(),
    )  # fmt: skip
    pushed = [
        f'{field} = {{ property = "{name}", form = "number", direction = "push" }}'
        for field, name in PUSHED.items()
    ]
    pushed.append('segments = { property = "audiences", form = "list", direction = "push" }')
    text = path.read_text().replace('"us"', '"crm"').replace('"info"', '"warning"')
    path.write_text("\n".join([text, *pushed]))
    return path
