"""``crdtstore-crm``: the service, and what is asked of it while it runs."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crdtstore.errors import CrdtstoreError
from crdtstore.logs import LOG_FORMS, configure_logging
from replicas.crm import limits
from replicas.crm.configuration import CrmConfiguration, load_configuration
from replicas.crm.errors import CrmError
from replicas.embedding.asking import ask

_EPILOG = """\
examples:
  crdtstore-crm run --config crm.toml
  crdtstore-crm run --config crm.toml --dry-run      pull, and send nothing
  crdtstore-crm dry-run --config crm.toml            what would be sent now
  crdtstore-crm status --config crm.toml
  crdtstore-crm backfill --config crm.toml           load all records anew, with a progress bar
  crdtstore-crm dead-letters --config crm.toml
  crdtstore-crm dead-letters --config crm.toml --retry

All but run ask the service that runs with this configuration, at its own address.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        "crdtstore-crm",
        description="keep a CRM and a replica in step, in both directions",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _command(commands, "run", "run the service until a signal ends it", _run)
    run.add_argument("--dry-run", action="store_true", help="read the CRM, and send nothing")
    run.add_argument("--log-format", choices=LOG_FORMS, help="form of the log lines")
    _command(commands, "status", "show how each connection is doing", _status)
    _command(commands, "dry-run", "show what would be sent", _plan)
    backfill = _command(commands, "backfill", "load all records anew, and compare", _backfill)
    backfill.add_argument("--no-wait", action="store_true", help="do not wait for its end")
    letters = _command(commands, "dead-letters", "show what could not be done, or retry", _letters)
    letters.add_argument("--retry", action="store_true", help="try them again")
    letters.add_argument("--drop", action="store_true", help="forget those that --key names")
    letters.add_argument("--key", action="append", help="only this one (may be repeated)")
    return parser


def _command(commands: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("--config", type=Path, required=True, metavar="FILE")
    command.set_defaults(run=run)
    return command


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    arguments = build_parser().parse_args(words)
    try:
        configuration = load_configuration(arguments.config)
        code: int = arguments.run(configuration, arguments)
    except CrdtstoreError as error:
        print(f"crdtstore-crm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _run(configuration: CrmConfiguration, arguments: argparse.Namespace) -> int:
    from crdtstore.server import run_as_server
    from replicas.crm.service import serve

    form = arguments.log_format or configuration.log_format
    configure_logging(form, configuration.log_level)
    run_as_server(serve(configuration, is_dry=arguments.dry_run))
    return 0


def _status(configuration: CrmConfiguration, arguments: argparse.Namespace) -> int:
    print(json.dumps(ask(configuration, "/crm/status"), indent=2))
    return 0


def _plan(configuration: CrmConfiguration, arguments: argparse.Namespace) -> int:
    after = ""
    while True:
        answer = ask(configuration, f"/crm/plan?after={after}")
        for source, plan in answer.items():
            for edit in plan["edits"]:
                verb = (
                    "delete" if edit["is_deletion"] else "update" if edit["record_id"] else "make"
                )
                record = edit["record_id"] or "a new one"
                print(f"{source}: {verb} {edit['object']} {record} of profile {edit['profile_id']}")
                for name, value in edit["values"].items():
                    print(f"    {name} = {json.dumps(value, ensure_ascii=False)}")
        after = max((plan["next"] or "" for plan in answer.values()), default="")
        if not after:
            return 0


def _letters(configuration: CrmConfiguration, arguments: argparse.Namespace) -> int:
    if arguments.drop:
        if not arguments.key:
            raise CrmError("--drop needs --key: what is forgotten must be named")
        answer = ask(configuration, "/crm/dead-letters/drop", {"keys": arguments.key})
        print(f"{answer['dropped']} dropped")
        return 0
    if arguments.retry:
        body = {"keys": arguments.key} if arguments.key else {}
        answer = ask(configuration, "/crm/dead-letters/retry", body)
        print(f"{answer['retried']} tried again")
        return 0
    for source, letters in ask(configuration, "/crm/dead-letters").items():
        for letter in letters:
            if arguments.key and letter["key"] not in arguments.key:
                continue
            others = f", see {', '.join(letter['other_ids'])}" if letter["other_ids"] else ""
            print(f"{source} {letter['key']}: {letter['result']} {letter['code']}{others}")
            print(f"    {letter['message']}")
            print(f"    {letter['attempts']} times; {letter['advice']}")
    return 0


def _backfill(configuration: CrmConfiguration, arguments: argparse.Namespace) -> int:
    started = ask(configuration, "/crm/backfill", {})["started"]
    print(f"loading {', '.join(started)} anew")
    if not arguments.no_wait:
        _show_progress(configuration)
    return 0


def _show_progress(configuration: CrmConfiguration) -> None:
    from rich.progress import Progress

    with Progress() as bars:
        tasks: dict[str, Any] = {}
        while True:
            is_done = True
            for source, state in ask(configuration, "/crm/status").items():
                for name, numbers in state["progress"].items():
                    label = f"{source} {name}"
                    if label not in tasks:
                        tasks[label] = bars.add_task(label, total=None)
                    total, done = numbers["total"], numbers["done"]
                    bars.update(tasks[label], total=total, completed=done)
                    is_done = is_done and total is not None and done >= total
            if is_done:
                return
            time.sleep(limits.PROGRESS_S)


if __name__ == "__main__":
    sys.exit(main())
