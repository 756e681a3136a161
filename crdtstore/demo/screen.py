"""Screen: what a person sees of the demo. A live table on a terminal, plain lines elsewhere."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crdtstore.demo import limits
from crdtstore.demo.golden import ExplainedField, ExplainedRecord
from crdtstore.demo.watch import Observation

_PLAIN_WIDTH: Final = 140
_CANDIDATES_SHOWN: Final = 6


class Screen:
    """Prints to a stream; a stream that is no terminal gets neither colours nor a moving table."""

    def __init__(self, stream: TextIO) -> None:
        is_terminal = stream.isatty()
        width = None if is_terminal else _PLAIN_WIDTH
        self._console = Console(file=stream, width=width, highlight=False)
        self._is_terminal = is_terminal and not self._console.is_dumb_terminal
        self._live: Live | None = None
        self._shown_s = 0.0

    def step(self, number: int, text: str) -> None:
        """Announce a step of the demo."""
        self._console.print()
        self._console.print(Text(f"{number}. {text}", style="bold cyan"), soft_wrap=True)

    def say(self, *lines: str) -> None:
        """Print lines, as they stand."""
        for line in lines:
            self._console.print(Text(f"   {line}".rstrip()), soft_wrap=True)

    def show_command(self, command: str) -> None:
        """Print a command so that it can be copied as it stands."""
        self._console.print(Text(f"   {command}", style="green"), soft_wrap=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep one table in place while the block runs; ``show`` renews it."""
        self._shown_s = 0.0
        if not self._is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, observations: Sequence[Observation], *, is_last: bool = False) -> None:
        """Show the replicas: in the table, or as a line each if the last ones are old enough."""
        if self._live is not None:
            self._live.update(_table_of(observations), refresh=True)
            return
        now_s = time.monotonic()
        if is_last or now_s - self._shown_s >= limits.DEMO_LINE_S:
            self._shown_s = now_s
            for seen in observations:
                self.say(_line_of(seen))

    def show_record(self, record: ExplainedRecord) -> None:
        """Print a golden record with the account of each of its fields."""
        profiles = " + ".join(record.profiles)
        title = Text(f"{profiles}: {record.title}", style="bold")
        table = Table(title=title, title_justify="left", pad_edge=False)
        table.add_column("field", no_wrap=True)
        for heading in ("survivor", "source", "replica", "candidates", "rule"):
            table.add_column(heading, overflow="fold")
        for explained in record.fields:
            table.add_row(
                explained.field,
                Text(_shown_value(explained.value), style="bold green"),
                explained.source,
                explained.replica,
                _candidates_of(explained),
                explained.rule,
            )
        self._console.print()
        self._console.print(table)


def _table_of(observations: Sequence[Observation]) -> Table:
    table = Table(pad_edge=False)
    table.add_column("replica", no_wrap=True)
    for heading in ("profiles", "frames", "edits/s", "frames behind"):
        table.add_column(heading, justify="right", min_width=8)
    table.add_column("digest", no_wrap=True)
    table.add_column("links", min_width=16)
    are_equal = len({seen.digest for seen in observations}) == 1
    for seen in observations:
        table.add_row(
            seen.name,
            f"{seen.profiles:,}",
            f"{seen.frames:,}",
            f"{seen.edits_per_s:,.0f}",
            Text(f"{seen.behind_frames:,}", style="yellow" if seen.behind_frames else ""),
            Text(seen.digest[:8], style="bold green" if are_equal else "yellow"),
            Text(seen.state, style="" if seen.links else "bold red"),
        )
    return table


def _line_of(seen: Observation) -> str:
    return (
        f"{seen.name}  {seen.profiles:>6,} profiles  {seen.frames:>6,} frames  "
        f"{seen.edits_per_s:>9,.0f} edits/s  {seen.behind_frames:>6,} behind  "
        f"digest {seen.digest[:8]}  {seen.state}"
    )


def _shown_value(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _candidates_of(explained: ExplainedField) -> Text:
    """Return every candidate on a line, the survivors in bold; a long list is cut, and says so."""
    lines = Text()
    for candidate in explained.candidates[:_CANDIDATES_SHOWN]:
        told = _shown_value(candidate["value"])
        told += f"  ({candidate['source']}, {candidate['replica']})"
        if candidate["kind"] == "set":
            told += f": {candidate['rule']}"
        lines.append(told + "\n", style="bold" if candidate["survives"] else "dim")
    hidden = len(explained.candidates) - _CANDIDATES_SHOWN
    if hidden > 0:
        lines.append(f"and {hidden} more\n", style="dim")
    lines.rstrip()
    return lines
