"""The OpenAPI descriptions of collaborative fields."""

from typing import Final

from crdtstore import limits
from crdtstore.server.describing import ID, READ_PROBLEMS, answered, operation
from crdtstore.server.schemas import Schema, ref

FIELD: Final[Schema] = {
    "name": "field",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX},
    "description": "The field, of kind text or list, percent-encoded as UTF-8.",
}


def text_paths() -> Schema:
    """Return the paths of collaborative fields."""
    path = "/v1/profiles/{id}/texts/{field}"
    return {
        path: {
            "parameters": [ID, FIELD],
            "get": operation(
                "get_text",
                "A text as a string and as a rich-text (Quill) delta, or the items of a list.",
                {"200": answered("The field.", ref("Text"))},
                (*READ_PROBLEMS, 404, 409, 410, 501),
            ),
        },
        f"{path}/history": {
            "parameters": [ID, FIELD],
            "get": operation(
                "get_text_history",
                "The newest edits of a text or a list, newest first.",
                {"200": answered("The edits.", ref("TextHistory"))},
                (*READ_PROBLEMS, 404, 409, 410, 501),
            ),
        },
    }
