"""The operations on persons, as the OpenAPI document tells them."""

from typing import Final

from crdtstore import limits
from crdtstore.server.describing import (
    ETAG,
    ID,
    IF_NONE_MATCH,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    answered,
    body_of,
    operation,
    query,
)
from crdtstore.server.erasure_operations import erase_operation
from crdtstore.server.schemas import Schema, ref

_PAIR: Final[Schema] = {"profiles": ["crm-17", "cdp-4711"], "source": "steward"}
_PIN: Final[Schema] = {"profile": "crm-17", "field": "name", "value": "Ann"}
_CANDIDATE: Final[Schema] = {"profile": "crm-17", "field": "name", "of": "crm"}


def person_paths() -> Schema:
    """Return the paths of persons."""
    person = "/v1/persons/{id}"
    return {
        "/v1/persons": {"get": _find(), "delete": erase_operation()},
        "/v1/persons/merge": {
            "post": _decision("merge", "Say that two profiles are of one person.", "Pair", _PAIR)
        },
        "/v1/persons/unmerge": {
            "post": _decision(
                "unmerge",
                "Part two profiles, and what is bound to each; or one from all of its person.",
                "OneOrPair",
                _PAIR,
            )
        },
        "/v1/persons/not-match": {
            "post": _decision(
                "forbid_match", "Say that two profiles are of two persons.", "Pair", _PAIR
            )
        },
        "/v1/persons/pin": {
            "post": _decision(
                "pin", "Have a value survive whatever sources say; null ends that.", "Pin", _PIN
            )
        },
        "/v1/persons/ignore": {
            "post": _decision(
                "ignore",
                "Leave a candidate out, for as long as its source says the same.",
                "CandidateChoice",
                _CANDIDATE,
            )
        },
        "/v1/persons/regard": {
            "post": _decision(
                "regard",
                "Let candidates that were ignored count again.",
                "CandidateChoice",
                _CANDIDATE,
            )
        },
        person: {"parameters": [ID], "get": _get()},
        f"{person}/explain": {"parameters": [ID], "get": _explain()},
    }


def _find() -> Schema:
    identifier = {
        "type": "string",
        "minLength": 3,
        "maxLength": limits.IDENTIFIER_BYTES_MAX,
        "examples": ["email:ann@example.com"],
    }
    text = "A type and a value; it is normalised first."
    return operation(
        "find_person",
        "The person that an identifier leads to, and others that hold it.",
        {"200": answered("The person.", ref("FoundPerson"), headers=ETAG)},
        (*READ_PROBLEMS, 404, 507),
        parameters=({**query("identifier", identifier, text), "required": True},),
    )


def _get() -> Schema:
    return operation(
        "get_person",
        "The person of a profile: all its profiles, and one golden record over them.",
        {
            "200": answered("The person.", ref("Person"), headers=ETAG),
            "304": {"description": "It is still at the version of If-None-Match."},
        },
        (*READ_PROBLEMS, 404, 410, 507),
        parameters=(IF_NONE_MATCH,),
    )


def _explain() -> Schema:
    field = {"type": "string", "minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX}
    return operation(
        "explain_person",
        "Every candidate of every field of all profiles, and the rule that chose.",
        {"200": answered("The candidates, survivors first.", ref("PersonExplanation"))},
        (*READ_PROBLEMS, 404, 410, 507),
        parameters=(query("field", field, "Only this field."),),
    )


def _decision(name: str, summary: str, body: str, example: Schema) -> Schema:
    return operation(
        f"{name}_persons",
        summary,
        {"200": answered("It is durable; the person of the first.", ref("Person"), headers=ETAG)},
        (*WRITE_PROBLEMS, 404, 409, 410),
        body=body_of(body, example),
    )
