"""Handlers of persons: find, read, explain, and the decisions of stewards."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore.engine.persons import STEWARD, Person
from crdtstore.errors import InvalidInput
from crdtstore.server.bodies import answer, checked_map, read_document, type_name
from crdtstore.server.forms import Form
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import (
    etag_of,
    field_of,
    is_unchanged,
    profile_id_of,
    query_of,
)
from crdtstore.server.profiles import candidate_document, profile_document
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait

_SOURCE: Final = frozenset({"source"})


async def find_person(request: web.Request) -> web.StreamResponse:
    """Answer the person that an identifier leads to, and the ids of others that hold it."""
    query = query_of(request, frozenset({"identifier"}))
    kind, separator, value = query.get("identifier", "").partition(":")
    if not separator:
        raise InvalidInput("identifier is a type and a value, as in email:ann@example.com")
    person, *others = service_of(request).replica.persons.find(kind, value)
    document = person_document(person, answer_form(request))
    return answer(
        request,
        {**document, "others": [other.id for other in others]},
        headers={hdrs.ETAG: etag_of(person.version)},
    )


async def get_person(request: web.Request) -> web.StreamResponse:
    """Answer the person of a profile, or 304 if the caller has it already."""
    query_of(request, frozenset())
    person = service_of(request).replica.persons.read(profile_id_of(request))
    headers: dict[str, str] = {hdrs.ETAG: etag_of(person.version)}
    if is_unchanged(request, person.version):
        answer_form(request)
        return web.Response(status=304, headers={**headers, hdrs.VARY: hdrs.ACCEPT})
    return answer(request, person_document(person, answer_form(request)), headers=headers)


async def explain_person(request: web.Request) -> web.StreamResponse:
    """Answer every candidate of every field, its profile, and the rule that chose."""
    query = query_of(request, frozenset({"field"}))
    return explained(request, profile_id_of(request, segments_after=1), query)


def explained(
    request: web.Request, profile_id: str, query: Mapping[str, str]
) -> web.StreamResponse:
    """Answer every candidate of the person of a profile, or those of one field."""
    persons = service_of(request).replica.persons
    candidates = persons.explain(profile_id, field_of(query))
    person = persons.read(profile_id)
    form = answer_form(request)
    return answer(
        request,
        {
            "id": person.id,
            "version": person.version,
            "candidates": [
                {**candidate_document(candidate, form), "profile": candidate.profile_id}
                for candidate in candidates
            ],
        },
    )


async def merge_persons(request: web.Request) -> web.StreamResponse:
    """Say that two profiles are of one person."""

    async def decide(body: Mapping[str, Any], source: str, _: Form) -> Person:
        one, other = _profiles_of(body, 2, 2)
        return await service_of(request).replica.persons.merge(one, other, source=source)

    return await _decided(request, frozenset({"profiles"}), decide)


async def unmerge_persons(request: web.Request) -> web.StreamResponse:
    """Part two profiles, or one from all others of its person."""

    async def decide(body: Mapping[str, Any], source: str, _: Form) -> Person:
        one, *other = _profiles_of(body, 1, 2)
        return await service_of(request).replica.persons.unmerge(one, *other, source=source)

    return await _decided(request, frozenset({"profiles"}), decide)


async def forbid_match(request: web.Request) -> web.StreamResponse:
    """Say that two profiles are of two persons."""

    async def decide(body: Mapping[str, Any], source: str, _: Form) -> Person:
        one, other = _profiles_of(body, 2, 2)
        return await service_of(request).replica.persons.not_match(one, other, source=source)

    return await _decided(request, frozenset({"profiles"}), decide)


async def pin_value(request: web.Request) -> web.StreamResponse:
    """Have a value survive in a person's golden record; null ends that."""

    async def decide(body: Mapping[str, Any], source: str, form: Form) -> Person:
        value = body["value"]
        if isinstance(value, dict | list):
            value = form.value_in(value)
        profile_id, field = _text(body, "profile"), _text(body, "field")
        persons = service_of(request).replica.persons
        return await persons.pin(profile_id, field, value, source=source)

    return await _decided(request, frozenset({"profile", "field", "value"}), decide)


async def ignore_candidate(request: web.Request) -> web.StreamResponse:
    """Leave a candidate out, for as long as its source says the same."""

    async def decide(body: Mapping[str, Any], source: str, _: Form) -> Person:
        persons = service_of(request).replica.persons
        return await persons.ignore(*_candidate_of(body), source=source)

    return await _decided(request, frozenset({"profile", "field", "of"}), decide)


async def regard_candidate(request: web.Request) -> web.StreamResponse:
    """Let candidates that were ignored count again."""

    async def decide(body: Mapping[str, Any], source: str, _: Form) -> Person:
        persons = service_of(request).replica.persons
        return await persons.regard(*_candidate_of(body), source=source)

    return await _decided(request, frozenset({"profile", "field", "of"}), decide)


def person_document(person: Person, form: Form) -> dict[str, Any]:
    """Return a person as the API answers it."""
    return {
        **profile_document(person.record, form),
        "profiles": list(person.profiles),
        "dropped": [
            {
                "identifier": link.identifier,
                "profile": link.profile_id,
                "other": link.other_id,
                "reason": link.reason,
            }
            for link in person.dropped
        ],
    }


async def _decided(
    request: web.Request,
    required: frozenset[str],
    decide: Callable[[Mapping[str, Any], str, Form], Awaitable[Person]],
) -> web.StreamResponse:
    """Read a decision, have it made, and answer the person as it is then."""
    query_of(request, frozenset())
    form = answer_form(request)
    async with read_document(request) as (document, body_form):
        body = checked_map(document, "the body", required, _SOURCE)
        source = _text(body, "source") if "source" in body else STEWARD
        async with bounded_wait():
            person = await decide(body, source, body_form)
    return answer(
        request, person_document(person, form), headers={hdrs.ETAG: etag_of(person.version)}
    )


def _profiles_of(body: Mapping[str, Any], least: int, most: int) -> list[str]:
    profiles = body["profiles"]
    if type(profiles) is not list or not least <= len(profiles) <= most:
        number = "two" if least == most else "one or two"
        raise InvalidInput(f"profiles is a list of {number} profile ids")
    for profile_id in profiles:
        if type(profile_id) is not str:
            raise InvalidInput(f"a profile id is text, not a {type_name(profile_id)}")
    return profiles


def _candidate_of(body: Mapping[str, Any]) -> tuple[str, str, str]:
    return _text(body, "profile"), _text(body, "field"), _text(body, "of")


def _text(body: Mapping[str, Any], name: str) -> str:
    text = body[name]
    if type(text) is not str:
        raise InvalidInput(f"{name} is text, not a {type_name(text)}")
    return text
