"""The operations of listings, queries and exports in the OpenAPI document."""

from typing import Final

from crdtstore import limits
from crdtstore.export.files import FORMATS
from crdtstore.server.describing import READ_PROBLEMS, answered, limit, operation, query
from crdtstore.server.negotiation import OCTETS
from crdtstore.server.schemas import Schema, ref

_ASCII: Final = "^[ -~]*$"
_WHERE: Final[Schema] = query(
    "where",
    {"type": "string", "maxLength": 1_000, "pattern": _ASCII},
    "A filter in the language of SCIM (RFC 7644, 3.4.2.2), as docs/queries.md has it. Characters "
    "beyond ASCII may be written as JSON escapes. A longer one, up to 4,096 bytes, is understood "
    "as far as the line of the request, of 8,190 bytes, holds it.",
)
_CURSOR_LENGTH: Final = 700
_EXPLAIN: Final[Schema] = query(
    "explain", {"type": "boolean", "default": False}, "Tell how the query was answered."
)


def query_paths() -> Schema:
    """Return the paths of listings, queries and exports."""
    return {
        "/v1/profiles": {"get": _list_profiles()},
        "/v1/count": {"get": _count_profiles()},
        "/v1/export": {"get": _export()},
    }


def _list_profiles() -> Schema:
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "maxLength": _CURSOR_LENGTH}
    profile_id = {"type": "string", "maxLength": limits.PROFILE_ID_BYTES_MAX}
    return operation(
        "list_profiles",
        "A page of living profiles: in id order, those that a filter asks for, or in an order.",
        {"200": answered("A page.", ref("ProfilePage"))},
        (*READ_PROBLEMS, 409),
        parameters=(
            _WHERE,
            query(
                "order",
                {"type": "string", "maxLength": limits.FIELD_NAME_BYTES_MAX + 3},
                "A field, with a - before it for falling order; without it the order is by id.",
            ),
            query(
                "after",
                {"anyOf": [profile_id, cursor]},
                "The next of the page before; without an order, any id.",
            ),
            limit(limits.PAGE_PROFILES_DEFAULT, limits.PAGE_PROFILES_MAX),
            _EXPLAIN,
        ),
    )


def _count_profiles() -> Schema:
    return operation(
        "count_profiles",
        "How many living profiles there are, or how many a filter asks for.",
        {"200": answered("The number.", ref("ProfileCount"))},
        (*READ_PROBLEMS, 409),
        parameters=(_WHERE, _EXPLAIN),
    )


def _export() -> Schema:
    text = (
        "The golden records of all profiles at one moment, in one file. It is written beside the "
        "data first, for which the disk needs room."
    )
    content = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
    return operation(
        "export",
        "The golden records of all profiles, as a table.",
        {"200": {"description": text, "content": content}},
        (401, 403, 406, 422, 501, 503, 507),
        parameters=(
            query(
                "format", {"enum": list(FORMATS), "default": "parquet"}, "What it is written as."
            ),
        ),
    )
