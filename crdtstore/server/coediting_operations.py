"""The operations of those who edit a text together, as the OpenAPI document tells them."""

from typing import Final

from crdtstore import limits
from crdtstore.server.describing import (
    ID,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    answered,
    body_of,
    operation,
    query,
)
from crdtstore.server.schemas import COMPONENTS, Schema, closed, listed, ref

_FIELD: Final[Schema] = {
    "name": "field",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX},
    "description": "The field's name, percent-encoded as UTF-8.",
}
_EDIT_EXAMPLE: Final[Schema] = {
    "source": "crm",
    "revision": "",
    "delta": [{"insert": "Call on Monday", "attributes": {"bold": True}}],
}
_UNITS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": limits.UPDATE_CLOCK_MAX}
_ATTRIBUTES: Final[Schema] = {"type": ["object", "null"], "maxProperties": limits.ATTRIBUTES_MAX}
_REVISION: Final[Schema] = {
    "type": "string",
    "description": "The name of a state of the text; equal at replicas with equal states.",
}
_DELTA: Final[Schema] = {
    **listed(ref("DeltaOperation"), maxItems=limits.TEXT_OPERATIONS_MAX),
    "description": "A rich-text delta in the form of Quill; lengths are in UTF-16 units.",
}
_TEXT: Final = closed({"revision": _REVISION, "delta": _DELTA})

COMPONENTS.update(
    {
        "DeltaOperation": {
            "oneOf": [
                closed(
                    {
                        "insert": {
                            "oneOf": [
                                {"type": "string", "minLength": 1},
                                {"type": "object", "minProperties": 1},
                            ]
                        },
                        "attributes": _ATTRIBUTES,
                    },
                    optional=("attributes",),
                ),
                closed({"retain": _UNITS, "attributes": _ATTRIBUTES}, optional=("attributes",)),
                closed({"delete": _UNITS}),
            ]
        },
        "TextEdit": closed(
            {
                "source": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": limits.SOURCE_NAME_BYTES_MAX,
                },
                "revision": {
                    **_REVISION,
                    "description": "What the delta changes; empty for a field that is new.",
                },
                "delta": _DELTA,
                "id": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": limits.EDIT_ID_BYTES_MAX,
                    "description": "The client's name for this edit, which is then made once.",
                },
            },
            optional=("id",),
        ),
        "RevisedText": _TEXT,
        "RevisedEdit": closed(
            {
                "version": {"type": "string", "description": "The profile's version."},
                "revision": _REVISION,
                "meanwhile": {**_DELTA, "description": "What others changed, to be made now."},
            }
        ),
    }
)


def coediting_paths() -> Schema:
    """Return the paths of those who edit a text together."""
    return {
        "/v1/profiles/{id}/texts/{field}/delta": {
            "parameters": [ID, _FIELD],
            "get": operation(
                "get_delta",
                "A rich text, as the delta that makes it, and its revision.",
                {"200": answered("The text.", ref("RevisedText"))},
                (*READ_PROBLEMS, 404, 409, 410, 507),
            ),
            "post": operation(
                "post_delta",
                "Change a rich text at a revision; the answer tells what others changed meanwhile.",
                {"200": answered("It is durable.", ref("RevisedEdit"))},
                (*WRITE_PROBLEMS, 404, 409, 410),
                body=body_of("TextEdit", _EDIT_EXAMPLE),
            ),
        },
        "/v1/collaboration/{id}/{field}": {
            "parameters": [ID, _FIELD],
            "get": operation(
                "collaboration",
                "A websocket that speaks y-websocket; docs/collaboration.md describes it.",
                {"101": {"description": "The Yjs client takes part."}},
                (400, 401, 403, 422, 426, 503),
                parameters=(
                    query("source", {"type": "string", "default": "yjs"}, "As which source."),
                    query(
                        "epoch",
                        {"type": "integer", "minimum": 0, "maximum": limits.EPOCH_MAX},
                        "The epoch of the profile in which the client's document began.",
                    ),
                    query("token", {"type": "string"}, "The API token, where no header can be."),
                ),
            ),
        },
    }
