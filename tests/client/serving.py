"""A replica behind a real port, for clients to write to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.ports import free_port
from crdtstore import Replica
from crdtstore.server import application
from crdtstore.stream.messages import SUBPROTOCOL, Hello, Message, decode, encode
from tests.patience import PATIENCE_S


class Place:
    """A replica's directory and port: served, shut, and served again."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.replica: Replica

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def served(self, where: Any = None) -> AsyncIterator[Replica]:
        async with Replica.open(where or self.directory, name="eu") as replica:
            runner = web.AppRunner(application(replica, **self.options), shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
            await site.start()
            self.replica = replica
            try:
                yield replica
            finally:
                await runner.cleanup()

    @asynccontextmanager
    async def raw(self, **options: Any) -> AsyncIterator["Raw"]:
        """Open the websocket without the client of the library."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                self.url + "/v1/stream", protocols=(SUBPROTOCOL,), **options
            ) as websocket,
        ):
            yield Raw(websocket)


class Raw:
    """One end of a write stream, in the test's hands."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket

    async def say(self, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else encode(message)
        await self.websocket.send_bytes(data)

    async def hear(self) -> Message | None:
        received = await self.websocket.receive(PATIENCE_S)
        is_message = received.type is aiohttp.WSMsgType.BINARY
        return decode(received.data) if is_message else None

    async def greet(self, client_id: bytes, origin: int = 0, confirmed: int = 0) -> Message | None:
        await self.say(Hello(client_id, origin, confirmed))
        return await self.hear()


def play(scenario: Callable[[Place], Awaitable[None]], directory: Path, **options: Any) -> None:
    """Run a scenario that serves a place by itself."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario(Place(directory, **options))

    asyncio.run(main())
