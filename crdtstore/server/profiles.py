"""Handlers of profiles: read, write, erase, revive, explain."""

from typing import Any

from aiohttp import hdrs, web

from crdtstore.errors import CrdtstoreError, ProfileErased, ProfileNotFound, VersionMismatch
from crdtstore.model.candidates import Candidate
from crdtstore.model.profile import Profile
from crdtstore.replica.replica import Replica
from crdtstore.server.bodies import answer, checked_map, read_document, refuse_body
from crdtstore.server.forms import Form
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import (
    ANY_VERSION,
    etag_of,
    expected_versions,
    field_of,
    is_unchanged,
    profile_id_of,
    query_of,
    unwanted_versions,
)
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait, result_document, write_of

_PATCH_KEYS = frozenset({"source", "fields"})


async def get_profile(request: web.Request) -> web.StreamResponse:
    """Answer the golden record, or 304 if the caller has it already."""
    query_of(request, frozenset())
    profile = service_of(request).replica.read(profile_id_of(request))
    headers: dict[str, str] = {hdrs.ETAG: etag_of(profile.version)}
    if is_unchanged(request, profile.version):
        answer_form(request)
        return web.Response(status=304, headers={**headers, hdrs.VARY: hdrs.ACCEPT})
    return answer(request, profile_document(profile, answer_form(request)), headers=headers)


async def patch_profile(request: web.Request) -> web.StreamResponse:
    """Apply what one source says about one profile."""
    query_of(request, frozenset())
    answer_form(request)
    profile_id = profile_id_of(request)
    replica = service_of(request).replica
    async with read_document(request) as (document, form):
        body = checked_map(document, "the body", _PATCH_KEYS, frozenset())
        if_version = expected_version(request, replica, profile_id)
        write = write_of({"id": profile_id, "if_version": if_version, **body}, form)
        async with bounded_wait():
            (result,) = await replica.write_many([write])
    if isinstance(result, CrdtstoreError):
        raise result
    return answer(request, result_document(result), headers={hdrs.ETAG: etag_of(result.version)})


async def delete_profile(request: web.Request) -> web.StreamResponse:
    """Erase a profile."""
    query_of(request, frozenset())
    answer_form(request)
    await refuse_body(request)
    profile_id = profile_id_of(request)
    replica = service_of(request).replica
    if_version = expected_version(request, replica, profile_id)
    async with bounded_wait():
        version = await replica.erase(profile_id, if_version=if_version)
    return answer(request, {"id": profile_id, "version": version})


async def revive_profile(request: web.Request) -> web.StreamResponse:
    """Let an erased profile take writes again."""
    query_of(request, frozenset())
    answer_form(request)
    await refuse_body(request)
    profile_id = profile_id_of(request, segments_after=1)
    replica = service_of(request).replica
    if_version = expected_version(request, replica, profile_id)
    async with bounded_wait():
        version = await replica.revive(profile_id, if_version=if_version)
    return answer(
        request, {"id": profile_id, "version": version}, headers={hdrs.ETAG: etag_of(version)}
    )


async def explain_profile(request: web.Request) -> web.StreamResponse:
    """Answer every candidate of every field, and the rule that chose."""
    query = query_of(request, frozenset({"field"}))
    profile_id = profile_id_of(request, segments_after=1)
    replica = service_of(request).replica
    candidates = replica.explain(profile_id, field_of(query))
    form = answer_form(request)
    return answer(
        request,
        {
            "id": profile_id,
            "version": replica.read(profile_id).version,
            "candidates": [candidate_document(candidate, form) for candidate in candidates],
        },
    )


def profile_document(profile: Profile, form: Form) -> dict[str, Any]:
    """Return a golden record as the API answers it; conflicts are told where there are any."""
    document: dict[str, Any] = {
        "id": profile.id,
        "version": profile.version,
        "fields": {field: form.value_out(value) for field, value in profile.items()},
    }
    if profile.conflicts:
        document["conflicts"] = [
            {
                "field": conflict.field,
                "kinds": list(conflict.kinds),
                "declared": conflict.declared,
            }
            for conflict in profile.conflicts
        ]
    return document


def candidate_document(candidate: Candidate, form: Form) -> dict[str, Any]:
    """Return one candidate as the API answers it."""
    return {
        "field": candidate.field,
        "kind": candidate.kind,
        "source": candidate.source,
        "value": form.value_out(candidate.value),
        "survives": candidate.survives,
        "rule": candidate.rule,
        "at": candidate.at.isoformat(),
        "timestamp": candidate.timestamp,
        "origin": f"{candidate.origin:016x}",
        "replica": candidate.replica,
    }


def expected_version(request: web.Request, replica: Replica, profile_id: str) -> str | None:
    """Return the version that If-Match asks for, None for none; raises VersionMismatch.

    ``*`` asks that the profile exists, and If-None-Match: * that it does not. Of several versions
    the present one is taken, if it is among them; an erased profile counts as absent.
    """
    versions = expected_versions(request)
    unwanted = unwanted_versions(request)
    if unwanted is None and (versions is None or (len(versions) == 1 and versions[0] != "*")):
        return versions[0] if versions else None
    try:
        present = replica.read(profile_id).version
    except (ProfileNotFound, ProfileErased):
        present = None
    if unwanted is not None and present is not None and {present, ANY_VERSION} & set(unwanted):
        raise VersionMismatch(profile_id, "any other version", present)
    if versions is None or (versions == (ANY_VERSION,) and present is not None):
        return None
    if present is None or present not in versions:
        raise VersionMismatch(profile_id, ", ".join(versions), present)
    return present
