"""The command `crdtstore-cdp projections`: how they are doing, and building one from zero."""

import argparse
import json
import urllib.parse
from pathlib import Path
from typing import Any

from replicas.cdp.configuration import Configuration
from replicas.embedding.asking import ask


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command; what it runs takes the configuration and the arguments."""
    text = "show how the projections are doing, or build one from zero"
    parser: argparse.ArgumentParser = commands.add_parser(
        "projections", help=text, description=text
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _action(actions, "status", "how each is doing", _status)
    rebuild = _action(actions, "rebuild", "clear one, and fill it from zero", _rebuild)
    rebuild.add_argument("name", help="redis, postgresql or postgresql_events")
    return parser


def _action(actions: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    action.add_argument("--config", type=Path, required=True, metavar="FILE")
    action.set_defaults(run=run)
    return action


def _status(configuration: Configuration, arguments: argparse.Namespace) -> int:
    print(json.dumps(ask(configuration, "/cdp/projections"), indent=2))
    return 0


def _rebuild(configuration: Configuration, arguments: argparse.Namespace) -> int:
    name = urllib.parse.quote(arguments.name, safe="")
    ask(configuration, f"/cdp/projections/{name}/rebuild", {})
    print(f"{arguments.name} is filled from zero; see: crdtstore-cdp projections status")
    return 0
