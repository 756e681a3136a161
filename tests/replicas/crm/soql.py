"""As much of SOQL as the tests need: SELECT columns FROM type WHERE ... ORDER BY ... LIMIT n."""

import re
from typing import Any

_QUERY = re.compile(
    r"SELECT\s+(?P<columns>.+?)\s+FROM\s+(?P<type>\w+)"
    r"(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+ORDER BY\s+(?P<order>[\w, ]+?))?"
    r"(?:\s+LIMIT\s+(?P<limit>\d+))?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(
    r"\s*(\(|\)|,|>=|<=|!=|=|>|<|'(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\dT[\d:.]+Z|[\w.]+)"
)


class Malformed(Exception):
    """The query is not understood."""


def run(text: str, tables: dict[str, dict[str, dict[str, Any]]], columns_of: Any) -> Any:
    """Return (type, columns, rows), or the number for COUNT(); raises Malformed."""
    match = _QUERY.match(text.strip())
    if match is None or match["type"] not in tables:
        raise Malformed(f"unexpected token: {text[:60]}")
    rows = list(tables[match["type"]].values())
    if match["where"]:
        where = _Where(match["where"], columns_of(match["type"]))
        rows = [row for row in rows if where.holds(row)]
    if match["columns"].replace(" ", "").upper() == "COUNT()":
        return match["type"], None, rows
    for name in reversed([one.strip() for one in (match["order"] or "Id").split(",")]):
        rows.sort(key=lambda row: row[name])
    names = [one.strip() for one in match["columns"].split(",")]
    for name in names:
        if name not in columns_of(match["type"]):
            raise Malformed(f"No such column '{name}' on entity '{match['type']}'")
    return match["type"], names, rows[: int(match["limit"] or 10**9)]


class _Where:
    """A condition, read once: OR of ANDs of comparisons, with brackets."""

    def __init__(self, text: str, columns: set[str]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._columns = columns
        self._at = 0
        self._tree = self._any()
        if self._at != len(self._tokens):
            raise Malformed(f"unexpected token: {self._tokens[self._at]}")

    def holds(self, row: dict[str, Any]) -> bool:
        return _holds(self._tree, row)

    def _any(self) -> Any:
        parts = [self._all()]
        while self._peek().upper() == "OR":
            self._at += 1
            parts.append(self._all())
        return ("OR", parts)

    def _all(self) -> Any:
        parts = [self._one()]
        while self._peek().upper() == "AND":
            self._at += 1
            parts.append(self._one())
        return ("AND", parts)

    def _one(self) -> Any:
        if self._peek() == "(":
            self._at += 1
            tree = self._any()
            self._take(")")
            return tree
        name = self._take()
        if name not in self._columns:
            raise Malformed(f"No such column '{name}'")
        operator = self._take().upper()
        if operator == "IN":
            self._take("(")
            values = [self._literal()]
            while self._peek() == ",":
                self._at += 1
                values.append(self._literal())
            self._take(")")
            return ("IN", name, values)
        return (operator, name, self._literal())

    def _literal(self) -> Any:
        token = self._take()
        if token.startswith("'"):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token in ("true", "false"):
            return token == "true"
        return None if token == "null" else token.replace("Z", "+0000")

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        token = self._peek()
        if not token or (wanted and token != wanted):
            raise Malformed(f"unexpected token: {token or 'the end'}")
        self._at += 1
        return token


def _holds(tree: Any, row: dict[str, Any]) -> bool:
    if tree[0] in ("OR", "AND"):
        results = (_holds(part, row) for part in tree[1])
        return any(results) if tree[0] == "OR" else all(results)
    operator, name, value = tree
    have = row.get(name)
    if operator == "IN":
        return have in value
    if operator in ("=", "!="):
        return (have == value) == (operator == "=")
    if have is None:
        return False
    return {">": have > value, ">=": have >= value, "<": have < value, "<=": have <= value}[
        operator
    ]
