"""``crdtstore-cdp``: the service, and what is asked of it while it runs."""

import argparse
import asyncio
import json
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crdtstore.errors import ConfigurationError, CrdtstoreError
from crdtstore.logs import LOG_FORMS, configure_logging
from replicas.cdp import limits
from replicas.cdp.configuration import Configuration, load_configuration
from replicas.cdp.processes import Place, check_processes, configuration_of, owner_of
from replicas.cdp.projections import command as projections_command
from replicas.cdp.segments import command as segments_command
from replicas.cdp.supervising import supervise
from replicas.cdp.traits import command as traits_command
from replicas.embedding.asking import ask

_EPILOG = """\
examples:
  crdtstore-cdp run --config cdp.toml
  crdtstore-cdp status --config cdp.toml
  crdtstore-cdp events tail --config cdp.toml --follow
  crdtstore-cdp events tail --config cdp.toml --profile 6b0d4c5e-8c4b-5c0e-9d5e-0d3b1f2a4c6d
  crdtstore-cdp traits show 6b0d4c5e-8c4b-5c0e-9d5e-0d3b1f2a4c6d --config cdp.toml
  crdtstore-cdp replay --config cdp.toml
  crdtstore-cdp events export --config cdp.toml --to events.parquet
  crdtstore-cdp segments list --config cdp.toml
  crdtstore-cdp projections status --config cdp.toml

All but run ask the service that runs with this configuration, at its own address.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        "crdtstore-cdp",
        description="collect events, and keep what they say in the profiles of a replica",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _command(commands, "run", "run the service until a signal ends it", _run)
    run.add_argument("--log-format", choices=LOG_FORMS, help="form of the log lines")
    run.add_argument("--sockets", type=Path, help=argparse.SUPPRESS)
    _command(commands, "status", "show how the service is doing", _status)
    traits_command.add_parser(commands)
    events = commands.add_parser("events", help="show or export events")
    on_events = events.add_subparsers(title="commands", metavar="COMMAND", required=True)
    tail = _command(on_events, "tail", "show the last events, a line each", _tail)
    tail.add_argument("--count", type=int, default=10, help="how many at first (10)")
    tail.add_argument("--follow", action="store_true", help="go on with those that come")
    tail.add_argument("--profile", metavar="ID", help="those of one profile, the newest first")
    tail.add_argument("--json", action="store_true", help="print JSON, a line for each event")
    export = _command(on_events, "export", "write all events to a Parquet file", _export)
    export.add_argument("--to", type=Path, required=True, metavar="FILE")
    export.add_argument("--after", type=int, default=0, help="those after this sequence only")
    segments_command.add_parser(commands)
    projections_command.add_parser(commands)
    return parser


def _command(commands: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("--config", type=Path, required=True, metavar="FILE")
    command.add_argument("--process", type=int, help="of several processes: this one, from 0")
    command.set_defaults(run=run)
    return command


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    arguments = build_parser().parse_args(words)
    try:
        configuration = load_configuration(arguments.config)
        code: int = arguments.run(configuration, arguments)
    except CrdtstoreError as error:
        print(f"crdtstore-cdp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _run(configuration: Configuration, arguments: argparse.Namespace) -> int:
    from crdtstore.server import run_as_server
    from replicas.cdp.service import serve

    form = arguments.log_format or configuration.log_format
    configure_logging(form, configuration.log_level)
    check_processes(configuration)
    count, place = configuration.processes, None
    if arguments.sockets is not None:
        place = Place(arguments.process, count, arguments.sockets)
        configuration = configuration_of(configuration, arguments.process)
    elif count > 1:
        words = ["run", "--config", str(arguments.config), "--log-format", form]
        return asyncio.run(supervise(count, words))
    run_as_server(serve(configuration, place))
    return 0


def _status(configuration: Configuration, arguments: argparse.Namespace) -> int:
    if configuration.processes > 1 and arguments.process is None:
        numbers = range(configuration.processes)
        asked = [configuration_of(configuration, number) for number in numbers]
        print(json.dumps([ask(each, "/cdp/status") for each in asked], indent=2))
        return 0
    configuration = _asked(configuration, arguments)
    print(json.dumps(ask(configuration, "/cdp/status"), indent=2))
    return 0


def _asked(configuration: Configuration, arguments: argparse.Namespace) -> Configuration:
    """Return how to ask the process that is meant; raises ConfigurationError."""
    number = arguments.process
    if number is None:
        if configuration.processes > 1:
            last = configuration.processes - 1
            raise ConfigurationError(f"each process has a log: say --process 0, or up to {last}")
        number = 0
    return configuration_of(configuration, number)


def _tail(configuration: Configuration, arguments: argparse.Namespace) -> int:
    if arguments.profile:
        owner = owner_of(arguments.profile, configuration.processes)
        configuration = configuration_of(configuration, owner)
        profile = urllib.parse.quote(arguments.profile, safe="")
        path = f"/cdp/profiles/{profile}/events?limit={arguments.count}"
        _print_events(ask(configuration, path)["events"], is_json=arguments.json)
        return 0
    configuration = _asked(configuration, arguments)
    after = ""
    while True:
        limit = limits.EVENTS_SHOWN_MAX if after else arguments.count
        events = ask(configuration, f"/cdp/events?limit={limit}{after}")["events"]
        _print_events(events, is_json=arguments.json)
        if not arguments.follow:
            return 0
        if events:
            after = f"&after={events[-1]['sequence']}"
        if len(events) < limits.EVENTS_SHOWN_MAX:
            time.sleep(limits.TAIL_S)


def _print_events(events: list[dict[str, Any]], *, is_json: bool) -> None:
    for event in events:
        if is_json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
            continue
        at = datetime.fromtimestamp(event["timestamp_ms"] / 1000, UTC).isoformat("T", "seconds")
        who = event["user_id"] or event["anonymous_id"]
        what = f"{event['kind']} {event['name'] or event['group_id']}".rstrip()
        properties = json.dumps(event["properties"], ensure_ascii=False)
        print(f"{event['sequence']}  {at}  {who}  {what}  {properties}", flush=True)


def _export(configuration: Configuration, arguments: argparse.Namespace) -> int:
    from rich.progress import Progress

    from replicas.cdp.exporting import write_parquet

    configuration = _asked(configuration, arguments)
    with Progress() as bars:
        task = bars.add_task("events", total=None)

        def pages() -> Iterator[list[dict[str, Any]]]:
            after, last = arguments.after, None
            while last is None or after < last:
                answer = ask(configuration, f"/cdp/events?after={after}")
                events = answer["events"]
                if last is None:  # what comes meanwhile is for the next export
                    last = answer["last"]
                    first = max(after, answer["first"] - 1)
                    bars.update(task, total=max(last - first, 0))
                events = [event for event in events if event["sequence"] <= last]
                if not events:
                    break
                after = events[-1]["sequence"]
                yield events
                bars.update(task, completed=after - first)

        count = write_parquet(arguments.to, pages())
    print(f"{count:,} events are in {arguments.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
