"""Measure this machine: ``python -m benchmarks [--smoke] [--json]``."""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import apply, durable, persons
from benchmarks.measure import Figure, machine


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: profiles in memory, profiles on disk, edits per run, runs, persons."""

    profiles_in_memory: int
    profiles_on_disk: int
    edits: int
    runs: int
    persons: int = 20


SMOKE = Size(profiles_in_memory=100_000, profiles_on_disk=5_000, edits=60_000, runs=3)
REAL = Size(profiles_in_memory=100_000, profiles_on_disk=100_000, edits=100_000, runs=5)


def run(size: Size) -> list[Figure]:
    """Run every benchmark in one size."""
    return [
        *apply.measure(size.profiles_in_memory, size.edits, size.runs),
        *apply.measure_store(size.profiles_on_disk, size.edits, size.runs),
        *durable.measure(size.profiles_on_disk, size.edits, size.runs),
        *persons.measure(size.persons, size.edits // 200, size.runs),
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
