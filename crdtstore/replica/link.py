"""Link: one websocket between two replicas, served until it ends.

One task reads, one writes. A peer that does not read is cut after a deadline by shutting its
socket: a heartbeat would not wake a blocked sender, and closing politely would wait for it.
"""

import asyncio
import contextlib
import logging
import socket
from typing import TypeAlias

import aiohttp
from aiohttp import web

from crdtstore import limits
from crdtstore.links.exchange import Exchange
from crdtstore.turns import in_turn

Websocket: TypeAlias = aiohttp.ClientWebSocketResponse | web.WebSocketResponse

LINK_PATH = "/v1/link"

_log = logging.getLogger("crdtstore.links")


class Link:
    """One websocket and its number at the exchange. ``wake`` says that there may be more to send.

    ``work`` is set whenever a message came in, so that the replica commits what it brought.
    """

    def __init__(
        self, websocket: Websocket, exchange: Exchange, work: asyncio.Event, *, outbound: bool
    ) -> None:
        self.wake = asyncio.Event()
        self.number = exchange.open_link(outbound=outbound)
        self._websocket = websocket
        self._exchange = exchange
        self._work = work

    async def run(self) -> str:
        """Serve the link until it ends; return why it was closed, "" if the connection was lost."""
        writer = asyncio.create_task(self._write(), name=f"link-{self.number}-writer")
        reader = asyncio.create_task(self._read(), name=f"link-{self.number}-reader")
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            state = self._exchange.links.get(self.number)
            self._exchange.close_link(self.number)
            self._work.set()
            await self._close()
        for task in (reader, writer):
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, ConnectionError | TimeoutError):
                raise error
        return state.reason_code if state is not None else ""

    async def _read(self) -> None:
        async for message in self._websocket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                _log.error("link closed: the peer sent a message that is not binary")
                return
            brings_documents = await in_turn(self._receive, message.data)
            self._work.set()
            self.wake.set()
            if brings_documents:
                await self._let_rest()

    def _receive(self, message: bytes) -> bool:
        """Take a message in; return whether it made documents dirty."""
        dirty_before = len(self._exchange.store.documents.dirty)
        self._exchange.receive(self.number, message)
        return len(self._exchange.store.documents.dirty) > dirty_before

    async def _let_rest(self) -> None:
        """Read no more for a while if more is dirty than memory is planned for: commits go first.

        The peer's credit and the socket's buffers are all that comes meanwhile. Messages that bring
        no documents do not wait: a snapshot that is given here goes on by them.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.REST_PATIENCE_S
        dirty = self._exchange.store.documents.dirty
        while len(dirty) > limits.DIRTY_DOCUMENTS_MAX and loop.time() < deadline:
            self._work.set()
            await asyncio.sleep(limits.REST_LOOK_S)

    async def _write(self) -> None:
        while True:
            self.wake.clear()
            messages = await in_turn(self._exchange.take_outgoing, self.number)
            for message in messages:
                async with asyncio.timeout(limits.SEND_TIMEOUT_S):
                    await self._websocket.send_bytes(message)
            state = self._exchange.links.get(self.number)
            if state is not None and state.needs_commit:
                self._work.set()
            if messages or self._exchange.has_more(self.number):
                continue
            if state is None or state.session.state == "closed":
                return
            await self.wake.wait()

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
            async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                await self._websocket.close()
            return
        raw = self._websocket.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)


async def end_links(links: set[Link], exchange: Exchange) -> None:
    """Tell every peer that the replica closes, and give the links a while to end."""
    for link in list(links):
        state = exchange.links.get(link.number)
        if state is not None:
            state.session.refuse("closing", "the replica is closing")
        link.wake.set()
    deadline = asyncio.get_running_loop().time() + limits.CLOSE_TIMEOUT_S
    while links and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
