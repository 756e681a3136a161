"""A CDP service in this process, on ports of its own, and somebody who sends it events."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.ports import free_port
from crdtstore import Profile
from replicas.cdp.configuration import load_configuration
from replicas.cdp.events import Event
from replicas.cdp.service import Running, running
from tests.patience import until

KEY = "k3y"
AUTH = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}


def write_config(directory: Path, more: str = "") -> Path:
    """Write a configuration; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "cdp.toml"
    path.write_text(
        f"""\
name = "eu"
data = "data"
listen = "127.0.0.1:{free_port()}"
collect_listen = "127.0.0.1:{free_port()}"
{more}
[write_keys]
web = "{KEY}"
"""
    )
    return path


class Sender:
    """Sends events to a service, and asks it."""

    def __init__(self, config: Path, client: aiohttp.ClientSession) -> None:
        configuration = load_configuration(config)
        self.collect = f"http://127.0.0.1:{configuration.collect_port}"
        self.own = f"http://127.0.0.1:{configuration.port}"
        self.client = client

    async def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a body, of JSON unless it is bytes; return status and answer."""
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        headers = AUTH if headers is None else headers
        url = self.collect + path
        async with self.client.post(url, headers=headers, **given) as answer:
            return answer.status, await answer.json()

    async def batch(self, *items: dict[str, Any], **more: Any) -> tuple[int, Any]:
        """Send some events; return status and answer."""
        return await self.post("/v1/batch", {"batch": items, **more})

    async def get(self, path: str) -> Any:
        """Ask the service at its own address."""
        async with self.client.get(self.own + path) as answer:
            return await answer.json(content_type=None)


@asynccontextmanager
async def beside(config: Path) -> AsyncIterator[tuple[Running, Sender]]:
    """Run a service while the context lasts."""
    async with (
        running(load_configuration(config)) as service,
        aiohttp.ClientSession() as client,
    ):
        yield service, Sender(config, client)


def events_of(service: Running) -> list[Event]:
    """Return all events of a service, in order."""
    return [event for _, event in service.log.read(0, 100_000)]


def profile_of(service: Running, kind: str, value: str) -> Profile:
    """Return the golden record of who has an identifier."""
    (person,) = service.replica.persons.find(kind, value)
    return person.record


async def until_learned(service: Running) -> None:
    """Wait until the profiles have what the log has."""
    await until(lambda: service.learning.position >= service.log.last_sequence, "learning")


def track(number: int, **more: Any) -> dict[str, Any]:
    """Return an event."""
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": f"u{number % 7}",
        "messageId": f"m{number}",
        "properties": {"number": number},
        **more,
    }
