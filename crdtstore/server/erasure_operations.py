"""The operations on erasures and of the subject's access, as the OpenAPI document tells them."""

from typing import Final

from crdtstore import limits
from crdtstore.server.describing import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    answered,
    body_of,
    limit,
    operation,
    query,
)
from crdtstore.server.schemas import PROFILE_ID, REPLICA_NAME, Schema, closed, listed, ref

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_NO_MOMENT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_SOURCE: Final[Schema] = {
    "type": "string", "minLength": 1, "maxLength": limits.SOURCE_NAME_BYTES_MAX,
}  # fmt: skip
_ERASURE_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_HELD: Final[Schema] = {"type": "object", "additionalProperties": True}

ERASURE_COMPONENTS: Final[dict[str, Schema]] = {
    "Erasure": closed(
        {
            "id": _ERASURE_ID,
            "kind": {"enum": ["profile", "person", "identifier"], "description": "What was named."},
            "source": {**_SOURCE, "description": "Who asked."},
            "at": _MOMENT,
            "profiles": listed(PROFILE_ID),
            "suppressed": {**_COUNT, "description": "Identifiers that may not come back."},
            "lifted_by": {**_TEXT, "description": "Who let them come back; empty if nobody did."},
            "complete": {"type": "boolean", "description": "Whether all replicas have confirmed."},
            "replicas": listed(
                closed(
                    {
                        "name": REPLICA_NAME,
                        "state": {"enum": ["confirmed", "cleaning", "unheard", "removed"]},
                        "at": {**_NO_MOMENT, "description": "Since when."},
                    }
                )
            ),
        }
    ),
    "Erasures": closed(
        {
            "erasures": listed(ref("Erasure")),
            "next": {"type": ["string", "null"], "description": "The next page's after."},
        }
    ),
    "Lifting": closed({"source": {**_SOURCE, "default": "steward"}}, optional=("source",)),
    "Export": closed(
        {
            "format": {"const": 1},
            "id": PROFILE_ID,
            "version": _TEXT,
            "fields": _HELD,
            "rules": _HELD,
            "dropped": listed(_HELD),
            "conflicts": {**listed(_HELD), "description": "Values that lost without being seen."},
            "profiles": listed(
                closed(
                    {
                        "id": PROFILE_ID,
                        "version": _TEXT,
                        "identifiers": listed(closed({"identifier": _TEXT, "since": _MOMENT})),
                        "held": {
                            **listed(_HELD),
                            "description": "Every value of every source, withdrawn ones too.",
                        },
                        "texts": {
                            **listed(_HELD),
                            "description": "Collaborative fields, with their newest edits.",
                        },
                    }
                )
            ),
        }
    ),
}

_NAMING: Final = (
    query("identifier", {**_TEXT, "minLength": 3}, "A type and a value; or give a profile."),
    query("profile", PROFILE_ID, "A profile of the person."),
)
_ID: Final[Schema] = {
    "name": "id", "in": "path", "required": True, "schema": _ERASURE_ID,
    "description": "The id of the erasure.",
}  # fmt: skip


def erase_operation() -> Schema:
    """Return the operation that erases a person."""
    alone = {"type": "boolean", "default": False}
    return operation(
        "erase_person",
        "Erase a person for good, on every replica, and suppress its identifiers.",
        {"200": answered("It is durable here; the receipts follow.", ref("Erasure"))},
        (*READ_PROBLEMS, 404, 409, 410, 507),
        parameters=(
            *_NAMING,
            query("alone", alone, "Erase the named profile only, and suppress nothing."),
            query("source", {**_SOURCE, "default": "steward"}, "Who asks."),
        ),
    )


def erasure_paths() -> Schema:
    """Return the paths of erasures and of the subject's access."""
    field = {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX}
    return {
        "/v1/persons/export": {
            "get": operation(
                "export_person",
                "Everything that is held on a person.",
                {"200": answered("The whole of it.", ref("Export"))},
                (*READ_PROBLEMS, 404, 409, 410, 507),
                parameters=_NAMING,
            )
        },
        "/v1/persons/explain": {
            "get": operation(
                "explain_found_person",
                "Every candidate of the person that an identifier leads to.",
                {"200": answered("The candidates, survivors first.", ref("PersonExplanation"))},
                (*READ_PROBLEMS, 404, 409, 410, 507),
                parameters=(*_NAMING, query("field", field, "Only this field.")),
            )
        },
        "/v1/erasures": {
            "get": operation(
                "list_erasures",
                "Erasures, in the order of their ids.",
                {"200": answered("A page of them.", ref("Erasures"))},
                READ_PROBLEMS,
                parameters=(
                    query("after", _TEXT, "The last id of the page before."),
                    limit(100, limits.PAGE_PROFILES_MAX),
                ),
            )
        },
        "/v1/erasures/{id}": {
            "parameters": [_ID],
            "get": operation(
                "get_erasure",
                "An erasure, and which replicas have confirmed it.",
                {"200": answered("The erasure with its receipts.", ref("Erasure"))},
                (*READ_PROBLEMS, 404),
            ),
        },
        "/v1/erasures/{id}/lift": {
            "parameters": [_ID],
            "post": operation(
                "lift_erasure",
                "Let the identifiers of an erasure be written again.",
                {"200": answered("It is durable.", ref("Erasure"))},
                (*WRITE_PROBLEMS, 404, 409),
                body=body_of("Lifting", {"source": "dpo"}),
            ),
        },
    }
