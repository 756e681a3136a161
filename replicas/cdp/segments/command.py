"""The command `crdtstore-cdp segments`: it asks the service that runs with a configuration."""

import argparse
import json
import urllib.parse
from pathlib import Path
from typing import Any

from replicas.cdp.errors import DefinitionInvalid
from replicas.embedding.asking import Address, ask, lines_of
from replicas.embedding.errors import ServiceUnreachable

_EPILOG = """\
examples:
  crdtstore-cdp segments list --config cdp.toml
  crdtstore-cdp segments sample vip --config cdp.toml --count 20
  crdtstore-cdp segments preview new.toml --config cdp.toml     who would be in it, not saved
  crdtstore-cdp segments rescan --config cdp.toml               evaluate everybody anew

The file of a preview holds what stands in the table of a segment: all, any or none = [...].
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command; what it runs takes the configuration and the arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "segments",
        help="show segments, their sizes and samples, and try new ones",
        description="show segments, their sizes and samples, and try new ones",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listed = _action(actions, "list", "all segments and their sizes", _list)
    listed.add_argument("--json", action="store_true", help="print JSON for machines")
    _action(actions, "size", "how many persons are in a segment", _size).add_argument("name")
    sample = _action(actions, "sample", "some persons in a segment", _sample)
    sample.add_argument("name")
    sample.add_argument("--count", type=int, default=10, help="how many (default: 10)")
    trial = _action(actions, "preview", "who would be in a segment that is not saved", _preview)
    trial.add_argument("file", type=Path)
    trial.add_argument("--count", type=int, default=10, help="size of the sample (default: 10)")
    _action(actions, "rescan", "evaluate everybody anew", _rescan)
    return parser


def _action(actions: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    action.add_argument("--config", type=Path, required=True, metavar="FILE")
    action.set_defaults(run=run)
    return action


def _list(configuration: Address, arguments: argparse.Namespace) -> int:
    answer = ask(configuration, "/cdp/segments")
    if arguments.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return 0
    for segment in answer["segments"]:
        print(f"{segment['size']:>12,}  {segment['name']}  {segment['description']}".rstrip())
    scan = answer["scan"]
    if not scan["is_done"]:
        print(f"everybody is being evaluated: {scan['done']:,} of {scan['of']:,} profiles so far")
    if answer["trouble"]:
        print(f"they stand still: {answer['trouble']}")
    return 0


def _size(configuration: Address, arguments: argparse.Namespace) -> int:
    name = urllib.parse.quote(arguments.name, safe="")
    print(ask(configuration, f"/cdp/segments/{name}")["size"])
    return 0


def _sample(configuration: Address, arguments: argparse.Namespace) -> int:
    name = urllib.parse.quote(arguments.name, safe="")
    path = f"/cdp/segments/{name}/sample?count={arguments.count}"
    for person in ask(configuration, path)["persons"]:
        print(person)
    return 0


def _rescan(configuration: Address, arguments: argparse.Namespace) -> int:
    scan = ask(configuration, "/cdp/segments/rescan", {})["scan"]
    print(f"{scan['of']:,} profiles are evaluated anew")
    return 0


def _preview(configuration: Address, arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    try:
        body = arguments.file.read_bytes()
    except OSError as error:
        raise DefinitionInvalid(f"cannot read {arguments.file}: {error.strerror}") from None
    path = f"/cdp/segments/preview?count={arguments.count}"
    step: dict[str, Any] = {}
    with Progress(console=Console(stderr=True)) as bars:
        bar = bars.add_task("profiles", total=None)
        for line in lines_of(configuration, path, body):
            step = json.loads(line)
            bars.update(bar, total=step["of"], completed=step["looked_at"])
    if not step.get("is_done"):
        raise ServiceUnreachable("the service ended before the preview did")
    print(f"{step['size']:,} persons, found by {step['way']}")
    for person in step["sample"]:
        print(f"  {person}")
    return 0
