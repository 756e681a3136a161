"""Tables: how answers are shown to people, with rich on a terminal and plain otherwise."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(document: Any) -> None:
    """Print a document for machines."""
    print(json.dumps(document, ensure_ascii=False, indent=2), flush=True)


def print_json_line(document: Any) -> None:
    """Print one line of a stream for machines."""
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":")), flush=True)


def print_line(text: str) -> None:
    """Print one line of a stream for people."""
    print(_visible(text), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table: drawn on a terminal where rich is installed, aligned columns otherwise."""
    cells = [[_visible(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text
        except ImportError:
            pass
        else:
            table = Table(title=Text(_visible(title)) if title else None, title_justify="left")
            for column in columns:
                table.add_column(column, overflow="fold")
            for row in cells:
                table.add_row(*(Text(cell) for cell in row))
            Console().print(table)
            return
    if title:
        print(_visible(title))
    lines = [list(columns), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def show_value(value: Any) -> str:
    """Return a value as one line: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def show_bytes(size: int) -> str:
    """Return a number of bytes in a unit that people read."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _visible(text: str) -> str:
    """Return text without characters that could command a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
