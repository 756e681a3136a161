"""The link endpoint: where another replica comes in over a websocket."""

import asyncio
from contextlib import suppress

from aiohttp import WSCloseCode, hdrs, web

from crdtstore import limits
from crdtstore.server.auth import check_caller
from crdtstore.server.problems import Problem
from crdtstore.server.service import Service, service_of


async def get_link(request: web.Request) -> web.StreamResponse:
    """Check the caller's secret, and give the websocket to the replica until the link ends."""
    service = service_of(request)
    check_caller(request, service.link_secret, "link secret")
    websocket = web.WebSocketResponse(
        timeout=limits.CLOSE_TIMEOUT_S,
        max_msg_size=limits.MESSAGE_BYTES_MAX + 1,
        compress=False,
        heartbeat=None,
    )
    if not websocket.can_prepare(request).ok:
        raise Problem(
            426,
            "upgrade-required",
            "This is a websocket",
            "links between replicas use the websocket protocol",
            headers={hdrs.UPGRADE: "websocket", hdrs.CONNECTION: hdrs.UPGRADE},
        )
    if service.closing.is_set() or len(service.links) >= limits.LINKS_MAX:
        raise Problem(
            503,
            "busy",
            "No further link",
            "the server is shutting down"
            if service.closing.is_set()
            else f"{limits.LINKS_MAX} links are open already",
            headers={"Retry-After": "5"},
        )
    await websocket.prepare(request)
    service.links.add(websocket)
    try:
        await service.replica.serve_link(websocket)
    finally:
        service.links.discard(websocket)
        await close_link(request, websocket)
    return websocket


async def close_link(request: web.BaseRequest, websocket: web.WebSocketResponse) -> None:
    """Close a websocket that the replica is done with; a silent other end is cut off."""
    is_cut = True
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
            await websocket.close(code=WSCloseCode.GOING_AWAY)
            is_cut = websocket.close_code == WSCloseCode.ABNORMAL_CLOSURE
    if is_cut and request.transport is not None:
        request.transport.abort()


async def close_links(service: Service) -> None:
    """Close every link, all at one time, so that shutting down waits for no silent peer."""

    async def close(websocket: web.WebSocketResponse) -> None:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limits.CLOSE_TIMEOUT_S):
                await websocket.close(code=WSCloseCode.GOING_AWAY, message=b"shutting down")

    await asyncio.gather(*(close(websocket) for websocket in tuple(service.links)))
