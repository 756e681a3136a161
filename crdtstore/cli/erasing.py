"""The command ``erasure``, and the verbs of ``person`` that erase and export."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from crdtstore.cli.asking import client_of
from crdtstore.cli.client import Client, RequestFailed
from crdtstore.cli.tables import print_json, print_line, print_table

EPILOG = """\
examples:
  crdtstore erasure                       all erasures
  crdtstore erasure ID                    which replicas have confirmed
  crdtstore erasure ID --report           the same in sentences, to hand over
  crdtstore erasure ID --lift             the identifiers may be written again
"""

_CONFIRMED = (
    "erased the profiles, and overwrote what its data directory had of them: documents, journal, "
    "indexes, and freed space"
)
_STATES = {
    "confirmed": _CONFIRMED,
    "cleaning": "erased the profiles, and has not confirmed yet that nothing older is left",
    "unheard": "has not said that it heard of the erasure",
    "removed": "was removed from the space before it confirmed",
}


def add_erasure_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore erasure``."""
    command.add_argument("id", nargs="?", help="the id of an erasure; without one, all of them")
    command.add_argument("--report", action="store_true", help="tell it in sentences")
    command.add_argument("--lift", action="store_true", help="let the identifiers come back")
    command.add_argument("--source", help="who lifts it (steward)")


def run_erasure(arguments: argparse.Namespace) -> int:
    """Show erasures, or one with its receipts; exit with 1 while a replica has not confirmed."""
    client = client_of(arguments)
    if arguments.id is None:
        return _list(client, arguments)
    path = f"/v1/erasures/{quote(arguments.id, safe='')}"
    if arguments.lift:
        body = {"source": arguments.source} if arguments.source else {}
        erasure = client.post(f"{path}/lift", body)
    else:
        erasure = client.get(path)
    show_erasure(arguments, erasure)
    return 0 if erasure["complete"] else 1


def erase_person(arguments: argparse.Namespace, person: Mapping[str, str | None]) -> int:
    """Erase a person, and show the erasure."""
    query = {**person, "source": arguments.source, "alone": "true" if arguments.alone else None}
    show_erasure(arguments, client_of(arguments).delete("/v1/persons", **query))
    return 0


def export_person(arguments: argparse.Namespace, person: Mapping[str, str | None]) -> int:
    """Print everything that is held on a person, as JSON."""
    print_json(client_of(arguments).get("/v1/persons/export", **person))
    return 0


def show_erasure(arguments: argparse.Namespace, erasure: Mapping[str, Any]) -> None:
    """Show one erasure."""
    if arguments.json:
        print_json(erasure)
    elif getattr(arguments, "report", False):
        _report(erasure)
    else:
        rows = [(each["name"], each["state"], each["at"] or "") for each in erasure["replicas"]]
        print_table(("REPLICA", "STATE", "SINCE"), rows, f"erasure {erasure['id']}")
        print_line(_asked(erasure))


def _report(erasure: Mapping[str, Any]) -> None:
    print_line(f"Erasure {erasure['id']}")
    print_line(_asked(erasure))
    if erasure["profiles"]:
        print_line(f"Profiles: {', '.join(erasure['profiles'])}")
    if erasure["lifted_by"]:
        print_line(f"Lifted by {erasure['lifted_by']}: its identifiers may be written again.")
    for replica in erasure["replicas"]:
        since = f" ({replica['at']})" if replica["at"] else ""
        print_line(f"- {replica['name']} {_STATES[replica['state']]}{since}.")
    count = sum(each["state"] == "confirmed" for each in erasure["replicas"])
    print_line(f"{count} of {len(erasure['replicas'])} replicas have confirmed.")
    print_line("Backups that were taken before, and what others made of the data, are not covered.")


def _asked(erasure: Mapping[str, Any]) -> str:
    return (
        f"Asked for by {erasure['source']} at {erasure['at']}, by {erasure['kind']}: "
        f"{len(erasure['profiles'])} profiles, {erasure['suppressed']} identifiers suppressed."
    )


def _list(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.report or arguments.lift:
        raise RequestFailed("which erasure? give its id")
    erasures: list[Mapping[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = client.get("/v1/erasures", after=after)
        erasures += page["erasures"]
        after = page["next"]
    if arguments.json:
        print_json(erasures)
        return 0
    rows = []
    for erasure in erasures:
        states = [replica["state"] for replica in erasure["replicas"]]
        confirmed = f"{states.count('confirmed')} of {len(states)}"
        rows.append((erasure["id"], erasure["kind"], erasure["at"], erasure["source"], confirmed))
    print_table(("ERASURE", "BY", "AT", "SOURCE", "CONFIRMED"), rows)
    return 0
