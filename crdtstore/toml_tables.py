"""Tables of a TOML text: checked for being tables, and for keys that nobody knows."""

from typing import Any

from crdtstore.errors import SchemaError


def checked_table(value: object, what: str) -> dict[str, Any]:
    """Return a value that is a table; raises SchemaError."""
    if type(value) is not dict:
        raise SchemaError(f"{what}: is a table, not {value!r}")
    return value


def check_keys(table: dict[str, Any], allowed: tuple[str, ...], what: str) -> None:
    """Raise SchemaError for the first key that is not allowed."""
    for key, value in table.items():
        if key not in allowed:
            dotted = type(value) is dict and what == "a field"
            hint = '; quote a name with a dot, as in [fields."address.city"]' if dotted else ""
            raise SchemaError(f"{key!r} is unknown; {what} takes {', '.join(allowed)}{hint}")
