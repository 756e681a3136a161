"""The stream endpoint: where a client sends its writes over a websocket.

One task reads and applies, one tells results. What ends a stream is told to the client, as the code
and text of an error.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress

from aiohttp import WSMsgType, web

from crdtstore import limits
from crdtstore.errors import CrdtstoreError, MessageInvalid, ReplicaClosed
from crdtstore.racing import until_one_ends
from crdtstore.replica.streams import Stream
from crdtstore.server.parameters import query_of
from crdtstore.server.service import Service, service_of
from crdtstore.server.websockets import check_room, close_websocket, make_websocket
from crdtstore.stream import bounds
from crdtstore.stream.messages import (
    SUBPROTOCOL,
    Bye,
    Hello,
    Message,
    Ping,
    Refuse,
    Results,
    Writes,
    decode,
    encode,
)
from crdtstore.stream.refusals import refusal_of
from crdtstore.turns import in_turn, is_asked

_ITEMS_PER_MESSAGE = 100
"""Results told in one message: with the longest names and texts they take 450 KB."""

_log = logging.getLogger("crdtstore.streams")


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Take a client's writes until it goes."""
    query_of(request, frozenset())
    service = service_of(request)
    websocket = make_websocket(
        request, "write streams", bounds.STREAM_MESSAGE_BYTES_MAX, protocol=SUBPROTOCOL
    )
    check_room(service, len(service.streams), bounds.STREAMS_MAX, "write stream")
    await websocket.prepare(request)
    service.streams.add(websocket)
    try:
        await _serve(websocket, service)
    except CrdtstoreError as error:
        _log.info("a write stream was ended: %s", error.code)
        code, text, _ = refusal_of(error)
        with suppress(ConnectionError, TimeoutError):
            await _send(websocket, Refuse(code, text))
    except (ConnectionError, TimeoutError):
        _log.debug("a write stream was lost")
    finally:
        service.streams.discard(websocket)
        await close_websocket(request, websocket)
    return websocket


async def _serve(websocket: web.WebSocketResponse, service: Service) -> None:
    """Serve one connection; raises the error by which it ends, if by one."""
    streams, closing = service.replica.streams, service.closing
    received = await _receive(websocket)
    if received is None:
        return
    hello, _ = received
    if not isinstance(hello, Hello):
        raise MessageInvalid("the first message of a client is HELLO")
    stream = await streams.open(hello)
    try:
        await _send(websocket, streams.welcome(stream))
        tasks = [
            asyncio.create_task(_read(websocket, stream, service), name="crdtstore-stream-reader"),
            asyncio.create_task(_write(websocket, stream), name="crdtstore-stream-writer"),
            asyncio.create_task(closing.wait(), name="crdtstore-stream-closing"),
        ]
        await until_one_ends(tasks)
        if closing.is_set():
            raise ReplicaClosed("the replica is shutting down")
    finally:
        streams.close(stream)


async def _receive(websocket: web.WebSocketResponse) -> tuple[Message, int] | None:
    """Return the next message and its bytes, None at the end; raises MessageInvalid."""
    received = await websocket.receive(bounds.STREAM_IDLE_S_MAX)
    if received.type is WSMsgType.BINARY:
        return decode(received.data), len(received.data)
    if received.type is WSMsgType.TEXT:
        raise MessageInvalid("messages are binary")
    return None


async def _read(websocket: web.WebSocketResponse, stream: Stream, service: Service) -> None:
    while (received := await _receive(websocket)) is not None:
        message, size_bytes = received
        match message:
            case Writes():
                is_done = False
                while not is_done:
                    turn_s = bounds.STREAM_ASKED_TURN_S if is_asked() else bounds.STREAM_TURN_S
                    is_done = await in_turn(stream.receive, message, size_bytes, turn_s)
                    size_bytes = 0  # they are counted once
            case Ping():
                stream.seen()
                await _send(websocket, message)
            case Bye(confirmed):
                stream.forget(confirmed)
                return
            case _:
                raise MessageInvalid("a client sends HELLO once, then WRITES, PING and BYE")


async def _write(websocket: web.WebSocketResponse, stream: Stream) -> None:
    while True:
        for part in _parts(await stream.results()):
            await _send(websocket, part)


def _parts(results: Results) -> Iterator[Results]:
    """Yield results in messages that are not too long."""
    items = results.items
    while len(items) > _ITEMS_PER_MESSAGE:
        yield Results(items[_ITEMS_PER_MESSAGE - 1][0], items[:_ITEMS_PER_MESSAGE])
        items = items[_ITEMS_PER_MESSAGE:]
    yield Results(results.handled, items)


async def _send(websocket: web.WebSocketResponse, message: Message) -> None:
    async with asyncio.timeout(limits.SEND_TIMEOUT_S):
        await websocket.send_bytes(encode(message))
