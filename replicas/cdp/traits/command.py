"""The commands about traits: ``crdtstore-cdp traits`` and ``replay``, asked of the service."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from replicas.cdp import limits
from replicas.cdp.configuration import Configuration
from replicas.cdp.processes import configuration_of
from replicas.embedding.asking import ask


def add_parser(commands: Any) -> None:
    """Add the commands; what they run takes the configuration and the arguments."""
    traits = commands.add_parser("traits", help="show traits, and where they come from")
    actions = traits.add_subparsers(title="actions", metavar="ACTION", required=True)

    def list_all(configuration: Configuration, arguments: argparse.Namespace) -> int:
        answer = ask(configuration, "/cdp/traits")
        return _dump(answer) if arguments.json else _list(answer)

    def show(configuration: Configuration, arguments: argparse.Namespace) -> int:
        path = f"/cdp/profiles/{quote(arguments.profile, safe='')}/traits"
        return _dump(ask(configuration, path)["traits"])

    def explain(configuration: Configuration, arguments: argparse.Namespace) -> int:
        profile, name = (quote(word, safe="") for word in (arguments.profile, arguments.name))
        answer = ask(configuration, f"/cdp/profiles/{profile}/traits/{name}")
        return _dump(answer) if arguments.json else _explain(answer)

    def replay(configuration: Configuration, arguments: argparse.Namespace) -> int:
        asked = configuration_of(configuration, arguments.process)
        return _replay(lambda: ask(asked, "/cdp/traits"), waits=not arguments.once)

    listed = _action(actions, "list", "all definitions, and how far each was folded", list_all)
    shown = _action(actions, "show", "the values of the person of a profile", show)
    shown.add_argument("profile", metavar="ID")
    explained = _action(actions, "explain", "the partials of a trait, by replica", explain)
    explained.add_argument("profile", metavar="ID")
    explained.add_argument("name", metavar="TRAIT")
    for each in (listed, explained):
        each.add_argument("--json", action="store_true", help="print JSON for machines")
    replayed = _action(commands, "replay", "watch new traits be folded from the log", replay)
    replayed.add_argument("--process", type=int, default=0, help="of several: this one (0)")
    replayed.add_argument("--once", action="store_true", help="do not wait for the end")


def _action(actions: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    action.add_argument("--config", type=Path, required=True, metavar="FILE")
    action.set_defaults(run=run)
    return action


def _dump(answer: Any) -> int:
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 0


def _list(answer: Any) -> int:
    for trait in answer["traits"]:
        events = ", ".join(trait["events"]) or f"every {trait['kind']}"
        of = f" of {trait['property']}" if trait["property"] else ""
        fold = trait["options"][2] if trait["fold"] == "windows" else trait["fold"]
        behind = answer["last"] - trait["folded"]
        state = f", {behind:,} events behind" if behind else ""
        unfit = f", {trait['unfit']:,} values unfit" if trait["unfit"] else ""
        print(f"{trait['name']}  version {trait['version']}: {fold}{of}, {events}{state}{unfit}")
    return 0


def _explain(answer: Any) -> int:
    for partial in answer["partials"]:
        payload = json.dumps(partial["payload"], ensure_ascii=False)
        place = f"{partial['profile']}  {partial['replica'] or partial['origin']}"
        print(f"{place}  {partial['fold']} {payload}  ({partial['rule']})")
    return 0


def _replay(ask: Callable[[], Any], *, waits: bool) -> int:
    """Show how far the log was folded for each trait that is behind, until none is.

    What comes after the start is not waited for.
    """
    from rich.progress import Progress

    answer = ask()
    last = answer["last"]
    with Progress() as bars:
        tasks = {
            trait["name"]: bars.add_task(trait["name"], total=last, completed=trait["folded"])
            for trait in answer["traits"]
            if trait["folded"] < last
        }
        while tasks:
            for trait in answer["traits"]:
                if trait["name"] in tasks:
                    bars.update(tasks[trait["name"]], completed=min(trait["folded"], last))
            if not waits or all(trait["folded"] >= last for trait in answer["traits"]):
                break
            time.sleep(limits.TAIL_S)
            answer = ask()
    behind = sum(trait["folded"] < last for trait in answer["traits"])
    print(f"{behind} of {len(answer['traits'])} traits are behind event {last:,}")
    return 0
