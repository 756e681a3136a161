"""Measure crdtstore and its peers on this machine: ``python -m benchmarks``.

Without --only it runs everything, or what --without leaves, installs the peers into .bench/ first,
and writes benchmarks/results/latest.json and latest.svg, and the figures in README.md from them.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import readme
from benchmarks.ending import end_when_told
from benchmarks.event_peers import comparing
from benchmarks.machine import machine
from benchmarks.parts import PARTS, run_parts
from benchmarks.processes import ROOT, SCRATCH
from benchmarks.report import Result, results
from benchmarks.subject import Subject
from benchmarks.suite import SUBJECTS, Outcome, prepared, run_suite
from benchmarks.workload import FULL, SMOKE

RESULTS: Final = ROOT / "benchmarks" / "results"
RUNS: Final = 3
_PATIENCE_S: Final = 3_600.0
_PATIENCE_SMOKE_S: Final = 120.0


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and show what they found."""
    options = _options(arguments)
    wanted = set(options.only or _names()) - set(options.without)
    subjects = [each for each in SUBJECTS if each.name in wanted]
    are_event_peers_wanted = comparing.NAME in wanted
    if options.install:
        return _install(subjects, are_event_peers_wanted)
    SCRATCH.mkdir(exist_ok=True)
    where = machine(SCRATCH)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    outcome = run_suite(
        subjects,
        SMOKE if options.smoke else FULL,
        options.runs or (1 if options.smoke else RUNS),
        install=not options.smoke,
        is_hasty=options.smoke,
        patience_s=_PATIENCE_SMOKE_S if options.smoke else _PATIENCE_S,
        say=say,
    )
    command = shlex.join(["python", "-m", "benchmarks", *(arguments or sys.argv[1:])])
    result = results(outcome, subjects, where, command)
    parts = {part.name for part in PARTS if part.name in wanted}
    result["parts"] = run_parts(parts, options.smoke, options.growth)
    result["event_peers"] = comparing.compare(options.smoke, say) if are_event_peers_wanted else {}
    _show(result)
    is_whole = not (options.only or options.smoke or options.json)
    _save(result, RESULTS / "latest.json" if is_whole else options.json, is_whole)
    left_out = outcome.left_out | result["event_peers"].get("left_out", {})
    return 1 if any(reason.startswith("failed") for reason in left_out.values()) else 0


def build_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="names: " + ", ".join(_names()),
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="measure these and nothing else")
    add("--without", nargs="+", metavar="NAME", default=(), help="leave these out")
    add("--runs", type=int, metavar="N", help=f"runs of every store, in turns ({RUNS})")
    add("--smoke", action="store_true", help="seconds instead of an hour; installs nothing")
    add("--growth", action="store_true", help="growth goes on to a million profiles")
    add("--json", type=Path, metavar="FILE", help="write the results there instead")
    add("--install", action="store_true", help="install the peers, measure nothing")
    return parser


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if unknown := {*(options.only or ()), *options.without} - set(_names()):
        parser.error(f"there is no {', '.join(sorted(unknown))}; names: {', '.join(_names())}")
    return options


def _names() -> list[str]:
    return [subject.name for subject in SUBJECTS] + [part.name for part in PARTS] + [comparing.NAME]


def _install(subjects: Sequence[Subject], are_event_peers_wanted: bool) -> int:
    outcome, compared = Outcome(), comparing.Compared()
    prepared(subjects, True, outcome)
    if are_event_peers_wanted:
        comparing.prepared(True, compared)
    for name, versions in (outcome.versions | compared.versions).items():
        print(f"{name}: {versions}")
    for name, reason in (outcome.left_out | compared.left_out).items():
        print(f"{name} is left out: {reason}")
    return 0


def _show(result: Result) -> None:
    from benchmarks.table import print_notes, print_parts, print_tables

    print_tables(result)
    print_parts(result["parts"], {part.name: part.title for part in PARTS})
    if compared := result["event_peers"]:
        print_parts({comparing.NAME: compared["figures"]}, {comparing.NAME: comparing.TITLE})
        print_notes(compared["differs"], compared["left_out"])


def _save(result: dict[str, Any], path: Path | None, is_whole: bool) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if is_whole:
        from benchmarks.picture import draw

        draw(result, path.with_suffix(".svg"))
        readme.update(ROOT / "README.md", result)


if __name__ == "__main__":
    end_when_told()
    sys.exit(main())
