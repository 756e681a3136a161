"""Websockets: opening and closing the server's end of one, of a link or of a write stream."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from aiohttp import WSCloseCode, hdrs, web

from crdtstore import limits
from crdtstore.server.problems import Problem
from crdtstore.server.service import Service

_REASON_BYTES: Final = 120
"""A close frame has room for 123 (RFC 6455, 5.5)."""


def make_websocket(
    request: web.Request,
    what: str,
    bytes_max: int,
    *,
    protocol: str | None = None,
    heartbeat_s: float | None = None,
) -> web.WebSocketResponse:
    """Return a websocket to be prepared; raises the 426 problem if none is asked for.

    ``protocol`` is the subprotocol that the client must offer. ``what`` is for the problem's text.
    With ``heartbeat_s`` the client is pinged, and cut off when it does not answer.
    """
    websocket = web.WebSocketResponse(
        timeout=limits.CLOSE_TIMEOUT_S,
        max_msg_size=bytes_max + 1,
        compress=False,
        heartbeat=heartbeat_s,
        protocols=() if protocol is None else (protocol,),
    )
    ready = websocket.can_prepare(request)
    if ready.ok and ready.protocol == protocol:
        return websocket
    named = "" if protocol is None else f" with the subprotocol {protocol}"
    raise Problem(
        426,
        "upgrade-required",
        "This is a websocket",
        f"{what} use the websocket protocol{named}",
        headers={hdrs.UPGRADE: "websocket", hdrs.CONNECTION: hdrs.UPGRADE},
    )


def check_room(service: Service, present: int, maximum: int, what: str) -> None:
    """Refuse one websocket more than there may be, and any while shutting down.

    Raises the 503 problem.
    """
    if not service.closing.is_set() and present < maximum:
        return
    is_closing = service.closing.is_set()
    raise Problem(
        503,
        "busy",
        f"No further {what}",
        "the server is shutting down" if is_closing else f"{maximum} are open already",
        headers={"Retry-After": "5"},
    )


async def close_websocket(
    request: web.BaseRequest,
    websocket: web.WebSocketResponse,
    *,
    code: int = WSCloseCode.GOING_AWAY,
    reason: str = "",
) -> None:
    """Close a websocket that is done with; a silent other end is cut off."""
    message = reason.encode("ascii", "backslashreplace")[:_REASON_BYTES]
    is_cut = True
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
            await websocket.close(code=code, message=message)
            is_cut = websocket.close_code == WSCloseCode.ABNORMAL_CLOSURE
    if is_cut and request.transport is not None:
        request.transport.abort()


async def close_all(websockets: Iterable[web.WebSocketResponse]) -> None:
    """Close websockets, all at one time, so that shutting down waits for no silent end."""

    async def close(websocket: web.WebSocketResponse) -> None:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                await websocket.close(code=WSCloseCode.GOING_AWAY, message=b"shutting down")

    await asyncio.gather(*(close(websocket) for websocket in tuple(websockets)))
