"""The OpenAPI 3.1 document of the HTTP API, as one Python value."""

from typing import Any, Final

from aiohttp import web

from crdtstore import limits
from crdtstore.server.bodies import answer
from crdtstore.server.negotiation import EVENT_STREAM, JSON_LINES, OCTETS
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import PROBLEM_MEDIA_TYPE
from crdtstore.server.schemas import COMPONENTS, CURSOR, PROFILE_ID, REPLICA_NAME, Schema, ref

_BODY_FORMS: Final = ("application/json", "application/msgpack")

_PROBLEM_TEXTS: Final[dict[int, str]] = {
    400: "The request cannot be understood: body, path or header is malformed.",
    401: "The token is missing or wrong.",
    403: "No token is configured, and the caller is not on this machine or is a foreign web page.",
    404: "The profile, peer or replica is not known here.",
    406: "None of the media types asked for is on offer.",
    408: "The body did not arrive in time.",
    409: "The operation does not fit the field's kind, a repair runs, or we were removed.",
    410: "The profile was erased, or the cursor has expired.",
    412: "The profile is not at the version that If-Match names.",
    413: "The body or the batch is too large.",
    415: "The body is in no media type that is understood.",
    422: "The input is wrong; nothing was changed.",
    426: "This endpoint is a websocket.",
    501: "prometheus-client is not installed.",
    503: "The replica cannot answer now; the problem says why.",
    507: "The disk is full; nothing of the write was kept.",
}

_READ_PROBLEMS: Final = (400, 401, 403, 406, 422, 503)
_WRITE_PROBLEMS: Final = (400, 401, 403, 406, 408, 413, 415, 422, 503, 507)

_ID: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": PROFILE_ID,
    "description": "The profile id, percent-encoded as UTF-8; slashes too (%2F).",
}
_NAME: Final[Schema] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": REPLICA_NAME,
    "description": "The replica's name, percent-encoded as UTF-8.",
}
_IF_MATCH: Final[Schema] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]{1,100}")$'},
    "description": "Do it only at this version (an ETag); * asks that the profile exists.",
    "example": '"0-4f1d2c3b4a596877"',
}
_IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]{1,100}")$'},
    "description": "Answer 304 if the profile is still at this version.",
}
_UNLESS_MATCH: Final[Schema] = {
    **_IF_NONE_MATCH,
    "description": "Do it unless the profile is at this version; * asks that it does not exist.",
}
_ETAG: Final[Schema] = {
    "ETag": {"schema": {"type": "string"}, "description": "The version in double quotes."}
}

_PATCH_EXAMPLE: Final[Schema] = {
    "source": "salesforce",
    "fields": {
        "email": "ann@example.com",
        "tags": {"add": ["vip"], "remove": ["lead"]},
        "logins": {"increment": 1},
        "marketing": {"grant": True},
        "phone": None,
    },
}
_BATCH_EXAMPLE: Final[Schema] = {
    "writes": [
        {"id": "ann", "source": "salesforce", "fields": {"email": "ann@example.com"}},
        {"id": "bob", "source": "cdp", "fields": {"tags": {"add": ["vip"]}}},
    ]
}


def document() -> Schema:
    """Return the whole OpenAPI document. Paths are relative to where the document is served."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crdtstore",
            "version": "1",
            "summary": "A replicated store of customer profiles.",
            "description": (
                "Every answer to a write is given after the write is durable. Errors are "
                "application/problem+json (RFC 9457) with a type of urn:crdtstore:error:<code>."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "./"}],
        "security": [{"token": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The API token, if one is configured.",
                },
                "link_secret": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The link secret, if one is configured.",
                },
            },
        },
    }


async def get_openapi(request: web.Request) -> web.StreamResponse:
    """Answer the OpenAPI document."""
    query_of(request, frozenset())
    return answer(request, document())


def _paths() -> Schema:
    profile = "/v1/profiles/{id}"
    return {
        "/v1/profiles": {"get": _list_profiles()},
        profile: {
            "parameters": [_ID],
            "get": _get_profile(),
            "patch": _patch_profile(),
            "delete": _epoch_operation("erase", "Erase a profile."),
        },
        f"{profile}/explain": {"parameters": [_ID], "get": _explain()},
        f"{profile}/revive": {
            "parameters": [_ID],
            "post": _epoch_operation("revive", "Let an erased profile take writes again."),
        },
        "/v1/writes": {"post": _post_writes()},
        "/v1/stream": {"get": _stream()},
        "/v1/changes": {"get": _changes()},
        "/v1/digest": {
            "get": _read("digest", "The digest, equal on converged replicas.", "Digest")
        },
        "/v1/peers": {"get": _read("peers", "The state of every link.", "Peers")},
        "/v1/status": {"get": _read("status", "What the replica holds and does.", "Status")},
        "/v1/verify": {"get": _read("verify", "Check every record at rest.", "VerifyReport")},
        "/v1/repair": {"post": _post_repair()},
        "/v1/replicas": {"get": _read("replicas", "The other replicas of the space.", "Replicas")},
        "/v1/replicas/{name}": {"parameters": [_NAME], "delete": _remove_replica()},
        "/v1/backup": {"get": _backup()},
        "/v1/link": {"get": _link()},
        "/healthz": {"get": _open("health", "Whether the process lives.", "Health", (406, 422))},
        "/readyz": {
            "get": _open(
                "ready", "Whether the replica can be given work.", "Health", (406, 422, 503)
            )
        },
        "/metrics": {"get": _metrics()},
        "/openapi.json": {
            "get": _open("openapi", "This document.", None, (406, 422)),
        },
    }


def _operation(
    name: str,
    summary: str,
    responses: Schema,
    problems: tuple[int, ...],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Schema:
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {
            **responses,
            **{str(status): _problem(_PROBLEM_TEXTS[status]) for status in sorted(problems)},
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _problem(text: str) -> Schema:
    return {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": ref("Problem")}}}


def _answer(text: str, schema: Schema, *, headers: Schema | None = None) -> Schema:
    response: Schema = {
        "description": text,
        "content": {media_type: {"schema": schema} for media_type in _BODY_FORMS},
    }
    if headers:
        response["headers"] = headers
    return response


def _body(schema: str, example: Schema) -> Schema:
    return {
        "required": True,
        "description": f"At most {limits.BODY_BYTES_MAX:,} bytes.",
        "content": {
            media_type: {"schema": ref(schema), "examples": {"example": {"value": example}}}
            for media_type in _BODY_FORMS
        },
    }


def _query(name: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _limit(default: int, maximum: int) -> Schema:
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return _query("limit", schema, "How many at the most.")


def _list_profiles() -> Schema:
    after = {"type": "string", "maxLength": limits.PROFILE_ID_BYTES_MAX}
    return _operation(
        "list_profiles",
        "A page of living profiles, in id order.",
        {"200": _answer("A page.", ref("ProfilePage"))},
        _READ_PROBLEMS,
        parameters=(
            _query("after", after, "Only ids above this one; the next of the page before."),
            _limit(limits.PAGE_PROFILES_DEFAULT, limits.PAGE_PROFILES_MAX),
        ),
    )


def _get_profile() -> Schema:
    return _operation(
        "get_profile",
        "The golden record of a profile.",
        {
            "200": _answer("The profile.", ref("Profile"), headers=_ETAG),
            "304": {"description": "It is still at the version of If-None-Match."},
        },
        (*_READ_PROBLEMS, 404, 410),
        parameters=(_IF_NONE_MATCH,),
    )


def _patch_profile() -> Schema:
    return _operation(
        "patch_profile",
        "Write what one source says about a profile; it is made if it is not known.",
        {"200": _answer("It is durable.", ref("WriteResult"), headers=_ETAG)},
        (*_WRITE_PROBLEMS, 409, 410, 412),
        parameters=(_IF_MATCH, _UNLESS_MATCH),
        body=_body("ProfilePatch", _PATCH_EXAMPLE),
    )


def _epoch_operation(name: str, summary: str) -> Schema:
    return _operation(
        f"{name}_profile",
        summary,
        {"200": _answer("It is durable.", ref("EpochResult"))},
        (*_READ_PROBLEMS, 409, 412, 507),
        parameters=(_IF_MATCH, _UNLESS_MATCH),
    )


def _explain() -> Schema:
    field = {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX}
    return _operation(
        "explain_profile",
        "Every candidate of every field, and the rule that chose.",
        {"200": _answer("The candidates, survivors first.", ref("Explanation"))},
        (*_READ_PROBLEMS, 404, 410),
        parameters=(_query("field", field, "Only this field."),),
    )


def _post_writes() -> Schema:
    return _operation(
        "post_writes",
        "Many writes at one time: one result or error per item, in order.",
        {"200": _answer("What became of each.", ref("BatchResult"))},
        _WRITE_PROBLEMS,
        body=_body("Batch", _BATCH_EXAMPLE),
    )


def _post_repair() -> Schema:
    return _operation(
        "post_repair",
        "Compare all documents with a linked peer's, and heal those that differ, on both sides.",
        {"200": _answer("It has ended; is_healed says how.", ref("RepairReport"))},
        (*(status for status in _WRITE_PROBLEMS if status != 507), 404, 409),
        body=_body("RepairRequest", {"peer": "us"}),
    )


def _remove_replica() -> Schema:
    return _operation(
        "remove_replica",
        "Remove a replica from the space for good; what it wrote stays.",
        {"200": _answer("It is durable.", ref("RemovedReplica"))},
        (*_READ_PROBLEMS, 404, 507),
    )


def _changes() -> Schema:
    text = (
        "JSON lines, one Change each; the next page begins after the last cursor, and an empty "
        "page is the end. With follow=true the answer goes on, with an empty line when nothing "
        "happens. As text/event-stream it always goes on: id is the cursor, data the Change."
    )
    return _operation(
        "changes",
        "The change feed, in local commit order, from a cursor.",
        {
            "200": {
                "description": text,
                "content": {
                    JSON_LINES: {"schema": {"type": "string"}},
                    EVENT_STREAM: {"schema": {"type": "string"}},
                },
            }
        },
        (*_READ_PROBLEMS, 410),
        parameters=(
            _query("since", CURSOR, 'A cursor; empty for the start, "end" for later changes only.'),
            _limit(limits.PAGE_CHANGES_DEFAULT, limits.PAGE_CHANGES_MAX),
            _query("follow", {"type": "boolean", "default": False}, "Go on with later changes."),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": CURSOR,
                "description": "Goes before since: how an event source resumes.",
            },
        ),
    )


def _read(name: str, summary: str, schema: str) -> Schema:
    return _operation(name, summary, {"200": _answer(summary, ref(schema))}, _READ_PROBLEMS)


def _open(name: str, summary: str, schema: str | None, problems: tuple[int, ...]) -> Schema:
    content: Any = ref(schema) if schema else {"type": "object"}
    operation = _operation(name, summary, {"200": _answer(summary, content)}, problems)
    operation["security"] = []
    return operation


def _metrics() -> Schema:
    text = "Metrics in the Prometheus text format."
    content = {"text/plain": {"schema": {"type": "string"}}}
    responses = {"200": {"description": text, "content": content}}
    return _operation("metrics", text, responses, (401, 403, 422, 501, 503))


def _backup() -> Schema:
    text = (
        "A backup of what is durable at one moment, in the form of `crdtstore backup`; its last "
        "line has the checksum. It is copied beside the data first, for which the disk needs room."
    )
    content = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
    return _operation(
        "backup",
        "A backup of the whole replica.",
        {"200": {"description": text, "content": content}},
        (401, 403, 406, 422, 503, 507),
    )


def _stream() -> Schema:
    text = "A websocket on which a client sends numbered writes; docs/client.md describes it."
    begun = {"101": {"description": "The write stream begins."}}
    return _operation("stream", text, begun, (401, 403, 422, 426, 503))


def _link() -> Schema:
    text = "A websocket that links another replica; docs/protocol.md describes it."
    begun = {"101": {"description": "The link begins."}}
    operation = _operation("link", text, begun, (401, 403, 426, 503))
    operation["security"] = [{"link_secret": []}, {}]
    return operation
