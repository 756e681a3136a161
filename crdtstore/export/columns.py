"""Columns: which type of column holds all values of a field, and the values in it.

| type      | holds                                                              |
|-----------|--------------------------------------------------------------------|
| bool      | booleans; every consent                                            |
| int64     | integers; counters                                                 |
| double    | numbers some of which are floats, and no integer beyond 2**53      |
| string    | text, collaborative fields of that kind too                        |
| binary    | bytes                                                              |
| timestamp | moments, in microseconds, UTC                                      |
| list<…>   | lists and sets of one of these                                     |
| json      | all else, as JSON: maps, lists of lists, values of several types   |

In JSON, and in JSON lines, a moment is text in ISO 8601, and bytes are in base64.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from crdtstore.errors import LimitExceeded
from crdtstore.model.profile import Profile
from crdtstore.query import bounds
from crdtstore.schema import Schema

ID_COLUMN: Final = "profile_id"
VERSION_COLUMN: Final = "profile_version"

_FIELD_PREFIX: Final = "field."
_OF_KIND: Final[Mapping[str, str]] = MappingProxyType(
    {
        "register": "",
        "counter": "int64",
        "trait": "",
        "set": "list<>",
        "consent": "bool",
        "text": "string",
        "list": "list<>",
    }
)
_OF_TYPE: Final[Mapping[type, str]] = MappingProxyType(
    {bool: "bool", float: "double", str: "string", bytes: "binary", datetime: "timestamp"}
)
_SMALL_INTEGER: Final = 1 << 53
_INT64: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Column:
    """The column of a field: its name, its type, and the kind that the schema declares."""

    field: str
    name: str
    type: str
    kind: str

    def value(self, value: Any) -> Any:
        """Return a value of the field as the column holds it."""
        if value is None:
            return None
        if self.type == "json":
            return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
        if self.type == "double":
            return float(value)
        if self.type == "list<double>":
            return [float(element) for element in value]
        return value


class Survey:
    """Finds the columns that hold a number of golden records; those of the schema come always."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        declared = {*schema.fields, *schema.group_of_field}
        self._types = {field: _OF_KIND[schema.kind_of(field) or "register"] for field in declared}

    def add(self, profile: Profile) -> None:
        """Take note of a record's values; raises LimitExceeded if there are too many fields."""
        for field, value in profile.items():
            known = self._types.get(field, "")
            found = type_of(value)
            if known != found:
                self._types[field] = united(known, found)
        if len(self._types) > bounds.EXPORT_COLUMNS_MAX:
            raise LimitExceeded("the export", len(self._types), bounds.EXPORT_COLUMNS_MAX, "fields")

    def columns(self) -> list[Column]:
        """Return the columns of all fields, by name."""
        return [
            Column(field, column_name(field), _settled(kind), self._schema.kind_of(field) or "")
            for field, kind in sorted(self._types.items())
        ]


def column_name(field: str) -> str:
    """Return the name of a field's column: the field's, where that is nobody else's."""
    if field in (ID_COLUMN, VERSION_COLUMN) or field.startswith(_FIELD_PREFIX):
        return _FIELD_PREFIX + field
    return field


def type_of(value: Any) -> str:
    """Return the type of column that holds a value; "big" is an integer that no float holds."""
    kind = type(value)
    if kind is int:
        if -_SMALL_INTEGER <= value <= _SMALL_INTEGER:
            return "int64"
        return "big" if -_INT64 <= value < _INT64 else "json"
    if kind is list:
        return _list_of(map(type_of, value))
    return _OF_TYPE.get(kind, "json")


def united(one: str, other: str) -> str:
    """Return the type of column that holds the values of both: associative and commutative."""
    if not one or not other or one == other:
        return one or other
    pair = {one, other}
    if pair == {"int64", "double"}:
        return "double"
    if pair == {"int64", "big"}:
        return "big"
    if one.startswith("list<") and other.startswith("list<"):
        return _list_of((one[5:-1], other[5:-1]))
    return "json"


def plain(value: Any) -> Any:
    """Return a value as JSON writes it for people who analyse it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def row_of(profile: Profile) -> dict[str, Any]:
    """Return a golden record as one object of JSON lines."""
    row: dict[str, Any] = {ID_COLUMN: profile.id, VERSION_COLUMN: profile.version}
    row.update((column_name(field), plain(value)) for field, value in profile.items())
    return row


def _list_of(types: Iterable[str]) -> str:
    unite: Callable[[str, str], str] = united
    element = ""
    for each in types:
        element = unite(element, each)
    return "json" if element == "json" or element.startswith("list<") else f"list<{element}>"


def _settled(kind: str) -> str:
    """Return a type with what was left open decided: nothing was seen that says otherwise."""
    settled = {"": "string", "big": "int64", "list<>": "list<string>", "list<big>": "list<int64>"}
    return settled.get(kind, kind)
