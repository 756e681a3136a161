"""The command ``conflicts``: showing what lost without having been seen, and choosing."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from crdtstore.cli.asking import client_of
from crdtstore.cli.tables import print_json, print_table, show_value

EPILOG = """\
examples:
  crdtstore conflicts                                open ones, the oldest first
  crdtstore conflicts --profile ann --state all
  crdtstore conflicts choose 5f0c1d2e3b4a5968        the value that lost comes back
  crdtstore conflicts choose 5f0c1d2e3b4a5968 --kept what is there stays
"""

_COLUMNS = ("ID", "PROFILE", "FIELD", "SOURCE", "LOST", "BY", "KEPT", "BY", "AT (UTC)", "STATE")


def add_list_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore conflicts``."""
    command.add_argument("--profile", metavar="ID", help="only those of this profile")
    command.add_argument("--state", choices=("open", "settled", "all"), help="which (open)")
    command.add_argument("--after", metavar="NEXT", help="the page after this one")
    command.set_defaults(run=run_list)


def add_choose_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore conflicts choose``."""
    command.add_argument("id", help="id of the conflict")
    command.add_argument("--kept", action="store_true", help="choose what is there at present")
    command.set_defaults(run=run_choose)


def run_list(arguments: argparse.Namespace) -> int:
    """Show a page of conflicts."""
    page = client_of(arguments).get(
        "/v1/conflicts",
        profile=arguments.profile,
        state=arguments.state,
        after=arguments.after,
        limit=arguments.limit,
    )
    if arguments.json:
        print_json(page)
        return 0
    print_table(_COLUMNS, [_row(conflict) for conflict in page["conflicts"]])
    if page["next"] is not None:
        print(f"there may be more: --after {page['next']}")
    return 0


def run_choose(arguments: argparse.Namespace) -> int:
    """Settle a conflict."""
    path = f"/v1/conflicts/{quote(arguments.id, safe='')}/choose"
    body = {"choice": "kept" if arguments.kept else "lost"}
    conflict = client_of(arguments).post(path, body)
    if arguments.json:
        print_json(conflict)
    else:
        print_table(_COLUMNS, [_row(conflict)])
    return 0


def _row(conflict: Mapping[str, Any]) -> tuple[str, ...]:
    lost, kept = conflict["lost"], conflict["kept"]
    return (
        conflict["id"],
        conflict["profile"],
        conflict["field"],
        conflict["source"],
        show_value(lost["value"]),
        lost["replica"] or lost["origin"],
        show_value(kept["value"]),
        kept["replica"] or kept["origin"],
        kept["at"][:23],
        "open" if conflict["settled"] is None else "settled",
    )
