"""Handlers of conflicts: what lost against a write that had not seen it, and choosing."""

from typing import Any, Final

from aiohttp import web

from crdtstore import limits
from crdtstore.engine.conflicts import Conflict, WriteStamp
from crdtstore.errors import InvalidInput
from crdtstore.names import check_profile_id
from crdtstore.server.bodies import answer, checked_map, read_document, type_name
from crdtstore.server.forms import Form
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import conflict_id_of, limit_of, query_of
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait

_PARAMETERS: Final = frozenset({"profile", "state", "after", "limit"})


async def list_conflicts(request: web.Request) -> web.StreamResponse:
    """Answer a page of conflicts, the oldest first."""
    query = query_of(request, _PARAMETERS)
    limit = limit_of(query, limits.PAGE_CONFLICTS_DEFAULT, limits.PAGE_CONFLICTS_MAX)
    profile_id = query.get("profile")
    if profile_id is not None:
        check_profile_id(profile_id)
    conflicts = service_of(request).replica.conflicts.present(
        profile_id, state=query.get("state", "open"), after=query.get("after", ""), limit=limit
    )
    form = answer_form(request)
    documents: list[dict[str, Any]] = []
    size = 0
    for conflict in conflicts:
        documents.append(conflict_document(conflict, form))
        size += len(form.encode(documents[-1]))
        if size >= limits.PAGE_BYTES_MAX:
            break
    is_last = len(documents) == len(conflicts) < limit
    after = None if is_last or not documents else conflicts[len(documents) - 1].cursor
    return answer(request, {"conflicts": documents, "next": after})


async def get_conflict(request: web.Request) -> web.StreamResponse:
    """Answer one conflict."""
    query_of(request, frozenset())
    conflict = service_of(request).replica.conflicts.get(conflict_id_of(request))
    return answer(request, conflict_document(conflict, answer_form(request)))


async def choose_value(request: web.Request) -> web.StreamResponse:
    """Write the value that lost, or the present one, anew, and so settle the conflict."""
    query_of(request, frozenset())
    conflict_id = conflict_id_of(request, segments_after=1)
    form = answer_form(request)
    async with read_document(request) as (document, _):
        body = checked_map(document, "the body", frozenset({"choice"}), frozenset())
        choice = body["choice"]
        if type(choice) is not str:
            raise InvalidInput(f"choice is text, not a {type_name(choice)}")
        async with bounded_wait():
            conflict = await service_of(request).replica.conflicts.choose(conflict_id, choice)
    return answer(request, conflict_document(conflict, form))


def conflict_document(conflict: Conflict, form: Form) -> dict[str, Any]:
    """Return one conflict as the API answers it."""
    settled = conflict.settled
    return {
        "id": conflict.id,
        "profile": conflict.profile_id,
        "field": conflict.field,
        "source": conflict.source,
        "lost": {"value": form.value_out(conflict.lost), **_stamp_document(conflict.lost_write)},
        "kept": {"value": form.value_out(conflict.kept), **_stamp_document(conflict.kept_write)},
        "settled": None if settled is None else _stamp_document(settled),
    }


def _stamp_document(write: WriteStamp) -> dict[str, Any]:
    return {
        "at": write.at.isoformat(),
        "timestamp": write.timestamp,
        "origin": f"{write.origin:016x}",
        "replica": write.replica,
    }
