"""The collaboration endpoint: a websocket that speaks the protocol of y-websocket.

The stock client appends the name of its room to the address of its server, so a room is
PROFILE/FIELD, each percent-encoded, and the address ends with /v1/collaboration.
"""

import asyncio
import logging
from typing import Final

from aiohttp import WSMsgType, web

from crdtstore import limits
from crdtstore.collaboration.rooms import ClientTooSlow, Coediting, Member, TextBegunAnew
from crdtstore.collaboration.trials import UpdateRefused
from crdtstore.errors import (
    CrdtstoreError,
    InvalidInput,
    KindConflict,
    LimitExceeded,
    MessageInvalid,
    ProfileErased,
    ProfileNotFound,
    ReplicaClosed,
    StorageError,
)
from crdtstore.names import check_source_name
from crdtstore.racing import until_one_ends
from crdtstore.server.parameters import number_of, place_of, query_of
from crdtstore.server.service import service_of
from crdtstore.server.websockets import check_room, close_websocket, make_websocket

_SOURCE_DEFAULT: Final = "yjs"
_EMPTY_AWARENESS: Final = b"\x01\x01\x00"

_CLOSE_CODES: Final[dict[type[CrdtstoreError], int]] = {
    MessageInvalid: 4400,
    UpdateRefused: 4400,
    ProfileErased: 4410,
    TextBegunAnew: 4410,
    ProfileNotFound: 4404,
    KindConflict: 4409,
    LimitExceeded: 4413,
    InvalidInput: 4422,
    ClientTooSlow: 4508,
    StorageError: 4503,
    ReplicaClosed: 4503,
}
"""How a websocket is closed: a browser sees that, and not why it was refused before.

Stock clients come back by themselves, but not after 4400 to 4499.
"""

_log = logging.getLogger("crdtstore.collaboration")


async def get_collaboration(request: web.Request) -> web.StreamResponse:
    """Let a Yjs client take part in the editing of a field until it goes."""
    query = query_of(request, frozenset({"token", "source", "epoch"}))
    profile_id, field = place_of(request)
    source = query.get("source", _SOURCE_DEFAULT)
    check_source_name(source)
    epoch = number_of(query, "epoch", limits.EPOCH_MAX)
    service = service_of(request)
    websocket = make_websocket(
        request,
        "Yjs clients",
        limits.COLLABORATOR_MESSAGE_BYTES_MAX,
        heartbeat_s=limits.COLLABORATOR_HEARTBEAT_S,
    )
    check_room(service, len(service.collaborators), limits.COLLABORATORS_MAX, "Yjs client")
    coediting = service.replica.coediting
    await websocket.prepare(request)
    service.collaborators.add(websocket)
    member: Member | None = None
    try:
        service.replica.schema.check_source(source)
        member = coediting.enter(profile_id, field, source=source, epoch=epoch)
        await _serve(websocket, coediting, member)
    except CrdtstoreError as error:
        _log.info("a Yjs client was closed: %s", error.code)
        code = next(
            (_CLOSE_CODES[kind] for kind in type(error).__mro__ if kind in _CLOSE_CODES), 1011
        )
        await close_websocket(request, websocket, code=code, reason=str(error))
    except (ConnectionError, TimeoutError):
        _log.debug("a Yjs client was lost")
    finally:
        if member is not None:
            coediting.leave(member)
        service.collaborators.discard(websocket)
        await close_websocket(request, websocket)
    return websocket


async def _serve(websocket: web.WebSocketResponse, coediting: Coediting, member: Member) -> None:
    """Serve one client; raises the error by which it ends, if by one."""
    tasks = [
        asyncio.create_task(_read(websocket, coediting, member), name="crdtstore-yjs-reader"),
        asyncio.create_task(_write(websocket, member), name="crdtstore-yjs-writer"),
    ]
    await until_one_ends(tasks)


async def _read(websocket: web.WebSocketResponse, coediting: Coediting, member: Member) -> None:
    async for received in websocket:
        if received.type is not WSMsgType.BINARY:
            raise MessageInvalid("messages are binary")
        await coediting.receive(member, received.data)
        await asyncio.sleep(0)


async def _write(websocket: web.WebSocketResponse, member: Member) -> None:
    """Send what waits; a client that hears nothing for half a minute believes that it is alone."""
    while True:
        try:
            async with asyncio.timeout(limits.KEEP_ALIVE_S):
                messages = await member.outgoing()
        except TimeoutError:
            messages = [_EMPTY_AWARENESS]
        for message in messages:
            async with asyncio.timeout(limits.SEND_TIMEOUT_S):
                await websocket.send_bytes(message)
