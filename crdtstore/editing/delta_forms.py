"""Deltas as JSON: what comes from outside is checked against every bound before it is one."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from crdtstore import limits
from crdtstore.editing.delta import (
    Attributes,
    Delete,
    Delta,
    Insert,
    Operation,
    Retain,
    normal,
    utf16_units,
)
from crdtstore.errors import InvalidOperation, LimitExceeded

_KINDS = ("insert", "retain", "delete")


def delta_of(operations: object) -> Delta:
    """Return the delta, in normal form, that a JSON array of operations is.

    Each operation has one of ``insert``, ``retain`` and ``delete``, the first two with
    ``attributes`` if they like. Raises InvalidOperation or LimitExceeded.
    """
    if not isinstance(operations, list):
        _refuse("a delta is a list of operations")
    if len(operations) > limits.DELTA_OPS_MAX:
        raise LimitExceeded("the delta", len(operations), limits.DELTA_OPS_MAX, "operations")
    parts = [_operation_of(operation, place) for place, operation in enumerate(operations)]
    inserted = sum(part.units for part in parts if isinstance(part, Insert))
    if inserted > limits.INSERT_UNITS_MAX:
        raise LimitExceeded("what the delta inserts", inserted, limits.INSERT_UNITS_MAX, "units")
    other = sum(part.units for part in parts if not isinstance(part, Insert))
    if other > limits.DELTA_UNITS_MAX:
        raise LimitExceeded("what the delta spans", other, limits.DELTA_UNITS_MAX, "units")
    return normal(parts)


def operations_of(delta: Delta) -> list[dict[str, Any]]:
    """Return a delta as the JSON array of its operations."""
    return [_document_of(operation) for operation in delta]


def _document_of(operation: Operation) -> dict[str, Any]:
    if isinstance(operation, Delete):
        return {"delete": operation.units}
    if isinstance(operation, Retain):
        document: dict[str, Any] = {"retain": operation.units}
    else:
        content = operation.content
        document = {"insert": content if isinstance(content, str) else dict(content)}
    if operation.attributes:
        document["attributes"] = dict(operation.attributes)
    return document


def _operation_of(operation: object, place: int) -> Operation:
    where = f"operation {place} of the delta"
    if not isinstance(operation, dict):
        _refuse(f"{where} is not a map")
    kinds = [kind for kind in _KINDS if kind in operation]
    if len(kinds) != 1:
        _refuse(f"{where} has one of insert, retain and delete")
    kind = kinds[0]
    for key in operation:
        if key != kind and (key != "attributes" or kind == "delete"):
            _refuse(f"{where} has the unknown member {str(key)[:40]!r}")
    attributes = _attributes_of(operation.get("attributes"), where)
    if kind == "insert":
        formats = {name: value for name, value in attributes.items() if value is not None}
        return Insert(_content_of(operation["insert"], where), formats)
    units = operation[kind]
    if type(units) is not int or not 0 < units <= limits.DELTA_UNITS_MAX:
        _refuse(f"{where}: {kind} is a number of UTF-16 units, from 1 on")
    return Delete(units) if kind == "delete" else Retain(units, attributes)


def _content_of(content: object, where: str) -> str | dict[str, Any]:
    if isinstance(content, str):
        if not content:
            _refuse(f"{where} inserts nothing")
        if utf16_units(content) > limits.INSERT_UNITS_MAX:
            size = utf16_units(content)
            raise LimitExceeded(where, size, limits.INSERT_UNITS_MAX, "units")
        _check_text(content, where)
        return content
    if not isinstance(content, dict) or len(content) != 1:
        _refuse(f"{where}: insert is a text, or an embed: a map with one key, its kind")
    (name,) = content
    _check_attribute_name(name, where)
    _check_attribute(content[name], where)
    return content


def _attributes_of(attributes: object, where: str) -> Attributes:
    if attributes is None:
        return {}
    if not isinstance(attributes, Mapping):
        _refuse(f"{where}: attributes is a map")
    if len(attributes) > limits.ATTRIBUTES_MAX:
        raise LimitExceeded(where, len(attributes), limits.ATTRIBUTES_MAX, "attributes")
    for name, value in attributes.items():
        _check_attribute_name(name, where)
        _check_attribute(value, where)
    return attributes


def _check_attribute_name(name: object, where: str) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        _refuse(f"{where}: an attribute's name is printable text")
    _check_text(name, where)
    size = len(name.encode())
    if size > limits.ATTRIBUTE_NAME_BYTES_MAX:
        subject = f"{where}: the name of an attribute"
        raise LimitExceeded(subject, size, limits.ATTRIBUTE_NAME_BYTES_MAX, "bytes")


def _check_attribute(value: object, where: str) -> None:
    _check_json(value, where, limits.ATTRIBUTE_DEPTH_MAX)
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > limits.ATTRIBUTE_VALUE_BYTES_MAX:
        subject = f"{where}: the value of an attribute"
        raise LimitExceeded(subject, size, limits.ATTRIBUTE_VALUE_BYTES_MAX, "bytes")


def _check_json(value: object, where: str, depth_left: int) -> None:
    """Refuse what another program would read as something else, or not at all."""
    if depth_left < 0:
        limit = limits.ATTRIBUTE_DEPTH_MAX
        raise LimitExceeded(f"{where}: an attribute", limit + 1, limit, "levels")
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            _refuse(f"{where}: a number is not finite")
    elif isinstance(value, int):
        if not -(2**53) < value < 2**53:
            _refuse(f"{where}: integers have at most 53 bits, as in JavaScript")
    elif isinstance(value, list):
        for item in value:
            _check_json(item, where, depth_left - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                _refuse(f"{where}: a map has a key that is not text")
            _check_text(name, where)
            _check_json(item, where, depth_left - 1)
    elif value is not None:
        _refuse(f"{where}: {type(value).__name__} is nothing that JSON has")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(f"{where}: a text has half of a surrogate pair")


def _refuse(reason: str) -> NoReturn:
    raise InvalidOperation(reason)
