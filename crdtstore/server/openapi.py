"""The OpenAPI 3.1 document of the HTTP API, as one Python value."""

from typing import Any, Final

from aiohttp import web

from crdtstore import limits
from crdtstore.server.bodies import answer
from crdtstore.server.coediting_operations import coediting_paths
from crdtstore.server.conflict_operations import conflict_paths
from crdtstore.server.describing import (
    ETAG,
    ID,
    IF_MATCH,
    IF_NONE_MATCH,
    NAME,
    READ_PROBLEMS,
    UNLESS_MATCH,
    WRITE_PROBLEMS,
    answered,
    body_of,
    limit,
    operation,
    query,
)
from crdtstore.server.erasure_operations import ERASURE_COMPONENTS, erasure_paths
from crdtstore.server.negotiation import EVENT_STREAM, JSON_LINES, OCTETS
from crdtstore.server.parameters import query_of
from crdtstore.server.person_operations import person_paths
from crdtstore.server.query_operations import query_paths
from crdtstore.server.schemas import COMPONENTS, CURSOR, Schema, ref
from crdtstore.server.text_operations import text_paths
from crdtstore.server.text_schemas import TEXT_COMPONENTS, TRAIT_COMPONENTS

_PATCH_EXAMPLE: Final[Schema] = {
    "source": "salesforce",
    "fields": {
        "email": "ann@example.com",
        "tags": {"add": ["vip"], "remove": ["lead"]},
        "logins": {"increment": 1},
        "orders": {"fold_in": {"fold": "count", "payload": 1}},
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
            "schemas": {**COMPONENTS, **ERASURE_COMPONENTS, **TRAIT_COMPONENTS, **TEXT_COMPONENTS},
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
        **query_paths(),
        profile: {
            "parameters": [ID],
            "get": _get_profile(),
            "patch": _patch_profile(),
            "delete": _epoch_operation("erase", "Erase a profile."),
        },
        f"{profile}/explain": {"parameters": [ID], "get": _explain()},
        f"{profile}/revive": {
            "parameters": [ID],
            "post": _epoch_operation("revive", "Let an erased profile take writes again."),
        },
        **text_paths(),
        **person_paths(),
        **erasure_paths(),
        **coediting_paths(),
        **conflict_paths(),
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
        "/v1/replicas/{name}": {"parameters": [NAME], "delete": _remove_replica()},
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


def _get_profile() -> Schema:
    return operation(
        "get_profile",
        "The golden record of a profile.",
        {
            "200": answered("The profile.", ref("Profile"), headers=ETAG),
            "304": {"description": "It is still at the version of If-None-Match."},
        },
        (*READ_PROBLEMS, 404, 410),
        parameters=(IF_NONE_MATCH,),
    )


def _patch_profile() -> Schema:
    return operation(
        "patch_profile",
        "Write what one source says about a profile; it is made if it is not known.",
        {"200": answered("It is durable.", ref("WriteResult"), headers=ETAG)},
        (*WRITE_PROBLEMS, 409, 410, 412),
        parameters=(IF_MATCH, UNLESS_MATCH),
        body=body_of("ProfilePatch", _PATCH_EXAMPLE),
    )


def _epoch_operation(name: str, summary: str) -> Schema:
    return operation(
        f"{name}_profile",
        summary,
        {"200": answered("It is durable.", ref("EpochResult"))},
        (*READ_PROBLEMS, 409, 412, 507),
        parameters=(IF_MATCH, UNLESS_MATCH),
    )


def _explain() -> Schema:
    field = {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX}
    return operation(
        "explain_profile",
        "Every candidate of every field, and the rule that chose.",
        {"200": answered("The candidates, survivors first.", ref("Explanation"))},
        (*READ_PROBLEMS, 404, 410),
        parameters=(query("field", field, "Only this field."),),
    )


def _post_writes() -> Schema:
    return operation(
        "post_writes",
        "Many writes at one time: one result or error per item, in order.",
        {"200": answered("What became of each.", ref("BatchResult"))},
        WRITE_PROBLEMS,
        body=body_of("Batch", _BATCH_EXAMPLE),
    )


def _post_repair() -> Schema:
    return operation(
        "post_repair",
        "Compare all documents with a linked peer's, and heal those that differ, on both sides.",
        {"200": answered("It has ended; is_healed says how.", ref("RepairReport"))},
        (*(status for status in WRITE_PROBLEMS if status != 507), 404, 409),
        body=body_of("RepairRequest", {"peer": "us"}),
    )


def _remove_replica() -> Schema:
    return operation(
        "remove_replica",
        "Remove a replica from the space for good; what it wrote stays.",
        {"200": answered("It is durable.", ref("RemovedReplica"))},
        (*READ_PROBLEMS, 404, 507),
    )


def _changes() -> Schema:
    text = (
        "JSON lines, one Change each; the next page begins after the last cursor, and an empty "
        "page is the end. With follow=true the answer goes on, with an empty line when nothing "
        "happens. As text/event-stream it always goes on: id is the cursor, data the Change."
    )
    return operation(
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
        (*READ_PROBLEMS, 410),
        parameters=(
            query("since", CURSOR, 'A cursor; empty for the start, "end" for later changes only.'),
            limit(limits.PAGE_CHANGES_DEFAULT, limits.PAGE_CHANGES_MAX),
            query("follow", {"type": "boolean", "default": False}, "Go on with later changes."),
            query("persons", {"type": "boolean", "default": False}, "Name the persons touched."),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": CURSOR,
                "description": "Goes before since: how an event source resumes.",
            },
        ),
    )


def _read(name: str, summary: str, schema: str) -> Schema:
    return operation(name, summary, {"200": answered(summary, ref(schema))}, READ_PROBLEMS)


def _open(name: str, summary: str, schema: str | None, problems: tuple[int, ...]) -> Schema:
    content: Any = ref(schema) if schema else {"type": "object"}
    opened = operation(name, summary, {"200": answered(summary, content)}, problems)
    opened["security"] = []
    return opened


def _metrics() -> Schema:
    text = "Metrics in the Prometheus text format."
    content = {"text/plain": {"schema": {"type": "string"}}}
    responses = {"200": {"description": text, "content": content}}
    return operation("metrics", text, responses, (401, 403, 422, 501, 503))


def _backup() -> Schema:
    text = (
        "A backup of what is durable at one moment, in the form of `crdtstore backup`; its last "
        "line has the checksum. It is copied beside the data first, for which the disk needs room."
    )
    content = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
    return operation(
        "backup",
        "A backup of the whole replica.",
        {"200": {"description": text, "content": content}},
        (401, 403, 406, 422, 503, 507),
    )


def _stream() -> Schema:
    return operation(
        "stream",
        "A websocket on which a client sends numbered writes; docs/client.md describes it.",
        {"101": {"description": "The write stream begins."}},
        (401, 403, 422, 426, 503),
    )


def _link() -> Schema:
    opened = operation(
        "link",
        "A websocket that links another replica; docs/protocol.md describes it.",
        {"101": {"description": "The link begins."}},
        (401, 403, 426, 503),
    )
    opened["security"] = [{"link_secret": []}, {}]
    return opened
