"""``python -m crdtstore.testing.simulation``: search for a history that breaks a promise."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crdtstore.schema import Schema
from crdtstore.testing.simulation.campaign import (
    BIG_SEEDS,
    Campaign,
    replayed,
    run_campaign,
)
from crdtstore.testing.simulation.faults import FAULTS
from crdtstore.testing.simulation.run import STEPS, Plan, simulate
from crdtstore.testing.simulation.topologies import SHAPES
from crdtstore.testing.simulation.workload import SCHEMA

_TRACE_LINES: Final = 30
_SHOWN_FAILURES: Final = 5
_TOLD_SEEDS: Final = 100


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m crdtstore.testing.simulation",
        description="Run replicas of a space on a virtual network, with faults, and check every "
        "promise at the end. One seed decides everything.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="events before it is healed")
    parser.add_argument("--faults", default="all", help=f"all, none, or of: {','.join(FAULTS)}")
    parser.add_argument("--schema", help="a TOML file with your own schema")
    parser.add_argument("--shape", choices=SHAPES, help="the topology, drawn if not given")
    parser.add_argument("--replicas", type=int, help="how many at first, drawn if not given")
    parser.add_argument(
        "--trace", action="store_true", help="run the first seed alone, a line for every event"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 if every promise was kept."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    faults = _faults(parser, options.faults)
    plan = Plan(
        seed=options.first,
        steps=options.steps,
        faults=faults,
        schema=Schema.load(options.schema) if options.schema else SCHEMA,
        shape=options.shape,
        replicas=options.replicas,
    )
    if options.trace:
        report = simulate(plan, trace=print)
        print(f"seed {plan.seed}: {report.setting}: {report.failure or 'every promise was kept'}")
        return 1 if report.failure else 0
    seeds = range(options.first, options.first + options.seeds)
    campaign = run_campaign(plan, seeds, progress=_progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    _tell(campaign)
    for failed in campaign.failed[:_SHOWN_FAILURES]:
        _tell_failure(plan, failed.seed, options.faults, options.schema)
    never_met = campaign.never_met(faults) if campaign.seeds >= BIG_SEEDS else []
    for name in never_met:
        print(f"never occurred: {name}")
    return 1 if campaign.failed or never_met else 0


def _faults(parser: argparse.ArgumentParser, text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return tuple(FAULTS) if text == "all" else ()
    names = tuple(text.split(","))
    for name in names:
        if name not in FAULTS:
            parser.error(f"{name!r} is no fault; there are {', '.join(FAULTS)}")
    return names


def _progress(campaign: Campaign) -> None:
    rate = campaign.events / max(campaign.elapsed_s, 0.001)
    line = f"{campaign.seeds:,} seeds, {len(campaign.failed)} failed, {rate:,.0f} steps/s"
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    elif campaign.seeds % _TOLD_SEEDS == 0:
        print(line, file=sys.stderr, flush=True)


def _tell(campaign: Campaign) -> None:
    """Print what was run, and how often everything occurred."""
    print(
        f"{campaign.seeds:,} seeds, {campaign.events:,} steps, {campaign.writes:,} writes, "
        f"{campaign.virtual_s / 3600:,.1f} hours of virtual time in {campaign.elapsed_s:,.0f} s; "
        f"{len(campaign.failed)} failed"
    )
    width = max(map(len, campaign.counts), default=0)
    for name, count in sorted(campaign.counts.items()):
        if count:
            print(f"  {name:<{width}} {count:>12,}")


def _tell_failure(plan: Plan, seed: int, faults: str, schema: str | None) -> None:
    report, lines = replayed(replace(plan, seed=seed), _TRACE_LINES)
    print(f"\nseed {seed} ({report.setting}) failed:\n{report.failure}\n")
    print("\n".join(lines))
    command = f"python -m crdtstore.testing.simulation --first {seed} --steps {plan.steps}"
    for option, value in (
        ("--faults", None if faults == "all" else faults),
        ("--schema", schema),
        ("--shape", plan.shape),
        ("--replicas", plan.replicas),
    ):
        command += f" {option} {value}" if value is not None else ""
    print(f"\nreplay it: {command} --trace")


if __name__ == "__main__":
    sys.exit(main())
