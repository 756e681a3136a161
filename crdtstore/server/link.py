"""The link endpoint: where another replica comes in over a websocket."""

from aiohttp import web

from crdtstore import limits
from crdtstore.server.auth import check_caller
from crdtstore.server.service import service_of
from crdtstore.server.websockets import check_room, close_websocket, make_websocket


async def get_link(request: web.Request) -> web.StreamResponse:
    """Check the caller's secret, and give the websocket to the replica until the link ends."""
    service = service_of(request)
    check_caller(request, service.link_secret, "link secret")
    websocket = make_websocket(request, "links between replicas", limits.MESSAGE_BYTES_MAX)
    check_room(service, len(service.links), limits.LINKS_MAX, "link")
    await websocket.prepare(request)
    service.links.add(websocket)
    try:
        await service.replica.serve_link(websocket)
    finally:
        service.links.discard(websocket)
        await close_websocket(request, websocket)
    return websocket
