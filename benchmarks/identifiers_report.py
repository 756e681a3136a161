"""The table of identifiers in docs/persons.md: written from recorded results, between two marks.

    python -m benchmarks --only identifiers persons --growth \\
        --json benchmarks/results/identifiers.json
    python -m benchmarks.identifiers_report
"""

import json
import sys
import textwrap
from typing import Any, Final

from benchmarks.marks import Marks
from benchmarks.processes import ROOT
from benchmarks.table import machine_line, number

RESULTS: Final = ROOT / "benchmarks" / "results" / "identifiers.json"
DOCUMENT: Final = ROOT / "docs" / "persons.md"
MARKS: Final = Marks(
    "<!-- figures: written by `python -m benchmarks.identifiers_report` -->",
    "<!-- end of figures -->",
)
_SHOWN: Final = {
    "identifiers_per_s": "loaded per s",
    "anonymous_mib_peak_of_first_half": "memory, first half, MiB",
    "anonymous_mib_peak": "memory, MiB",
    "resident_mib": "with mapped pages, MiB",
    "find_us": "find, µs",
    "read_us": "read, µs",
    "merge_us": "merge, µs",
    "part_us": "unmerge, µs",
}


def section(result: dict[str, Any]) -> str:
    """Return what stands between the marks."""
    lines = ["| | " + " | ".join(_SHOWN.values()) + " |", "|---" * (len(_SHOWN) + 1) + "|"]
    for name, row in result["parts"]["identifiers"].items():
        lines.append(f"| {name} | " + " | ".join(number(row[key]) for key in _SHOWN) + " |")
    persons = [
        f"a person of {name} is read in {number(row['read_ms'])} ms, found in "
        f"{number(row['find_ms'])} ms"
        for name, row in result["parts"]["persons"].items()
    ]
    told = f"Medians; {'; '.join(persons)}. Measured on {machine_line(result)}."
    return "\n".join([*lines, "", textwrap.fill(told, width=100, break_on_hyphens=False)])


def main() -> int:
    """Write the table from the recorded results."""
    MARKS.update(DOCUMENT, section(json.loads(RESULTS.read_text("utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
