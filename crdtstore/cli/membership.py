"""``crdtstore replicas``: who belongs to the space, and removing a replica from it for good."""

import argparse

from crdtstore.cli.asking import client_of
from crdtstore.cli.client import replica_path
from crdtstore.cli.tables import print_json, print_table


def run_list(arguments: argparse.Namespace) -> int:
    """Show every other replica of the space that the server knows, or that was removed."""
    answer = client_of(arguments).get("/v1/replicas")
    if arguments.json:
        print_json(answer)
        return 0
    rows = [
        (
            entry["name"],
            entry["origin"] or "?",
            entry["state"],
            entry["heard_at"][:23] or "never",
            f"{entry['lag_frames']:,}",
        )
        for entry in answer["replicas"]
    ]
    print_table(("REPLICA", "ORIGIN", "STATE", "HEARD (UTC)", "LAG"), rows)
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    """Remove a replica from the space for good."""
    answer = client_of(arguments).delete(replica_path(arguments.name))
    if arguments.json:
        print_json(answer)
    else:
        print(f"{answer['name']}: removed; its links are refused from now on")
    return 0
