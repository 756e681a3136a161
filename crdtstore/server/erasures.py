"""Handlers of erasures and of the subject's access: erase, show receipts, lift, export."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.engine.erasures import ErasureReport
from crdtstore.engine.persons import STEWARD
from crdtstore.errors import InvalidInput
from crdtstore.names import check_profile_id
from crdtstore.person_errors import PersonAmbiguous
from crdtstore.replica.replica import Replica
from crdtstore.server.bodies import answer, checked_map, read_document, refuse_body, type_name
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import flag_of, limit_of, query_of, segment_of
from crdtstore.server.persons import explained
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait

_NAMED: Final = frozenset({"identifier", "profile"})
_PAGE_ERASURES: Final = 100


async def erase_person(request: web.Request) -> web.StreamResponse:
    """Erase the person of an identifier or of a profile; answer when that is durable here."""
    query = query_of(request, _NAMED | {"source", "alone"})
    answer_form(request)
    await refuse_body(request)
    persons, source = service_of(request).replica.persons, query.get("source", STEWARD)
    async with bounded_wait():
        if profile_id := _profile_in(query):
            alone = flag_of(query, "alone")
            erasure = await persons.erase(profile_id, alone=alone, source=source)
        else:
            erasure = await persons.erase_identifier(*_identifier_in(query), source=source)
    headers: dict[str, str] = {hdrs.LOCATION: f"/v1/erasures/{erasure.id}"}
    return answer(request, erasure_document(erasure), headers=headers)


async def export_person(request: web.Request) -> web.StreamResponse:
    """Answer everything that is held on a person."""
    query = query_of(request, _NAMED)
    replica = service_of(request).replica
    return answer(request, replica.persons.export(_person_in(replica, query)))


async def explain_found(request: web.Request) -> web.StreamResponse:
    """Answer every candidate of the person that an identifier leads to."""
    query = query_of(request, _NAMED | {"field"})
    replica = service_of(request).replica
    return explained(request, _person_in(replica, query), query)


async def list_erasures(request: web.Request) -> web.StreamResponse:
    """Answer a page of erasures, in the order of their ids."""
    query = query_of(request, frozenset({"after", "limit"}))
    wanted = limit_of(query, _PAGE_ERASURES, limits.PAGE_PROFILES_MAX)
    erasures = service_of(request).replica.erasures
    page = erasures.present(after=query.get("after", ""), limit=wanted)
    after = page[-1].id if len(page) == wanted else None
    documents = [erasure_document(erasure) for erasure in page]
    return answer(request, {"erasures": documents, "next": after})


async def get_erasure(request: web.Request) -> web.StreamResponse:
    """Answer an erasure, and which replicas have confirmed it."""
    query_of(request, frozenset())
    erasure_id = segment_of(request, -1)
    return answer(request, erasure_document(service_of(request).replica.erasures.read(erasure_id)))


async def lift_erasure(request: web.Request) -> web.StreamResponse:
    """Let the identifiers of an erasure be written again."""
    query_of(request, frozenset())
    answer_form(request)
    erasure_id = segment_of(request, -2)
    async with read_document(request) as (document, _):
        body = checked_map(document, "the body", frozenset(), frozenset({"source"}))
        source = body.get("source", STEWARD)
        if type(source) is not str:
            raise InvalidInput(f"source is text, not a {type_name(source)}")
        async with bounded_wait():
            erasure = await service_of(request).replica.erasures.lift(erasure_id, source=source)
    return answer(request, erasure_document(erasure))


def erasure_document(erasure: ErasureReport) -> dict[str, Any]:
    """Return an erasure as the API answers it."""
    return {
        **asdict(erasure),
        "at": erasure.at.isoformat(),
        "profiles": list(erasure.profiles),
        "complete": erasure.is_complete,
        "replicas": [
            {
                "name": receipt.replica,
                "state": receipt.state,
                "at": None if receipt.at is None else receipt.at.isoformat(),
            }
            for receipt in erasure.replicas
        ],
    }


def _identifier_in(query: Mapping[str, str]) -> tuple[str, str]:
    kind, separator, value = query.get("identifier", "").partition(":")
    if not separator:
        raise InvalidInput("identifier is a type and a value, as in email:ann@example.com")
    return kind, value


def _profile_in(query: Mapping[str, str]) -> str:
    """Return the profile that the query names, "" if it names an identifier instead."""
    if ("profile" in query) == ("identifier" in query):
        raise InvalidInput("a person is named by identifier or by profile, one of them")
    if "profile" in query:
        check_profile_id(query["profile"])
    return query.get("profile", "")


def _person_in(replica: Replica, query: Mapping[str, str]) -> str:
    """Return a profile of the one person that the query names; raises PersonAmbiguous."""
    if profile_id := _profile_in(query):
        return profile_id
    kind, value = _identifier_in(query)
    persons = replica.persons.find(kind, value)
    if len(persons) > 1:
        raise PersonAmbiguous(kind, tuple(person.id for person in persons))
    return persons[0].id
