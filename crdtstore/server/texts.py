"""Handlers of collaborative fields: a text or a list as it is, and who wrote to it.

Edits are operations of a PATCH to the profile, like all writes.
"""

from aiohttp import web

from crdtstore.engine.text_fields import TextEdit
from crdtstore.server.bodies import answer
from crdtstore.server.negotiation import answer_form
from crdtstore.server.parameters import profile_id_of, query_of, text_field_of
from crdtstore.server.service import service_of


async def get_text(request: web.Request) -> web.StreamResponse:
    """Answer the value of a collaborative field, and of a text its rich-text delta too."""
    query_of(request, frozenset())
    profile_id, field = profile_id_of(request, segments_after=2), text_field_of(request)
    replica = service_of(request).replica
    form = answer_form(request)
    kind = replica.texts.kind(profile_id, field)
    document = {
        "id": profile_id,
        "version": replica.read(profile_id).version,
        "field": field,
        "kind": kind,
        "value": form.value_out(replica.texts.read(profile_id, field)),
    }
    if kind == "text":
        document["delta"] = replica.texts.delta(profile_id, field)
    return answer(request, document)


async def get_history(request: web.Request) -> web.StreamResponse:
    """Answer the newest edits of a collaborative field, newest first."""
    query_of(request, frozenset())
    profile_id = profile_id_of(request, segments_after=3)
    field = text_field_of(request, segments_after=1)
    answer_form(request)
    edits = service_of(request).replica.texts.history(profile_id, field)
    return answer(
        request,
        {"id": profile_id, "field": field, "edits": [edit_document(edit) for edit in edits]},
    )


def edit_document(edit: TextEdit) -> dict[str, object]:
    """Return one edit of the history as the API answers it."""
    return {
        "at": edit.at.isoformat(),
        "timestamp": edit.timestamp,
        "source": edit.source,
        "replica": edit.replica,
        "origin": f"{edit.origin:016x}",
        "inserted": edit.inserted,
        "deleted": edit.deleted,
    }
