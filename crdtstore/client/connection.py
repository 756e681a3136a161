"""Connection: one websocket to the replica, from HELLO to its end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from crdtstore import limits
from crdtstore.errors import AccessDenied, MessageInvalid, NotUnderstood
from crdtstore.racing import until_one_ends
from crdtstore.stream import bounds
from crdtstore.stream.messages import (
    SUBPROTOCOL,
    Bye,
    Message,
    Ping,
    Refuse,
    Results,
    Welcome,
    decode,
    encode,
)
from crdtstore.stream.outbox import Outbox
from crdtstore.stream.refusals import error_of

if TYPE_CHECKING:
    import aiohttp

STREAM_PATH = "/v1/stream"


class Connection:
    """One websocket. ``wake`` is set when there may be something to send, or the end is wanted.

    ``is_ending`` asks for the end as soon as every write is answered. ``note_results`` is called
    when results came.
    """

    def __init__(
        self, outbox: Outbox, wake: asyncio.Event, note_results: Callable[[], None]
    ) -> None:
        self.is_ending = False
        self._outbox = outbox
        self._wake = wake
        self._note_results = note_results

    async def run(self, session: "aiohttp.ClientSession", url: str) -> None:
        """Serve one connection; return when it ended as was wanted.

        Raises ConnectionError or TimeoutError if it was lost, AccessDenied or NotUnderstood if
        there was none to be had, MessageInvalid, or the error by which the replica ended it.
        """
        websocket = await _connect(session, url)
        try:
            await self._greet(websocket)
            self._note_results()
            tasks = [
                asyncio.create_task(self._read(websocket), name="crdtstore-client-reader"),
                asyncio.create_task(self._write(websocket), name="crdtstore-client-writer"),
            ]
            await until_one_ends(tasks)
        finally:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                    await websocket.close()

    async def _greet(self, websocket: "aiohttp.ClientWebSocketResponse") -> None:
        await _send(websocket, encode(self._outbox.hello()))
        message = await _receive(websocket)
        if not isinstance(message, Welcome):
            raise MessageInvalid("the first message of a replica is WELCOME")
        self._outbox.welcome(message)

    async def _read(self, websocket: "aiohttp.ClientWebSocketResponse") -> None:
        while True:
            match await _receive(websocket):
                case Results() as results:
                    self._outbox.results(results)
                    self._note_results()
                case Ping():
                    pass
                case _:
                    raise MessageInvalid("after WELCOME a replica sends RESULTS, PING and REFUSE")

    async def _write(self, websocket: "aiohttp.ClientWebSocketResponse") -> None:
        while True:
            self._wake.clear()
            while (message := self._outbox.take()) is not None:
                await _send(websocket, message)
            if self.is_ending and self._outbox.is_empty:
                await _send(websocket, encode(Bye(self._outbox.handled)))
                return
            try:
                async with asyncio.timeout(bounds.STREAM_PING_S):
                    await self._wake.wait()
            except TimeoutError:
                await _send(websocket, encode(Ping()))


async def _connect(session: "aiohttp.ClientSession", url: str) -> "aiohttp.ClientWebSocketResponse":
    """Open a websocket; raises AccessDenied, NotUnderstood, ConnectionError or TimeoutError."""
    import aiohttp

    try:
        async with asyncio.timeout(limits.SEND_TIMEOUT_S):
            websocket = await session.ws_connect(
                url + STREAM_PATH,
                protocols=(SUBPROTOCOL,),
                max_msg_size=bounds.STREAM_MESSAGE_BYTES_MAX + 1,
                timeout=aiohttp.ClientWSTimeout(ws_close=limits.CLOSE_TIMEOUT_S),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise AccessDenied(
                f"{url} answers {error.status}: the token is missing or wrong"
            ) from error
        if error.status < 500:
            raise NotUnderstood(
                f"{url} answers {error.status}: it is no replica with write streams"
            ) from error
        raise ConnectionRefusedError(f"{url} answers {error.status}") from error
    except aiohttp.ClientError as error:
        raise ConnectionRefusedError(f"{url} cannot be reached: {error}") from error
    if websocket.protocol != SUBPROTOCOL:
        await websocket.close()
        raise NotUnderstood(f"{url} does not know the subprotocol {SUBPROTOCOL}")
    return websocket


async def _send(websocket: "aiohttp.ClientWebSocketResponse", message: bytes) -> None:
    async with asyncio.timeout(limits.SEND_TIMEOUT_S):
        await websocket.send_bytes(message)


async def _receive(websocket: "aiohttp.ClientWebSocketResponse") -> Message:
    """Return the next message; raises the error that it tells of, or ConnectionError."""
    import aiohttp

    received = await websocket.receive(bounds.STREAM_IDLE_S_MAX)
    if received.type is aiohttp.WSMsgType.TEXT:
        raise MessageInvalid("messages are binary")
    if received.type is not aiohttp.WSMsgType.BINARY:
        raise ConnectionResetError("the replica has gone")
    message = decode(received.data)
    if isinstance(message, Refuse):
        raise error_of(message.code, message.text, {})
    return message
