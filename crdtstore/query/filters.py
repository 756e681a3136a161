"""Filters: the filter language of SCIM (RFC 7644, 3.4.2.2), parsed.

    age ge 30 and (city eq "Lyon" or city sw "Par") and not (email pr)

A filter is comparisons, put together with ``and``, ``or``, ``not (...)`` and parentheses; ``not``
binds closest, then ``and``. A comparison is a field, an operator and a JSON value. What differs
from the standard: names of fields are compared exactly, as they are here; they may have any number
of dots; and one that the grammar cannot write stands in double quotes. Filters of complex values
(``emails[type eq "work"]``) are not understood.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from crdtstore import limits
from crdtstore.names import is_name
from crdtstore.query import bounds
from crdtstore.query.refusals import InvalidFilter

Literal: TypeAlias = str | int | float | bool | None

EQUALITY: Final = ("eq", "ne")
ORDERING: Final = ("gt", "ge", "lt", "le")
TEXT_PARTS: Final = ("co", "sw", "ew")
OPERATORS: Final = (*EQUALITY, *TEXT_PARTS, *ORDERING, "pr")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field, an operator of OPERATORS but ``pr``, and what it is compared with."""

    field: str
    operator: str
    value: Literal


@dataclass(frozen=True, slots=True)
class Presence:
    """The field has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class Negation:
    """The filter inside does not hold."""

    inner: "Filter"


@dataclass(frozen=True, slots=True)
class Conjunction:
    """All parts hold."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """At least one part holds."""

    parts: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Presence | Negation | Conjunction | Disjunction

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<mark>[()\[\]])
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<word>[^\s()\[\]"]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:$-]*")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_filter(text: str) -> Filter:
    """Return the filter that a text says; raises InvalidFilter, which says where it is wrong."""
    _check_length(text, "a filter")
    reader = _Reader(text)
    found = reader.disjunction(0)
    if (token := reader.peek()) is not None:
        raise reader.unexpected("'and', 'or' or the end", token)
    return found


def fields_of(wanted: Filter) -> frozenset[str]:
    """Return the fields that a filter names."""
    match wanted:
        case Comparison(field, _, _) | Presence(field):
            return frozenset((field,))
        case Negation(inner):
            return fields_of(inner)
        case Conjunction(parts) | Disjunction(parts):
            return frozenset().union(*map(fields_of, parts))


def parse_order(text: str) -> tuple[str, bool]:
    """Return the field of an order such as ``age`` or ``-age``, and whether it is descending.

    Raises InvalidFilter.
    """
    _check_length(text, "an order")
    is_down = text.startswith("-")
    name = text[1:] if is_down else text
    if name.startswith('"'):
        name = _unquoted(name, int(is_down))
    if not is_name(name, limits.FIELD_NAME_BYTES_MAX):
        raise InvalidFilter(
            f"order is the name of a field, with a - before it if it descends, not {text[:80]!r}"
        )
    return name, is_down


class _Reader:
    """The tokens of a filter, read by descent; depth and number of terms are bounded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0
        self._terms = 0

    def peek(self) -> _Token | None:
        """Return the next token, None at the end."""
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def disjunction(self, depth: int) -> Filter:
        """Read parts with ``or`` between them."""
        parts = [self._conjunction(depth)]
        while self._take_word("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Disjunction(tuple(parts))

    def _conjunction(self, depth: int) -> Filter:
        parts = [self._term(depth)]
        while self._take_word("and"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Conjunction(tuple(parts))

    def _term(self, depth: int) -> Filter:
        token = self.peek()
        if token is None:
            raise self.unexpected("a field, 'not' or '('", None)
        following = self._tokens[self._place + 1] if self._place + 1 < len(self._tokens) else None
        is_negated = token.kind == "word" and token.text.lower() == "not"
        if is_negated and (following is None or following.text != "("):
            raise self.unexpected("'(' after 'not'", following)
        if is_negated:
            self._place += 1
            return Negation(self._in_parentheses(depth))
        if token.text == "(" and token.kind == "mark":
            return self._in_parentheses(depth)
        return self._comparison()

    def _in_parentheses(self, depth: int) -> Filter:
        opened = self.peek()
        assert opened is not None
        if depth >= bounds.FILTER_DEPTH_MAX:
            raise InvalidFilter(
                f"where, at character {opened.position + 1}: more than {bounds.FILTER_DEPTH_MAX} "
                "parentheses inside one another",
                opened.position,
            )
        self._place += 1
        inner = self.disjunction(depth + 1)
        token = self.peek()
        if token is None or token.text != ")":
            raise self.unexpected("')'", token)
        self._place += 1
        return inner

    def _comparison(self) -> Filter:
        self._terms += 1
        token = self.peek()
        if self._terms > bounds.FILTER_TERMS_MAX:
            raise InvalidFilter(f"where has more than {bounds.FILTER_TERMS_MAX} comparisons")
        field = self._field()
        operator = self._operator()
        if operator == "pr":
            return Presence(field)
        assert token is not None
        return self._compared(field, operator)

    def _field(self) -> str:
        token = self.peek()
        if token is None or token.kind == "mark":
            raise self.unexpected("a field", token)
        self._place += 1
        if token.kind == "text":
            name = _unquoted(token.text, token.position)
        elif _NAME.fullmatch(token.text):
            name = token.text
        else:
            raise self.unexpected("a field (in double quotes if its name is unusual)", token)
        if not is_name(name, limits.FIELD_NAME_BYTES_MAX):
            raise self.unexpected("the name of a field", token)
        return name

    def _operator(self) -> str:
        token = self.peek()
        operator = "" if token is None or token.kind != "word" else token.text.lower()
        if operator not in OPERATORS:
            raise self.unexpected(f"an operator ({', '.join(OPERATORS)})", token)
        self._place += 1
        return operator

    def _compared(self, field: str, operator: str) -> Filter:
        token = self.peek()
        if token is None or token.kind == "mark":
            raise self.unexpected("a value: text in double quotes, a number, true, false", token)
        self._place += 1
        value = self._value(token)
        if value is None and operator in EQUALITY:
            present = Presence(field)
            return present if operator == "ne" else Negation(present)
        if operator in TEXT_PARTS and type(value) is not str:
            raise self.unexpected(f"text in double quotes after {operator}", token)
        if operator in ORDERING and (value is None or type(value) is bool):
            raise self.unexpected(f"text or a number after {operator}", token)
        return Comparison(field, operator, value)

    def _value(self, token: _Token) -> Literal:
        if token.kind == "text":
            return _unquoted(token.text, token.position)
        if token.text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token.text]
        match = _NUMBER.fullmatch(token.text)
        if match is None or len(token.text) > bounds.NUMBER_DIGITS_MAX:
            raise self.unexpected("a value: text in double quotes, a number, true, false", token)
        if match["rest"] is None and match["power"] is None:
            return int(token.text)
        number = float(token.text)
        if not math.isfinite(number):
            raise self.unexpected("a number that a float can hold", token)
        return number

    def _take_word(self, word: str) -> bool:
        token = self.peek()
        if token is None or token.kind != "word" or token.text.lower() != word:
            return False
        self._place += 1
        return True

    def unexpected(self, wanted: str, token: _Token | None) -> InvalidFilter:
        """Return the error that something else was expected at a token, or at the end."""
        if token is None:
            position = len(self._text)
            return InvalidFilter(
                f"where, at its end (character {position + 1}): expected {wanted}", position
            )
        if token.text == "[":
            wanted += "; filters in brackets are not understood here"
        return InvalidFilter(
            f"where, at character {token.position + 1}: expected {wanted}, not {token.text[:40]!r}",
            token.position,
        )


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            raise InvalidFilter(
                f"where, at character {at + 1}: this text in double quotes never ends", at
            )
        kind = match.lastgroup
        assert kind is not None
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return tokens


def _unquoted(text: str, position: int) -> str:
    try:
        value = json.loads(text)
        value.encode()
    except (ValueError, UnicodeEncodeError, AttributeError, RecursionError):
        raise InvalidFilter(
            f"at character {position + 1}: {text[:40]!r} is not text as JSON writes it", position
        ) from None
    assert isinstance(value, str)
    return value


def _check_length(text: str, what: str) -> None:
    if type(text) is not str:
        raise InvalidFilter(f"{what} is text, not a {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidFilter(f"{what} is Unicode text, without lone surrogates") from None
    if size > bounds.FILTER_BYTES_MAX:
        raise InvalidFilter(f"{what} has {size:,} bytes; the limit is {bounds.FILTER_BYTES_MAX:,}")
