"""Measure this machine: ``python -m benchmarks [--smoke] [--json]``."""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import apply, durable
from benchmarks.measure import Figure, machine


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: profiles in the store, edits per run, runs."""

    profiles: int
    edits: int
    runs: int


SMOKE = Size(profiles=5_000, edits=10_000, runs=1)
REAL = Size(profiles=100_000, edits=100_000, runs=3)


def run(size: Size) -> list[Figure]:
    """Run every benchmark in one size."""
    parameters = (size.profiles, size.edits, size.runs)
    return [
        *apply.measure(*parameters),
        *apply.measure_store(*parameters),
        *durable.measure(*parameters),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    options = parser.parse_args(arguments)
    size = SMOKE if options.smoke else REAL
    figures = run(size)
    report: dict[str, Any] = {"machine": machine(), "size": "smoke" if options.smoke else "real"}
    if options.json:
        json.dump({**report, "figures": [each.as_dict() for each in figures]}, sys.stdout, indent=2)
        print()
        return 0
    print(" · ".join(f"{key} {value}" for key, value in report["machine"].items()))
    for each in figures:
        spread = f"{each.lowest:,.2f} to {each.highest:,.2f}, {each.runs} runs"
        print(f"{each.name:18} {each.median:>12,.2f} {each.unit:8} ({spread}) {each.note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
