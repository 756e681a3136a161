"""``crdtstore text``: show a collaborative field, its history, and edit it."""

import argparse
import json
import os
from typing import Any, Final
from urllib.parse import quote

from crdtstore.cli.asking import client_of
from crdtstore.cli.client import Client, RequestFailed, profile_path
from crdtstore.cli.tables import print_json, print_line, print_table

EPILOG: Final = """\
Positions begin at 0 and count characters, or items of a list. An item is JSON, or text if it is
none. One command makes one edit.

examples:
  crdtstore text ann notes
  crdtstore text ann notes --insert 0 "Hello " --source crm
  crdtstore text ann notes --delete 0 6 --source crm
  crdtstore text ann notes --format 0 5 bold=true --source crm
  crdtstore text ann tasks --insert-item 0 "call back" --source crm
  crdtstore text ann tasks --move-item 0 3 --source crm
  crdtstore text ann notes --history
"""


def add_text_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = command.add_argument
    add("id", help="profile id")
    add("field", help="field of kind text or list")
    add("--delta", action="store_true", help="show a text as a rich-text delta")
    add("--history", action="store_true", help="show the newest edits")
    add("--source", help="the system that edits (CRDTSTORE_SOURCE)")
    edits = command.add_mutually_exclusive_group()
    add = edits.add_argument
    add("--insert", nargs=2, metavar=("AT", "TEXT"), help="insert text")
    add("--delete", nargs=2, metavar=("AT", "LENGTH"), help="delete text")
    add(
        "--format", nargs=3, metavar=("AT", "LENGTH", "NAME=JSON"),
        help="format text; null takes an attribute away",
    )  # fmt: skip
    add("--insert-item", nargs=2, metavar=("AT", "ITEM"), help="insert an item into a list")
    add("--delete-item", nargs=1, metavar="AT", help="delete an item of a list")
    add("--move-item", nargs=2, metavar=("AT", "TO"), help="move an item of a list")


def run_text(arguments: argparse.Namespace) -> int:
    """Show a collaborative field, or edit it."""
    client = client_of(arguments)
    operation = _operation_of(arguments)
    if operation is not None:
        return _edit(client, arguments, operation)
    path = f"{profile_path(arguments.id)}/texts/{quote(arguments.field, safe='')}"
    answer = client.get(path + "/history" if arguments.history else path)
    if arguments.json:
        print_json(answer)
    elif arguments.history:
        _print_history(answer)
    elif answer["kind"] == "list" or arguments.delta:
        for part in answer.get("delta", answer["value"]):
            print_line(json.dumps(part, ensure_ascii=False))
    else:
        print(answer["value"])
    return 0


def _operation_of(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return the edit that the arguments ask for, None if they ask for none."""
    if arguments.insert:
        at, text = arguments.insert
        return _text_edit(at, {"insert": text})
    if arguments.delete:
        at, length = arguments.delete
        return _text_edit(at, {"delete": _number(length)})
    if arguments.format:
        at, length, assignment = arguments.format
        name, _, value = assignment.partition("=")
        attributes = {name: _json_or_text(value)}
        return _text_edit(at, {"retain": _number(length), "attributes": attributes})
    if arguments.insert_item:
        at, item = arguments.insert_item
        return {"edit_list": [{"at": _number(at), "insert": [_json_or_text(item)]}]}
    if arguments.delete_item:
        return {"edit_list": [{"at": _number(arguments.delete_item[0]), "delete": 1}]}
    if arguments.move_item:
        at, to = arguments.move_item
        return {"edit_list": [{"at": _number(at), "move": _number(to)}]}
    return None


def _text_edit(at: str, operation: dict[str, Any]) -> dict[str, Any]:
    place = _number(at)
    return {"edit_text": [{"retain": place}, operation] if place else [operation]}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RequestFailed(f"{text!r} is not a whole number from 0")
    return int(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _edit(client: Client, arguments: argparse.Namespace, operation: dict[str, Any]) -> int:
    source = arguments.source or os.environ.get("CRDTSTORE_SOURCE")
    if not source:
        raise RequestFailed("who edits? give --source, or set CRDTSTORE_SOURCE")
    body = {"source": source, "fields": {arguments.field: operation}}
    result = client.patch(profile_path(arguments.id), body, {})
    if arguments.json:
        print_json(result)
    else:
        what = "edited" if result["changed"] else "nothing to do"
        print_line(f"{result['id']}: {what}; now {result['version']}")
    return 0


def _print_history(answer: dict[str, Any]) -> None:
    rows = [
        (
            edit["at"][:23],
            edit["source"],
            edit["replica"] or edit["origin"],
            f"{edit['inserted']:,}",
            f"{edit['deleted']:,}",
        )
        for edit in answer["edits"]
    ]
    columns = ("AT (UTC)", "SOURCE", "REPLICA", "INSERTED", "DELETED")
    print_table(columns, rows, f"{answer['id']}  {answer['field']}")
