"""Handlers of rich texts for clients without a CRDT: read at a revision, edit by a delta."""

from typing import Final

from aiohttp import web

from crdtstore.errors import InvalidInput
from crdtstore.server.bodies import answer, checked_map, read_document, type_name
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import profile_id_of, query_of, text_field_of
from crdtstore.server.service import service_of
from crdtstore.server.writes import bounded_wait

_EDIT_KEYS: Final = frozenset({"source", "revision", "delta"})
_MORE_KEYS: Final = frozenset({"id"})


async def get_delta(request: web.Request) -> web.StreamResponse:
    """Answer a text as the delta that makes it, and its revision."""
    query_of(request, frozenset())
    answer_form(request)
    profile_id = profile_id_of(request, segments_after=3)
    field = text_field_of(request, segments_after=1)
    async with bounded_wait():
        text = await service_of(request).replica.revisions.read(profile_id, field)
    return answer(request, {"revision": text.revision, "delta": text.delta})


async def post_delta(request: web.Request) -> web.StreamResponse:
    """Make a change of the text at a revision; answer the new one, and what changed meanwhile."""
    query_of(request, frozenset())
    answer_form(request)
    profile_id = profile_id_of(request, segments_after=3)
    field = text_field_of(request, segments_after=1)
    async with read_document(request) as (document, _):
        body = checked_map(document, "an edit", _EDIT_KEYS, _MORE_KEYS)
        for name in ("source", "revision", "id"):
            if type(value := body.get(name, "")) is not str:
                raise InvalidInput(f"the {name} of an edit is text, not a {type_name(value)}")
        async with bounded_wait():
            edit = await service_of(request).replica.revisions.edit(
                profile_id,
                field,
                body["delta"],
                revision=body["revision"],
                source=body["source"],
                edit_id=body.get("id", ""),
            )
    return answer(
        request,
        {"version": edit.version, "revision": edit.revision, "meanwhile": edit.meanwhile},
    )
