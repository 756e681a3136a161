"""The figures in the README: written from the results, between two marks, by nobody's hand."""

import textwrap
from pathlib import Path
from typing import Final

from benchmarks.marks import Marks
from benchmarks.report import Result
from benchmarks.table import markdown_part, markdown_table, number

_MARKS: Final = Marks("<!-- figures: written by `make bench` -->", "<!-- end of figures -->")
_NONE: Final = "No run is recorded yet: `make bench` makes one and writes its figures here."
_RATIOS: Final = ("durable", "durable_100", "end_to_end", "cold_sync")
_PARTS: Final = {"load": "Under 20,000 edits/s and a snapshot", "growth": "By number of profiles"}
_COLUMNS: Final = 100
_END_NOTE: Final = """\
What differs from store to store is in [benchmarks](benchmarks/README.md); every figure, with its
spread, is in [latest.json](benchmarks/results/latest.json). Which targets are missed, and why, is
in [decision 33](docs/decisions/0033-where-the-time-goes.md)."""


def section(result: Result | None) -> str:
    """Return what stands between the marks."""
    if result is None:
        return _NONE
    parts = result.get("parts", {})
    paragraphs = [
        _introduction(result),
        "![Bars of the main figures](benchmarks/results/latest.svg)",
        markdown_table(result),
        _ratios(result),
        *(markdown_part(_PARTS[name], parts[name]) for name in _PARTS if parts.get(name)),
        _left_out(result),
        _END_NOTE,
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _introduction(result: Result) -> str:
    machine = result["machine"]
    text = (
        f"Medians of one run on {result['date']}, `{result['command']}`, on this machine: "
        + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
        + ". Peers resolve conflicts; Redis (AOF always) and PostgreSQL do not. The floors are "
        "what the machine could do at all."
    )
    return textwrap.fill(text, _COLUMNS, break_long_words=False, break_on_hyphens=False)


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
                text = f"- {name}, {title}: {', '.join(parts)}"
                lines.append(textwrap.fill(text, _COLUMNS, subsequent_indent="  "))
    return "\n".join(lines)


def _left_out(result: Result) -> str:
    if not result["left_out"]:
        return ""
    text = "Left out: " + ", ".join(sorted(result["left_out"])) + "."
    return textwrap.fill(text, _COLUMNS)
