"""Fields of ``crdtstore put``: from words on a command line to operations.

``FIELD=TEXT`` writes text, whatever it looks like: a phone number stays one. ``FIELD:=JSON`` writes
any JSON value. Operations have flags of their own, so no value can be mistaken for one.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from crdtstore.cli.client import RequestFailed


def fields_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the body that the arguments of put mean; raises RequestFailed."""
    fields: dict[str, Any] = {}
    for word in arguments.fields:
        field, value = _assignment(word, "FIELD=TEXT or FIELD:=JSON")
        # {"set": ...} writes any value as it stands, even one that looks like an operation
        _note(fields, field, {"set": value} if isinstance(value, dict) else value)
    for name in ("add", "remove"):
        for word in getattr(arguments, name):
            field, element = _assignment(word, f"--{name} FIELD=ELEMENT")
            edit = fields.setdefault(field, {})
            if not isinstance(edit, dict) or not edit.keys() <= {"add", "remove"}:
                raise RequestFailed(f"field {field!r} is given twice")
            edit.setdefault(name, []).append(element)
    for name in ("increment", "decrement"):
        for word in getattr(arguments, name):
            field, amount = _amount(word, name)
            _note(fields, field, {name: amount})
    for name in ("grant", "revoke"):
        for field in getattr(arguments, name):
            _note(fields, field, {name: True})
    for field in arguments.clear:
        _note(fields, field, None)
    if not fields:
        raise RequestFailed("put needs something to write; crdtstore put --help has examples")
    return fields


def add_field_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that fields_of reads."""
    parser.add_argument(
        "fields", nargs="*", metavar="FIELD=TEXT", help="text as it is; FIELD:=JSON for any value"
    )
    for name, metavar, text in (
        ("add", "FIELD=ELEMENT", "add an element to a set"),
        ("remove", "FIELD=ELEMENT", "remove an element from a set"),
        ("increment", "FIELD[=N]", "add 1, or N, to a counter"),
        ("decrement", "FIELD[=N]", "subtract 1, or N, from a counter"),
        ("grant", "FIELD", "give consent"),
        ("revoke", "FIELD", "withdraw consent"),
        ("clear", "FIELD", "withdraw this source's value"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)


def _note(fields: dict[str, Any], field: str, value: Any) -> None:
    if field in fields:
        raise RequestFailed(f"field {field!r} is given twice")
    fields[field] = value


def _assignment(word: str, form: str) -> tuple[str, Any]:
    field, separator, text = word.partition("=")
    if not separator or not field or field == ":":
        raise RequestFailed(f"{word!r} is not {form}")
    if not field.endswith(":"):
        return field, text
    try:
        return field[:-1], json.loads(
            text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError:
        raise RequestFailed(f"{word[:80]!r}: lists and maps are nested too deeply") from None
    except ValueError as error:
        raise RequestFailed(
            f"{word[:80]!r}: what follows := is not JSON ({error}); "
            f"for text write {field[:-1][:80]}=TEXT"
        ) from error


def _amount(word: str, name: str) -> tuple[str, int | float]:
    field, separator, text = word.partition("=")
    if not separator:
        return field, 1
    for kind in (int, float):
        try:
            amount = kind(text)
            if math.isfinite(amount):
                return field, amount
        except (ValueError, OverflowError):
            continue
    raise RequestFailed(f"--{name} {word[:80]}: {text[:80]!r} is not a number")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a map has a key twice")
    return document


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:40])


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
