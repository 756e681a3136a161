"""``crdtstore``: the console script."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from crdtstore.cli import (
    asking,
    backing,
    conflicts,
    erasing,
    membership,
    querying,
    serve,
    stewarding,
    texting,
)
from crdtstore.cli.client import RequestFailed
from crdtstore.cli.fields import add_field_arguments
from crdtstore.errors import CrdtstoreError

_EPILOG = """\
examples:
  crdtstore demo                                     three replicas on this machine, with real data
  crdtstore serve --name eu --data ./eu              one replica at http://127.0.0.1:8401
  crdtstore put ann --source crm email=ann@example.com --add tags=vip
  crdtstore get ann
  crdtstore explain ann --field email
  crdtstore query 'age ge 30 and city eq "Lyon"' --order=-age
  crdtstore text ann notes --insert 0 "Hello" --source crm
  crdtstore person find email:ann@example.com
  crdtstore conflicts                                what lost without having been seen
  crdtstore changes --follow
  crdtstore verify --peer http://127.0.0.1:8402
  crdtstore verify --repair us                       heal what differs from replica us
  crdtstore replicas remove old                      never to be linked with again
  crdtstore backup eu.backup
  crdtstore restore eu.backup ./eu-restored
  crdtstore export profiles.parquet                  for DuckDB, Polars and the like

Commands that ask a server take its address from --url or CRDTSTORE_URL (http://127.0.0.1:8401),
and its token from --token-file or CRDTSTORE_TOKEN. Exit codes: 0 done, 1 refused or failed,
2 wrong usage.
"""

_PUT_EPILOG = """\
FIELD=TEXT writes text, whatever it looks like; FIELD:=JSON writes any JSON value.

examples:
  crdtstore put ann --source crm email=ann@example.com phone=5551234
  crdtstore put ann --source crm age:=41 newsletter:=true 'address:={"city": "Lyon"}'
  crdtstore put ann --source cdp --add tags=vip --remove tags=lead --increment logins
  crdtstore put ann --source web --revoke marketing --clear phone
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    words = sys.argv[1:] if words is None else words
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = parse(words)
        code: int = arguments.run(arguments)
    except (CrdtstoreError, RequestFailed) as error:
        print(f"crdtstore: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except UnicodeEncodeError:
        print("crdtstore: an argument is not UTF-8 text", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("crdtstore: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line; wrong usage ends the program with code 2.

    The fields of put may stand before, between and after its flags, which argparse alone would
    not allow.
    """
    parser = build_parser(with_demo="demo" in words[:1])
    arguments, extra = parser.parse_known_args(words)
    if extra:
        if "fields" not in arguments or any(word.startswith("-") for word in extra):
            parser.error(f"unrecognized arguments: {' '.join(extra)}")
        arguments.fields += extra
    return arguments


def build_parser(*, with_demo: bool = True) -> argparse.ArgumentParser:
    """Return the parser of every command; the demo's own code is loaded only when asked for."""
    parser = argparse.ArgumentParser(
        prog="crdtstore",
        description="A replicated store of customer profiles.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_reading(commands)
    _add_querying(commands)
    _add_put(commands)
    _add_text(commands)
    _add_person(commands)
    _add_conflicts(commands)
    _add_watching(commands)
    _add_membership(commands)
    _add_backing(commands)
    _add_demo(commands, is_wanted=with_demo)
    return parser


Commands = argparse._SubParsersAction  # the type has no public name


def _command(
    commands: "Commands[argparse.ArgumentParser]", name: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=epilog or None,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _asking(
    commands: "Commands[argparse.ArgumentParser]", name: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    command = _command(commands, name, text, epilog)
    _add_asking_flags(command)
    return command


def _add_asking_flags(command: argparse.ArgumentParser, **options: Any) -> None:
    add = command.add_argument
    add("--url", help="the server to ask (CRDTSTORE_URL, http://127.0.0.1:8401)", **options)
    add("--token-file", metavar="FILE", help="file with the API token", **options)
    add("--json", action="store_true", help="print JSON for machines", **options)


def _add_serve(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _command(commands, "serve", "serve one replica over HTTP", serve.EPILOG)
    serve.add_arguments(command)
    command.set_defaults(run=serve.run)


def _add_reading(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _asking(commands, "get", "show a profile, or list all of them")
    command.add_argument("id", nargs="?", help="profile id; without one, a page of all profiles")
    command.add_argument("--after", metavar="ID", help="list profiles after this id")
    command.add_argument("--limit", type=_positive, help="how many to list (100)")
    command.set_defaults(run=asking.run_get)
    command = _asking(commands, "explain", "show what every source says, and which rule chose")
    command.add_argument("id", help="profile id")
    command.add_argument("--field", help="only this field")
    command.set_defaults(run=asking.run_explain)


def _add_querying(commands: "Commands[argparse.ArgumentParser]") -> None:
    text = "show the profiles that a filter asks for"
    command = _asking(commands, "query", text, querying.QUERY_EPILOG)
    querying.add_query_arguments(command)
    command.add_argument("--limit", type=_positive, help="how many to show (100)")
    command.set_defaults(run=querying.run_query)
    text = "write all golden records into a file, for those who analyse them"
    command = _asking(commands, "export", text, querying.EXPORT_EPILOG)
    querying.add_export_arguments(command)
    command.set_defaults(run=querying.run_export)


def _add_put(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _asking(commands, "put", "write what a source says about a profile", _PUT_EPILOG)
    command.add_argument("id", help="profile id; the profile is made if it is not known")
    add_field_arguments(command)
    command.add_argument("--source", help="the system that says so (CRDTSTORE_SOURCE)")
    command.add_argument("--if-version", metavar="VERSION", help="write only at this version")
    command.set_defaults(run=asking.run_put)


def _add_text(commands: "Commands[argparse.ArgumentParser]") -> None:
    text = "show or edit a collaborative text or list"
    command = _asking(commands, "text", text, texting.EPILOG)
    texting.add_text_arguments(command)
    command.set_defaults(run=texting.run_text)


def _add_person(commands: "Commands[argparse.ArgumentParser]") -> None:
    text = "find, show, merge, part, erase and export persons"
    command = _asking(commands, "person", text, stewarding.EPILOG)
    stewarding.add_person_arguments(command)
    command.set_defaults(run=stewarding.run_person)
    text = "show erasures, and which replicas have confirmed them"
    command = _asking(commands, "erasure", text, erasing.EPILOG)
    erasing.add_erasure_arguments(command)
    command.set_defaults(run=erasing.run_erasure)


def _add_conflicts(commands: "Commands[argparse.ArgumentParser]") -> None:
    text = "show what lost without having been seen, or choose"
    command = _asking(commands, "conflicts", text, conflicts.EPILOG)
    command.add_argument("--limit", type=_positive, help="how many (100)")
    conflicts.add_list_arguments(command)
    actions = command.add_subparsers(title="actions", metavar="ACTION")
    choose = _command(actions, "choose", "settle a conflict by writing one of its values anew")
    _add_asking_flags(choose, default=argparse.SUPPRESS)  # those before the action stand
    conflicts.add_choose_arguments(choose)


def _add_watching(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _asking(commands, "changes", "show what changed, in order")
    command.add_argument("--since", metavar="CURSOR", help='a cursor, or "end" for later changes')
    command.add_argument("--limit", type=_positive, help="how many (1,000)")
    command.add_argument("--follow", action="store_true", help="go on with later changes")
    command.add_argument("--persons", action="store_true", help="name the persons touched, too")
    command.set_defaults(run=asking.run_changes)
    command = _asking(commands, "status", "show what a replica holds, and its peers")
    command.set_defaults(run=asking.run_status)
    command = _asking(
        commands, "verify", "check every record of a replica, and compare it with others"
    )
    command.add_argument(
        "--peer", metavar="URL", dest="peers", action="append", default=[],
        help="compare with this replica too (may be repeated)",
    )  # fmt: skip
    command.add_argument(
        "--wait", metavar="SECONDS", dest="wait_s", type=float, default=0.0,
        help="give the replicas so long to become equal (0)",
    )  # fmt: skip
    command.add_argument(
        "--repair", metavar="PEER",
        help="first compare all documents with this linked peer's (its name, or its address as "
        "configured there), and heal those that differ",
    )  # fmt: skip
    command.set_defaults(run=asking.run_verify)


def _add_membership(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _asking(commands, "replicas", "show the other replicas of the space, or remove one")
    command.set_defaults(run=membership.run_list)
    actions = command.add_subparsers(title="actions", metavar="ACTION")
    text = "remove a replica from the space for good; what it wrote stays"
    remove = _command(actions, "remove", text)
    _add_asking_flags(remove, default=argparse.SUPPRESS)  # those before the action stand
    remove.add_argument("name", help="name of the replica")
    remove.set_defaults(run=membership.run_remove)


def _add_backing(commands: "Commands[argparse.ArgumentParser]") -> None:
    command = _asking(commands, "backup", "write a backup of a replica, running or stopped")
    backing.add_backup_arguments(command)
    command.set_defaults(run=backing.run_backup)
    command = _command(commands, "restore", "make a data directory of a backup, after checking it")
    backing.add_restore_arguments(command)
    command.set_defaults(run=backing.run_restore)


def _add_demo(commands: "Commands[argparse.ArgumentParser]", *, is_wanted: bool) -> None:
    command = _command(commands, "demo", "run three replicas on this machine, with real data")
    if is_wanted:
        from crdtstore.demo.run import add_arguments, run

        add_arguments(command)
        command.set_defaults(run=run)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
