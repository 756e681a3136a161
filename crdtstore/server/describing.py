"""Describing operations: the pieces of which the OpenAPI document is made."""

from typing import Final

from crdtstore import limits
from crdtstore.server.problems import PROBLEM_MEDIA_TYPE
from crdtstore.server.schemas import PROFILE_ID, REPLICA_NAME, Schema, ref

BODY_FORMS: Final = ("application/json", "application/msgpack")

PROBLEM_TEXTS: Final[dict[int, str]] = {
    400: "The request cannot be understood: body, path or header is malformed.",
    401: "The token is missing or wrong.",
    403: "No token is configured, and the caller is not on this machine or is a foreign web page.",
    404: "The profile, person, conflict, peer or replica is not known here.",
    406: "None of the media types asked for is on offer.",
    408: "The body did not arrive in time.",
    409: "It does not fit the field, a rule forbids it, a repair runs, or we were removed.",
    410: "The profile was erased, or the cursor has expired.",
    412: "The profile is not at the version that If-Match names.",
    413: "The body or the batch is too large.",
    415: "The body is in no media type that is understood.",
    422: "The input is wrong; nothing was changed.",
    426: "This endpoint is a websocket.",
    501: "A library that this needs is not installed.",
    503: "The replica cannot answer now; the problem says why.",
    507: "The disk is full; nothing of the write was kept.",
}

READ_PROBLEMS: Final = (400, 401, 403, 406, 422, 503)
WRITE_PROBLEMS: Final = (400, 401, 403, 406, 408, 413, 415, 422, 503, 507)

ID: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": PROFILE_ID,
    "description": "The profile id, percent-encoded as UTF-8; slashes too (%2F).",
}
NAME: Final[Schema] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": REPLICA_NAME,
    "description": "The replica's name, percent-encoded as UTF-8.",
}
IF_MATCH: Final[Schema] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]{1,100}")$'},
    "description": "Do it only at this version (an ETag); * asks that the profile exists.",
    "example": '"0-4f1d2c3b4a596877"',
}
IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]{1,100}")$'},
    "description": "Answer 304 if the profile is still at this version.",
}
UNLESS_MATCH: Final[Schema] = {
    **IF_NONE_MATCH,
    "description": "Do it unless the profile is at this version; * asks that it does not exist.",
}
ETAG: Final[Schema] = {
    "ETag": {"schema": {"type": "string"}, "description": "The version in double quotes."}
}


def operation(
    name: str,
    summary: str,
    responses: Schema,
    problems: tuple[int, ...],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Schema:
    """Return an operation: its answers, the problems it may answer, and what it takes."""
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {
            **responses,
            **{str(status): problem(PROBLEM_TEXTS[status]) for status in sorted(problems)},
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = body
    return operation


def problem(text: str) -> Schema:
    """Return the answer that is a problem."""
    return {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": ref("Problem")}}}


def answered(text: str, schema: Schema, *, headers: Schema | None = None) -> Schema:
    """Return an answer with a document."""
    response: Schema = {
        "description": text,
        "content": {media_type: {"schema": schema} for media_type in BODY_FORMS},
    }
    if headers:
        response["headers"] = headers
    return response


def body_of(schema: str, example: Schema) -> Schema:
    """Return a request's body, with an example."""
    return {
        "required": True,
        "description": f"At most {limits.BODY_BYTES_MAX:,} bytes.",
        "content": {
            media_type: {"schema": ref(schema), "examples": {"example": {"value": example}}}
            for media_type in BODY_FORMS
        },
    }


def query(name: str, schema: Schema, text: str) -> Schema:
    """Return a parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "description": text}


def limit(default: int, maximum: int) -> Schema:
    """Return the parameter that bounds how much is answered."""
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return query("limit", schema, "How many at the most.")
