"""The operations on conflicts, as the OpenAPI document tells them."""

from typing import Final

from crdtstore import limits
from crdtstore.engine.conflicts import CHOICES, STATES
from crdtstore.server.describing import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    answered,
    body_of,
    limit,
    operation,
    query,
)
from crdtstore.server.schemas import COMPONENTS, ORIGIN, PROFILE_ID, Schema, closed, listed, ref

_TEXT: Final[Schema] = {"type": "string"}
_ID: Final[Schema] = {
    "type": "string",
    "description": "The same on every replica.",
    "examples": ["5f0c1d2e3b4a5968"],
}
_STAMP: Final[Schema] = {
    "at": {"type": "string", "format": "date-time"},
    "timestamp": {"type": "integer", "format": "int64"},
    "origin": ORIGIN,
    "replica": _TEXT,
}
_SAID: Final[Schema] = closed({"value": ref("Value"), **_STAMP})

COMPONENTS.update(
    {
        "Conflict": closed(
            {
                "id": _ID,
                "profile": PROFILE_ID,
                "field": _TEXT,
                "source": _TEXT,
                "lost": {**_SAID, "description": "The value that is in the document no more."},
                "kept": {**_SAID, "description": "The value that won against it."},
                "settled": {
                    "anyOf": [closed(_STAMP), {"type": "null"}],
                    "description": "The write that settled it, null while it is open.",
                },
            }
        ),
        "ConflictPage": closed(
            {
                "conflicts": listed(ref("Conflict"), maxItems=limits.PAGE_CONFLICTS_MAX),
                "next": {
                    "type": ["string", "null"],
                    "description": "Goes into after; null at the end.",
                },
            }
        ),
        "Choice": closed(
            {
                "choice": {
                    "enum": list(CHOICES),
                    "description": "The value that lost, or what the source says at present.",
                }
            }
        ),
    }
)


def conflict_paths() -> Schema:
    """Return the paths of conflicts."""
    conflict = "/v1/conflicts/{id}"
    parameter = {"name": "id", "in": "path", "required": True, "schema": _ID}
    return {
        "/v1/conflicts": {"get": _list()},
        conflict: {
            "parameters": [parameter],
            "get": operation(
                "get_conflict",
                "One conflict.",
                {"200": answered("The conflict.", ref("Conflict"))},
                (*READ_PROBLEMS, 404),
            ),
        },
        f"{conflict}/choose": {
            "parameters": [parameter],
            "post": operation(
                "choose_value",
                "Write one of the two values anew, as its source's; that settles the conflict.",
                {"200": answered("It is durable.", ref("Conflict"))},
                (*WRITE_PROBLEMS, 404, 409),
                body=body_of("Choice", {"choice": "lost"}),
            ),
        },
    }


def _list() -> Schema:
    return operation(
        "list_conflicts",
        "A page of conflicts: values that lost against a write that had not seen them.",
        {"200": answered("A page, the oldest first.", ref("ConflictPage"))},
        READ_PROBLEMS,
        parameters=(
            query("profile", PROFILE_ID, "Only those of this profile."),
            query("state", {"enum": list(STATES), "default": "open"}, "Which of them."),
            query("after", {"type": "string", "maxLength": 20}, "The next of the page before."),
            limit(limits.PAGE_CONFLICTS_DEFAULT, limits.PAGE_CONFLICTS_MAX),
        ),
    )
