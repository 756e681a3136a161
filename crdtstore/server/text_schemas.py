"""The component schemas of traits and collaborative fields, for the OpenAPI document."""

from typing import Final

from crdtstore import limits
from crdtstore.model.folds import FOLDS
from crdtstore.server.schemas import ORIGIN, PROFILE_ID, VERSION, Schema, closed, listed, ref

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_FIELD_NAME: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.FIELD_NAME_BYTES_MAX,
}
_POSITION: Final[Schema] = {"type": "integer", "minimum": 0}
_LENGTH: Final[Schema] = {"type": "integer", "minimum": 1}
_ATTRIBUTES: Final[Schema] = {"type": "object"}
_DELTA_OPERATION: Final[Schema] = {
    "description": "One operation of a rich-text (Quill) delta.",
    "anyOf": [
        closed(
            {"retain": _LENGTH, "attributes": _ATTRIBUTES},
            optional=("attributes",),
        ),
        closed(
            {"insert": {"type": ["string", "object"]}, "attributes": _ATTRIBUTES},
            optional=("attributes",),
        ),
        closed({"delete": _LENGTH}),
    ],
}
_LIST_STEP: Final[Schema] = {
    "description": "One step of an edit of a list; it sees what those before it did.",
    "anyOf": [
        closed({"at": _POSITION, "insert": listed(ref("Value"), minItems=1)}),
        closed({"at": _POSITION, "delete": _LENGTH}),
        closed({"at": _POSITION, "move": _POSITION}),
    ],
}

TRAIT_COMPONENTS: Final[dict[str, Schema]] = {
    "FoldIn": closed(
        {
            "fold": {"enum": sorted(FOLDS)},
            "payload": ref("Value"),
            "options": {"type": "array"},
            "version": {"type": "integer", "minimum": 1},
        },
        optional=("options", "version"),
    ),
}
"""What is folded into a trait."""

TEXT_COMPONENTS: Final[dict[str, Schema]] = {
    "TextEdit": closed(
        {"edit_text": listed(_DELTA_OPERATION), "unit": {"enum": ["character", "utf-16"]}},
        optional=("unit",),
    ),
    "ListEdit": closed({"edit_list": listed(_LIST_STEP)}),
    "Text": closed(
        {
            "id": PROFILE_ID,
            "version": VERSION,
            "field": _FIELD_NAME,
            "kind": {"enum": ["text", "list"]},
            "value": ref("Value"),
            "delta": {
                **listed(
                    closed(
                        {"insert": {"type": ["string", "object"]}, "attributes": _ATTRIBUTES},
                        optional=("attributes",),
                    )
                ),
                "description": "The text with its formatting; absent for a list.",
            },
        },
        optional=("delta",),
    ),
    "TextHistory": closed(
        {
            "id": PROFILE_ID,
            "field": _FIELD_NAME,
            "edits": listed(
                closed(
                    {
                        "at": {"type": "string", "format": "date-time"},
                        "timestamp": {"type": "integer", "format": "int64"},
                        "source": _TEXT,
                        "replica": _TEXT,
                        "origin": ORIGIN,
                        "inserted": _COUNT,
                        "deleted": _COUNT,
                    }
                ),
                maxItems=limits.TEXT_HISTORY_MAX,
            ),
        }
    ),
}
