"""Deltas as JSON: what comes from outside is checked against every bound before it is one."""

from typing import Any, NoReturn

from crdtstore import limits
from crdtstore.errors import InvalidOperation, InvalidValue, LimitExceeded
from crdtstore.model.delta import Delete, Delta, Insert, Operation, Retain, normal
from crdtstore.model.update_contents import check_attribute, check_embed

_KINDS = ("insert", "retain", "delete")


def delta_of(operations: object) -> Delta:
    """Return the delta, in normal form, that a JSON array of operations is.

    Each operation has one of ``insert``, ``retain`` and ``delete``, the first two with
    ``attributes`` if they like. Raises InvalidOperation or LimitExceeded.
    """
    if not isinstance(operations, list):
        _refuse("a delta is a list of operations")
    if len(operations) > limits.TEXT_OPERATIONS_MAX:
        raise LimitExceeded("a delta", len(operations), limits.TEXT_OPERATIONS_MAX, "operations")
    parts = [_operation_of(operation, place) for place, operation in enumerate(operations)]
    texts = (part.content for part in parts if isinstance(part, Insert))
    size = sum(len(text.encode()) for text in texts if isinstance(text, str))
    if size > limits.WRITE_BYTES_MAX:
        raise LimitExceeded("what a delta inserts", size, limits.WRITE_BYTES_MAX, "bytes")
    spanned = sum(part.units for part in parts if not isinstance(part, Insert))
    if spanned > limits.UPDATE_CLOCK_MAX:
        raise LimitExceeded("what a delta spans", spanned, limits.UPDATE_CLOCK_MAX, "units")
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
    where = f"operation {place} of a delta"
    if type(operation) is not dict:
        _refuse(f"{where} is not a map")
    kinds = [kind for kind in _KINDS if kind in operation]
    if len(kinds) != 1:
        _refuse(f"{where} has one of insert, retain and delete")
    kind = kinds[0]
    for key in operation:
        if key != kind and (key != "attributes" or kind == "delete"):
            _refuse(f"{where} has the unknown member {str(key)[:40]!r}")
    try:
        attributes = _attributes_of(operation.get("attributes"), where)
        if kind == "insert":
            formats = {name: value for name, value in attributes.items() if value is not None}
            return Insert(_content_of(operation["insert"], where), formats)
    except InvalidValue as error:
        raise InvalidOperation(f"{where}: {error}") from None
    units = operation[kind]
    if type(units) is not int or units < 1:
        _refuse(f"{where}: {kind} is a number of UTF-16 units, from 1 on")
    return Delete(units) if kind == "delete" else Retain(units, attributes)


def _content_of(content: object, where: str) -> str | dict[str, Any]:
    if type(content) is dict:
        check_embed(content)
        return content
    if type(content) is not str or not content:
        _refuse(f"{where}: insert is a text that is not empty, or an embed: a map")
    try:
        content.encode()
    except UnicodeEncodeError:
        _refuse(f"{where}: the text has half of a surrogate pair")
    return content


def _attributes_of(attributes: object, where: str) -> dict[str, Any]:
    if attributes is None:
        return {}
    if type(attributes) is not dict:
        _refuse(f"{where}: attributes is a map")
    if len(attributes) > limits.ATTRIBUTES_MAX:
        raise LimitExceeded(where, len(attributes), limits.ATTRIBUTES_MAX, "attributes")
    for name, value in attributes.items():
        check_attribute(name, value)
    return attributes


def _refuse(reason: str) -> NoReturn:
    raise InvalidOperation(reason)
