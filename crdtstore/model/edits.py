"""Edits of collaborative fields by position: from what a caller says to steps for native code.

An edit of a text is a rich-text delta, the form of the editor Quill, a list of operations that go
through the text from its start:

    {"retain": 5}                                   pass over 5
    {"retain": 5, "attributes": {"bold": True}}     format 5; None takes an attribute away
    {"insert": "Hello", "attributes": {...}}        insert text, with just these attributes
    {"insert": {"image": "logo.png"}}               insert an embed, which has length 1
    {"delete": 3}                                   delete 3

Positions and lengths count **characters**, as Python does (Unicode code points), or with ``unit``
"utf-16" the code units that JavaScript, Yjs and Quill count: an emoji is one of the former and two
of the latter. Between the two halves of a character nothing can be written.

An edit of a list is a list of steps, each of which sees what those before it did:

    {"at": 0, "insert": ["first", 2]}     insert items before position 0
    {"at": 3, "delete": 2}                delete 2 items
    {"at": 3, "move": 0}                  move one item: it then stands at 0
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from crdtstore import limits
from crdtstore.errors import InvalidOperation, InvalidValue, LimitExceeded
from crdtstore.model.shared import Run, Step
from crdtstore.model.update_contents import check_attribute, check_embed

Unit: TypeAlias = Literal["character", "utf-16"]

UNITS: Final = ("character", "utf-16")


class _Ruler:
    """Measures a text, from its start to its end, in a caller's units and in those of pycrdt."""

    def __init__(self, runs: Sequence[Run], unit: Unit, subject: str) -> None:
        self._runs = [run for run, _ in runs]
        self._unit = unit
        self._subject = subject
        self._run = 0
        self._within = 0

    def advance(self, length: int) -> int:
        """Pass over a length; return it in units of pycrdt. Raises InvalidOperation."""
        native = 0
        while length:
            if self._run == len(self._runs):
                raise InvalidOperation(
                    f"{self._subject}: the edit goes {length:,} beyond the end of the text"
                )
            run = self._runs[self._run]
            if not isinstance(run, str):
                native, length = native + 1, length - 1
                self._run += 1
                continue
            rest = run[self._within :] if self._within else run
            taken = self._taken(rest, length)
            native += len(taken) if taken.isascii() else len(taken.encode())
            length -= self._length(taken)
            self._within += len(taken)
            if self._within == len(run):
                self._run, self._within = self._run + 1, 0
        return native

    def _length(self, text: str) -> int:
        if self._unit == "character" or text.isascii():
            return len(text)
        return len(text.encode("utf-16-le")) >> 1

    def _taken(self, rest: str, length: int) -> str:
        """Return the part of a text that a length covers, all of it if that is longer."""
        if self._unit == "character" or rest.isascii():
            return rest[:length]
        try:
            return rest.encode("utf-16-le")[: 2 * length].decode("utf-16-le")
        except UnicodeDecodeError:
            raise InvalidOperation(
                f"{self._subject}: the edit cuts a character in two: in UTF-16 it has two units"
            ) from None


def plan_text(runs: Sequence[Run], delta: Sequence[Any], unit: Unit, subject: str) -> list[Step]:
    """Return the steps of an edit of a text; raises InvalidOperation, InvalidValue or a limit's."""
    ruler = _Ruler(runs, unit, subject)
    present = {name for _, attributes in runs if attributes for name in attributes}
    steps: list[Step] = []
    at = 0
    for operation in delta:
        action, amount, attributes = _parsed(operation, subject)
        present |= attributes.keys()
        if action == "insert":
            step = _insertion(at, amount, attributes, subject)
            length = 1 if step.action == "embed" else len(amount.encode())
            if len(present) < 2:
                steps.append(step)
            else:
                steps.append(step._replace(attributes=None))
                steps += _formats(at, length, {**dict.fromkeys(present), **attributes})
            at += length
            continue
        length = ruler.advance(amount)
        if action == "delete":
            steps.append(Step("delete", at, length))
        else:
            steps += _formats(at, length, attributes)
            at += length
    return steps


def _formats(at: int, length: int, attributes: Mapping[str, Any]) -> list[Step]:
    """Return steps that format, one attribute each: native code takes several in any order."""
    return [Step("format", at, length, {name: attributes[name]}) for name in sorted(attributes)]


def _parsed(operation: Any, subject: str) -> tuple[str, Any, dict[str, Any]]:
    """Return what one operation of a delta does, with what, and its attributes."""
    if type(operation) is not dict:
        raise InvalidOperation(f"{subject}: an operation of a delta is a map")
    actions = [name for name in operation if name != "attributes"]
    if len(actions) != 1 or actions[0] not in ("insert", "retain", "delete"):
        raise InvalidOperation(
            f"{subject}: an operation of a delta has one of insert, retain and delete, "
            "and may have attributes"
        )
    action = actions[0]
    amount, attributes = operation[action], operation.get("attributes")
    if attributes is None:
        attributes = {}
    if type(attributes) is not dict or (attributes and action == "delete"):
        raise InvalidOperation(f"{subject}: attributes are a map, beside insert or retain")
    for name, value in attributes.items():
        _checked(check_attribute, subject, name, value)
    if action != "insert" and (type(amount) is not int or amount < 1):
        raise InvalidOperation(f"{subject}: {action} takes a whole number from 1")
    return action, amount, attributes


def _insertion(at: int, content: Any, attributes: dict[str, Any], subject: str) -> Step:
    given = {name: value for name, value in attributes.items() if value is not None}
    if type(content) is dict:
        _checked(check_embed, subject, content)
        return Step("embed", at, content, given)
    if type(content) is not str or not content:
        raise InvalidOperation(f"{subject}: insert takes a text that is not empty, or an embed")
    try:
        size = len(content.encode())
    except UnicodeEncodeError:
        raise InvalidValue(f"{subject}: text with a lone surrogate is not Unicode") from None
    if size > limits.WRITE_BYTES_MAX:
        raise LimitExceeded(f"an insertion into {subject}", size, limits.WRITE_BYTES_MAX, "bytes")
    return Step("insert", at, content, given)


def _checked(check: Any, subject: str, *arguments: Any) -> None:
    try:
        check(*arguments)
    except InvalidValue as error:
        raise InvalidValue(f"{subject}: {error}") from None


def plan_list(items: Sequence[Any], steps: Sequence[Any], subject: str) -> list[Step]:
    """Return the steps of an edit of a list; raises InvalidOperation or InvalidValue."""
    current = list(items)
    planned: list[Step] = []
    for step in steps:
        for change in _list_changes(current, step, subject):
            at, content = change.at, change.content
            if change.action == "insert":
                current[at:at] = content
            else:
                del current[at : at + content]
            planned.append(change)
    return planned


def _list_changes(current: Sequence[Any], step: Any, subject: str) -> list[Step]:
    """Return the changes that one step makes to the items as they are."""
    if type(step) is not dict or len(step) != 2 or "at" not in step:
        raise InvalidOperation(
            f"{subject}: a step is a position 'at', and one of insert, delete and move"
        )
    (action,) = step.keys() - {"at"}
    at, argument = step["at"], step[action]
    length = len(current)
    if action == "insert":
        _check_position(at, length, subject)
        if type(argument) is not list or not argument:
            raise InvalidOperation(f"{subject}: insert takes a list of items")
        for item in argument:
            _check_item(item, 1, subject)
        return [Step("insert", at, argument)]
    if action == "delete":
        if type(argument) is not int or argument < 1:
            raise InvalidOperation(f"{subject}: delete takes a whole number from 1")
        _check_position(at, length - argument, subject)
        return [Step("delete", at, argument)]
    if action == "move":
        _check_position(at, length - 1, subject)
        _check_position(argument, length - 1, subject)
        if at == argument:
            return []
        return [Step("delete", at, 1), Step("insert", argument, [current[at]])]
    raise InvalidOperation(f"{subject}: {action!r} is none of insert, delete and move")


def _check_position(at: Any, last: int, subject: str) -> None:
    if type(at) is not int or not 0 <= at <= last:
        raise InvalidOperation(f"{subject}: position {at!r} is not within the list")


def _check_item(value: Any, depth: int, subject: str) -> None:
    """Check a list item: a JSON value or bytes, numbers as JavaScript has them."""
    if depth > limits.COLLABORATIVE_DEPTH_MAX:
        raise LimitExceeded(
            f"nesting in {subject}", depth, limits.COLLABORATIVE_DEPTH_MAX, "levels"
        )
    match value:
        case None | bool() | bytes():
            pass
        case int() if type(value) is int and abs(value) < 1 << 53:
            pass
        case float() if value - value == 0:
            pass
        case str():
            _check_text(value, subject)
        case list():
            for item in value:
                _check_item(item, depth + 1, subject)
        case dict():
            for name, item in value.items():
                _check_text(name, subject)
                _check_item(item, depth + 1, subject)
        case _:
            raise InvalidValue(
                f"{subject}: an item is a JSON value or bytes, and its integers have 53 bits"
            )


def _check_text(text: Any, subject: str) -> None:
    if type(text) is not str:
        raise InvalidValue(f"{subject}: the keys of a map are text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{subject}: text with a lone surrogate is not Unicode") from None
