"""The backup over HTTP: taken whole, beside the data, and then sent."""

from aiohttp import web

from crdtstore.server.negotiation import OCTETS, accepted
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem
from crdtstore.server.sending import send_file
from crdtstore.server.service import service_of


async def get_backup(request: web.Request) -> web.StreamResponse:
    """Answer a backup of what is durable now; one at a time."""
    query_of(request, frozenset())
    accepted(request, (OCTETS,))
    service = service_of(request)
    if service.is_backing_up:
        raise Problem(
            503,
            "busy",
            "A backup is being taken",
            "another request takes a backup now, and one at a time is taken",
            headers={"Retry-After": "10"},
        )
    service.is_backing_up = True
    try:
        with await service.replica.backups.nameless() as file:
            return await send_file(request, service, file, "crdtstore.backup")
    finally:
        service.is_backing_up = False
