"""Replicas that serve real Yjs clients, all in one event loop, and the clients in one node."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from crdtstore.replica.replica import Replica
from crdtstore.schema import Field, Schema
from crdtstore.server import application
from tests.interop.node import NodeChild
from tests.patience import until

SCHEMA = Schema(fields={"note": Field("text"), "tasks": Field("list")})
NOTE = "ann/note"


class Yjs:
    """Stock clients of the packages yjs and y-websocket, by name."""

    def __init__(self, child: NodeChild) -> None:
        self._child = child

    async def ask(self, verb: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(self._child.ask, verb, *arguments)

    async def open(self, name: str, url: str, room: str = NOTE, **params: str) -> int:
        """Open a client, and wait until it has the server's text; return its Yjs id."""
        client: int = await self.ask("open", name, collaboration(url), room, params)
        await self.until_synced(name)
        return client

    async def until_synced(self, name: str) -> None:
        async def is_synced() -> bool:
            return bool((await self.ask("status", name))["synced"])

        await until(is_synced, f"{name} to be synced")

    async def until_equal(self, *names: str, text: str | None = None) -> str:
        """Wait until clients have one text, the one given if one is; return it."""
        seen: list[str] = []

        async def are_equal() -> bool:
            seen[:] = [await self.ask("text", name) for name in names]
            return len(set(seen)) == 1 and text in (None, seen[0])

        await until(are_equal, f"equal texts at {names}", seen)
        return seen[0]


def collaboration(url: str) -> str:
    """Return the address that a stock client takes as its server's."""
    return url.replace("http", "ws", 1).rstrip("/") + "/v1/collaboration"


class Site:
    """A replica and its address."""

    def __init__(self, replica: Replica, client: TestClient[Any, Any]) -> None:
        self.replica = replica
        self.client = client
        self.url = str(client.make_url("/"))

    @property
    def text(self) -> str:
        """The note at this replica."""
        return str(self.replica.read("ann")["note"])


def run_sites(
    scenario: Callable[..., Awaitable[None]],
    directory: Path,
    *,
    sites: int = 1,
    token: str | None = None,
) -> None:
    """Run a scenario with linked replicas, eu, us …, and a Yjs."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            child = stack.enter_context(NodeChild("yjs_clients.mjs"))
            opened: list[Site] = []
            for name in ("eu", "us", "ap")[:sites]:
                peers = [site.url for site in opened]
                replica = await stack.enter_async_context(
                    Replica.open(directory / name, name=name, schema=SCHEMA, peers=peers)
                )
                server = TestServer(application(replica, token=token))
                client = await stack.enter_async_context(TestClient(server))
                assert isinstance(client.session, ClientSession)
                opened.append(Site(replica, client))
            await scenario(Yjs(child), *opened)

    asyncio.run(main())
