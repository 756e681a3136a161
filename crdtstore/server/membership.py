"""Handlers of membership: the other replicas of the space, and removing one for good."""

from dataclasses import asdict

from aiohttp import web

from crdtstore.server.bodies import answer, refuse_body
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import query_of, replica_name_of
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait


async def get_replicas(request: web.Request) -> web.StreamResponse:
    """Answer every other replica that is known or was removed."""
    query_of(request, frozenset())
    entries = service_of(request).replica.replicas.present()
    return answer(request, {"replicas": [asdict(entry) for entry in entries]})


async def delete_replica(request: web.Request) -> web.StreamResponse:
    """Remove a replica from the space for good; answer when that is durable."""
    query_of(request, frozenset())
    answer_form(request)
    await refuse_body(request)
    name = replica_name_of(request)
    async with bounded_wait():
        await service_of(request).replica.replicas.remove(name)
    return answer(request, {"name": name, "state": "removed"})
