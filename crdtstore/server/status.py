"""Handlers of state: digest, peers, status, verification, repair, health and readiness."""

from dataclasses import asdict

from aiohttp import web

from crdtstore.errors import InvalidInput
from crdtstore.server.bodies import answer, checked_map, read_document, type_name
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem
from crdtstore.server.service import service_of


async def get_digest(request: web.Request) -> web.StreamResponse:
    """Answer the digest, equal on converged replicas."""
    query_of(request, frozenset())
    return answer(request, asdict(await service_of(request).replica.digests.current()))


async def get_peers(request: web.Request) -> web.StreamResponse:
    """Answer the state of every link."""
    query_of(request, frozenset())
    status = service_of(request).replica.status()
    return answer(request, {"peers": [asdict(peer) for peer in status.peers]})


async def get_status(request: web.Request) -> web.StreamResponse:
    """Answer what the replica holds and does."""
    query_of(request, frozenset())
    return answer(request, asdict(service_of(request).replica.status()))


async def get_verify(request: web.Request) -> web.StreamResponse:
    """Check every record at rest, and answer what was found."""
    query_of(request, frozenset())
    return answer(request, asdict(await service_of(request).replica.verify()))


async def post_repair(request: web.Request) -> web.StreamResponse:
    """Compare all documents with a peer's, heal what differs, and answer what was done."""
    query_of(request, frozenset())
    answer_form(request)
    replica = service_of(request).replica
    async with read_document(request) as (document, _):
        body = checked_map(document, "the body", frozenset({"peer"}), frozenset({"quick"}))
        peer, quick = body["peer"], body.get("quick", False)
        if type(peer) is not str:
            raise InvalidInput(f"peer is text, not a {type_name(peer)}")
        if type(quick) is not bool:
            raise InvalidInput(f"quick is true or false, not a {type_name(quick)}")
    return answer(request, asdict(await replica.repair(peer, quick=quick)))


async def get_health(request: web.Request) -> web.StreamResponse:
    """Answer that the process lives."""
    query_of(request, frozenset())
    return answer(request, {"status": "alive"})


async def get_readiness(request: web.Request) -> web.StreamResponse:
    """Answer 200 if the replica can be given work, else 503 and why not."""
    query_of(request, frozenset())
    service = service_of(request)
    if service.closing.is_set():
        raise _not_ready("the server is shutting down")
    status = service.replica.status()
    if not status.ready:
        raise _not_ready(status.reason)
    return answer(request, {"status": "ready"})


def _not_ready(reason: str) -> Problem:
    return Problem(503, "not-ready", "Not ready yet", reason, headers={"Retry-After": "1"})
