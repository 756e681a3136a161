"""The tables of docs/linking.md: written from the results, between two marks."""

from typing import Any, Final

from benchmarks.marks import Marks
from benchmarks.processes import ROOT

DOCUMENT: Final = ROOT / "docs" / "linking.md"
MARKS: Final = Marks(
    "<!-- figures: written by `python -m benchmarks.linking` -->", "<!-- end of figures -->"
)
_WAYS: Final = {
    "exact": "exact identifiers",
    "steward": "and suggestions, answered by a steward",
    "unseen": "and suggestions, accepted unseen",
    "rules": "Splink by itself, the same rules",
    "splink": "Splink by itself, as in its examples",
}


def section(result: dict[str, Any]) -> str:
    """Return what stands between the marks."""
    lines = ["| Data set | Way | Links | Precision | Recall | F1 |", "|---|---|---|---|---|---|"]
    for number, found in result["sets"].items():
        for way, title in _WAYS.items():
            row = found["ways"][way]
            figures = " | ".join(f"{row[name]:.4f}" for name in ("precision", "recall", "f1"))
            lines.append(f"| FEBRL {number} | {title} | {row['links']:,} | {figures} |")
    work = [
        "| Data set | Records | True links | Pairs suggested | of them right | Seconds |",
        "|---|---|---|---|---|---|",
    ]
    for number, found in result["sets"].items():
        names = ("records", "true_links", "asked", "accepted")
        counts = " | ".join(f"{found[name]:,}" for name in names)
        work.append(f"| FEBRL {number} | {counts} | {found['suggest_s']:.1f} |")
    made = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n".join([*lines, "", *work, "", f"Made with {made}."])
