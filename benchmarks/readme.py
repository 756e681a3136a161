"""The figures in the README: written from the results, between two marks, by nobody's hand."""

from pathlib import Path
from typing import Final

from benchmarks.marks import Marks
from benchmarks.report import Result
from benchmarks.table import machine_line, markdown_table, number

_MARKS: Final = Marks("<!-- figures: written by `make bench` -->", "<!-- end of figures -->")
_NONE: Final = "No run is recorded yet: `make bench` makes one and writes its figures here."
_RATIOS: Final = ("durable", "durable_100", "end_to_end", "cold_sync")


def section(result: Result | None) -> str:
    """Return what stands between the marks."""
    if result is None:
        return _NONE
    return "\n\n".join(
        [
            f"Medians of one run of `make bench`: {machine_line(result)}.",
            "![Bars of the main figures](benchmarks/results/latest.svg)",
            markdown_table(result),
            _ratios(result),
            _left_out(result),
            "What differs from peer to peer is in [benchmarks](benchmarks/README.md); every "
            "figure, with its spread, is in [latest.json](benchmarks/results/latest.json).",
        ]
    ).replace("\n\n\n\n", "\n\n")


def present(path: Path) -> str:
    """Return what stands between the marks in a file now."""
    return _MARKS.present(path)


def update(path: Path, result: Result | None) -> None:
    """Write the figures between the marks of a file."""
    _MARKS.update(path, section(result))


def _ratios(result: Result) -> str:
    lines = []
    for name, rows in result["ratios"].items():
        for metric in _RATIOS:
            row = rows.get(metric, {})
            title = result["metrics"][metric]["title"]
            parts = []
            if row.get("to_best_peer") is not None:
                parts.append(f"{number(row['to_best_peer'])} times {row['best_peer']}")
            for other in ("redis", "postgresql"):
                if row.get(f"to_{other}") is not None:
                    parts.append(f"{number(row[f'to_{other}'])} times {other}")
            if row.get("of_floor") is not None:
                parts.append(f"{row['of_floor']:.0%} of the floor")
            if parts:
                lines.append(f"- {name}, {title}: {', '.join(parts)}")
    return "\n".join(lines)


def _left_out(result: Result) -> str:
    if not result["left_out"]:
        return ""
    return "Left out: " + ", ".join(sorted(result["left_out"])) + "."
