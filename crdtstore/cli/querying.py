"""The commands query and export."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crdtstore import limits
from crdtstore.cli.asking import client_of
from crdtstore.cli.client import Client, RequestFailed
from crdtstore.cli.tables import print_json, print_table, show_bytes, show_value
from crdtstore.export.files import FORMATS
from crdtstore.replica.backups import new_file
from crdtstore.replica.exporting import ExportProgress, export_directory
from crdtstore.schema import Schema

QUERY_EPILOG = """\
WHERE is a filter in the language of SCIM: FIELD, an operator (eq ne co sw ew gt ge lt le pr) and a
value; and, or, not (...), parentheses. docs/queries.md has all of it.

examples:
  crdtstore query 'age ge 30 and city eq "Lyon"'
  crdtstore query 'tags eq "vip"' --order=-visits --limit 10
  crdtstore query 'not (email pr)' --count
  crdtstore query 'name sw "An"' --explain
"""

EXPORT_EPILOG = """\
examples:
  crdtstore export profiles.parquet
  crdtstore export profiles.jsonl --format jsonl
  crdtstore export profiles.parquet --data ./eu --schema eu.toml     its replica is stopped
"""

_WAYS = {
    "index": "by the index of {}",
    "order": "by the index of {}, in its order",
    "scan": "by looking at all profiles: no index fits",
    "totals": "by what the store knows",
}


def add_query_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore query``."""
    add = command.add_argument
    add("where", nargs="?", default="", metavar="WHERE", help="a filter; without one, all profiles")
    add("--order", metavar="FIELD", help="order by a field; --order=-FIELD is falling order")
    add("--after", metavar="NEXT", help="go on after a page: what it named as next")
    add("--count", action="store_true", help="print only how many there are")
    add("--explain", action="store_true", help="tell how it was answered")


def add_export_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore export``."""
    add = command.add_argument
    add("file", help="the file to make; it must not exist")
    add("--format", choices=FORMATS, default="parquet", help="what it is written as (parquet)")
    add("--data", metavar="DIRECTORY", help="export this directory, whose replica is stopped")
    add("--schema", metavar="FILE", help="with --data: the schema by which to read it")


def run_query(arguments: argparse.Namespace) -> int:
    """Show the profiles that a filter asks for, or how many there are."""
    client = client_of(arguments)
    explain = "true" if arguments.explain else None
    if arguments.count:
        counted = client.get("/v1/count", where=arguments.where, explain=explain)
        if arguments.json:
            print_json(counted)
        else:
            print(f"{counted['count']:,}")
            _tell([counted])
        return 0
    limit = arguments.limit or limits.PAGE_PROFILES_DEFAULT
    pages = list(_pages(client, arguments, limit, explain))
    profiles = [profile for page in pages for profile in page["profiles"]]
    if arguments.json:
        plan = {"plans": [page["plan"] for page in pages]} if arguments.explain else {}
        print_json({"profiles": profiles, "next": pages[-1]["next"], **plan})
        return 0
    rows = [
        (profile["id"], ", ".join(f"{f}={show_value(v)}" for f, v in profile["fields"].items()))
        for profile in profiles
    ]
    print_table(("ID", "FIELDS"), rows)
    _tell(pages)
    if pages[-1]["next"] is not None:
        print(f"there may be more: --after {pages[-1]['next']}")
    return 0


def _pages(
    client: Client, arguments: argparse.Namespace, limit: int, explain: str | None
) -> Iterable[dict[str, Any]]:
    """Yield pages until there are enough profiles: one may end early, without an index."""
    after = arguments.after
    while True:
        page = client.get(
            "/v1/profiles",
            where=arguments.where,
            order=arguments.order,
            after=after,
            limit=limit,
            explain=explain or ("false" if not arguments.where else None),
        )
        yield page
        limit -= len(page["profiles"])
        after = page["next"]
        if after is None or limit <= 0:
            return


def _tell(answers: list[dict[str, Any]]) -> None:
    for plan in (answer["plan"] for answer in answers if "plan" in answer):
        way = _WAYS[plan["way"]].format(" and ".join(plan["indexes"]))
        print(
            f"answered {way}; {plan['keys_read']:,} keys and {plan['profiles_read']:,} "
            "profiles were read"
        )


def run_export(arguments: argparse.Namespace) -> int:
    """Write all golden records of a server, or of the data directory of a stopped replica."""
    path = Path(arguments.file)
    if arguments.data is None:
        if arguments.schema is not None:
            raise RequestFailed("--schema goes with --data: a server reads by its own schema")
        with new_file(path) as file:
            client_of(arguments).download("/v1/export", file, format=arguments.format)
        told: dict[str, Any] = {}
    else:
        if arguments.url:
            raise RequestFailed("give --data for a stopped replica or --url for a running one")
        schema = Schema.load(arguments.schema) if arguments.schema else None
        steps = export_directory(arguments.data, path, arguments.format, schema)
        told = {"profiles": _followed(steps)}
    size_bytes = path.stat().st_size
    if arguments.json:
        print_json({"file": arguments.file, "bytes": size_bytes, **told})
    else:
        count = f"{told['profiles']:,} profiles, " if told else ""
        print(f"{arguments.file}: {count}{show_bytes(size_bytes)}")
    return 0


def _followed(steps: Iterable[ExportProgress]) -> int:
    """Show how far an export is on a terminal, until it ends; return the number of profiles."""
    profiles = 0
    is_shown = sys.stderr.isatty()
    for progress in steps:
        profiles = progress.profiles
        if is_shown:
            text = f"{progress.profiles:,} of {progress.of:,} profiles"
            if not profiles:
                text = f"looking at {progress.surveyed:,} of {progress.of:,} profiles"
            print(f"\r{text} ", end="", file=sys.stderr, flush=True)
    if is_shown:
        print(file=sys.stderr)
    return profiles
