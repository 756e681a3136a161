"""The command ``person``: finding and showing persons, and what stewards decide."""

import argparse
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from crdtstore.cli.asking import client_of, print_candidates
from crdtstore.cli.client import RequestFailed
from crdtstore.cli.erasing import erase_person, export_person
from crdtstore.cli.tables import print_json, print_line, print_table, show_value

EPILOG = """\
examples:
  crdtstore person find email:ann@example.com
  crdtstore person show crm-17
  crdtstore person explain crm-17 --field name
  crdtstore person suggest linkage.toml --limit 20   pairs that may be of one person
  crdtstore person merge crm-17 cdp-4711
  crdtstore person unmerge crm-17 cdp-4711           and what is bound to each
  crdtstore person unmerge crm-17                    from all others of its person
  crdtstore person not-match crm-17 cdp-4711
  crdtstore person pin crm-17 name=Ann               name:=null ends it
  crdtstore person ignore crm-17 name --of crm
  crdtstore person erase email:ann@example.com       for good, on every replica
  crdtstore person erase --profile crm-17            the person of this profile
  crdtstore person export email:ann@example.com      everything held on her, as JSON
"""

_VERBS = (
    "find", "show", "explain", "suggest",
    "merge", "unmerge", "not-match", "pin", "ignore", "regard",
    "erase", "export",
)  # fmt: skip
_SUGGESTIONS = 20
_DROPPED_SHOWN = 20


def add_person_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``crdtstore person``."""
    command.add_argument("verb", choices=_VERBS, metavar="VERB", help=", ".join(_VERBS))
    command.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="an identifier, profile ids, a field, or a file",
    )
    command.add_argument("--field", help="explain only this field")
    command.add_argument("--of", metavar="SOURCE", help="the source of a candidate to ignore")
    command.add_argument("--source", help="who decides (steward)")
    command.add_argument("--profile", metavar="ID", help="erase or export this profile's person")
    command.add_argument("--alone", action="store_true", help="erase this profile only")
    command.add_argument(
        "--limit", type=int, default=_SUGGESTIONS, help=f"how many to suggest ({_SUGGESTIONS})"
    )


def run_person(arguments: argparse.Namespace) -> int:
    """Find or show a person, or decide something about one."""
    client, verb, words = client_of(arguments), arguments.verb, arguments.words
    if verb in ("erase", "export"):
        run = erase_person if verb == "erase" else export_person
        return run(arguments, _named(arguments))
    if not words:
        raise RequestFailed(f"person {verb} of whom? see person --help")
    if verb == "suggest":
        from crdtstore.cli.suggesting import run_suggest

        (rules_file,) = _exactly(arguments, 1)
        return run_suggest(arguments, rules_file)
    if verb == "find":
        (identifier,) = _exactly(arguments, 1)
        return _show(arguments, client.get("/v1/persons", identifier=identifier))
    if verb in ("show", "explain"):
        (profile_id,) = _exactly(arguments, 1)
        path = f"/v1/persons/{quote(profile_id, safe='')}"
        if verb == "show":
            return _show(arguments, client.get(path))
        answer = client.get(path + "/explain", field=arguments.field)
        if arguments.json:
            print_json(answer)
        else:
            print_candidates(answer, with_profile=True)
        return 0
    body: dict[str, Any]
    if verb == "pin":
        profile_id, assignment = _exactly(arguments, 2)
        field, value = _assigned(assignment)
        body = {"profile": profile_id, "field": field, "value": value}
    elif verb in ("ignore", "regard"):
        profile_id, field = _exactly(arguments, 2)
        if arguments.of is None:
            raise RequestFailed("whose candidate? give --of SOURCE")
        body = {"profile": profile_id, "field": field, "of": arguments.of}
    else:
        body = {"profiles": words}
    if arguments.source is not None:
        body["source"] = arguments.source
    return _show(arguments, client.post(f"/v1/persons/{verb}", body))


def _show(arguments: argparse.Namespace, person: Mapping[str, Any]) -> int:
    if arguments.json:
        print_json(person)
        return 0
    rows = [(field, show_value(value)) for field, value in person["fields"].items()]
    print_table(("FIELD", "VALUE"), rows, f"{person['id']}  version {person['version']}")
    print_line(f"profiles: {', '.join(person['profiles'])}")
    dropped = person["dropped"]
    for link in dropped[:_DROPPED_SHOWN]:
        ends = " - ".join(filter(None, (link["profile"], link["other"])))
        print_line(f"dropped: {link['identifier']} of {ends}: {link['reason']}")
    if len(dropped) > _DROPPED_SHOWN:
        print_line(f"and {len(dropped) - _DROPPED_SHOWN:,} more dropped: --json shows them")
    for other in person.get("others", ()):
        print_line(f"held by person {other} too")
    return 0


def _named(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Return the person that a command line names, as the server takes it."""
    if arguments.profile is not None and not arguments.words:
        return {"profile": arguments.profile}
    if arguments.profile is not None or arguments.alone:
        raise RequestFailed("give an identifier or --profile ID; --alone goes with --profile")
    (identifier,) = _exactly(arguments, 1)
    return {"identifier": identifier}


def _exactly(arguments: argparse.Namespace, count: int) -> list[str]:
    words: list[str] = arguments.words
    if len(words) != count:
        told = "one word" if count == 1 else f"{count} words"
        raise RequestFailed(f"person {arguments.verb} takes {told}; see person --help")
    return words


def _assigned(word: str) -> tuple[str, Any]:
    field, separator, text = word.partition("=")
    if not separator:
        raise RequestFailed(f"{word!r} is not FIELD=TEXT or FIELD:=JSON")
    if not field.endswith(":"):
        return field, text
    try:
        return field[:-1], json.loads(text)
    except ValueError as error:
        raise RequestFailed(f"{word!r}: what follows := is not JSON ({error})") from error
