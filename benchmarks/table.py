"""The results as tables for people."""

from typing import Any

from benchmarks.report import Result, best_peer

_SHOWN = (
    "durable", "durable_100", "end_to_end", "cold_sync", "latency_p50", "latency_p99",
    "disk_edited", "wire", "memory", "lost",
)  # fmt: skip


def print_tables(result: Result) -> None:
    """Print the figures, the ratios, and what differs."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    console.print(machine_line(result))
    if not result["subjects"]:
        return
    figures = Table(title="Medians (lowest to highest)", show_lines=False)
    figures.add_column("figure")
    names = list(result["subjects"])
    for name in names:
        figures.add_column(name, justify="right", overflow="fold")
    for metric in result["metrics"].values():
        cells = [_cell(result["subjects"][name]["figures"].get(metric["name"])) for name in names]
        if any(cells):
            figures.add_row(f"{metric['title']}, {metric['unit']}", *cells)
    console.print(figures)
    for name, rows in result["ratios"].items():
        console.print(_ratio_table(Table, name, rows, result))
    differs = {name: subject["differs"] for name, subject in result["subjects"].items()}
    print_notes(differs, result["left_out"])


def print_notes(differs: dict[str, str], left_out: dict[str, str]) -> None:
    """Print where subjects are not like for like, and why others are left out."""
    from rich.console import Console

    console = Console(width=160)
    for name, text in differs.items():
        console.print(f"[bold]{name}[/bold] differs: {text}", highlight=False)
    for name, reason in left_out.items():
        console.print(f"[bold]{name}[/bold] is left out: {reason}", markup=True, highlight=False)


def print_parts(parts: dict[str, dict[str, dict[str, float]]], titles: dict[str, str]) -> None:
    """Print a table for every part."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    for name, rows in parts.items():
        shown = Table("", title=titles[name])
        for case in rows:
            shown.add_column(case, justify="right")
        for figure in next(iter(rows.values()), {}):
            cells = [number(row[figure]) for row in rows.values()]
            shown.add_row(figure.replace("_", " "), *cells)
        console.print(shown)


def machine_line(result: Result) -> str:
    """Return the machine and the day in one line."""
    machine = " · ".join(f"{key} {value}" for key, value in result["machine"].items())
    return f"{result['date']} · {result['command']} · {machine}"


def number(value: float) -> str:
    """Return a figure as people read it."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:,.1f}"
    return f"{value:,.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def markdown_table(result: Result) -> str:
    """Return the main figures as a table in Markdown: ours, the best peer, references, floors."""
    kinds = {name: subject["kind"] for name, subject in result["subjects"].items()}
    columns = [name for name, kind in kinds.items() if kind == "ours"]
    others = [name for name, kind in kinds.items() if kind == "reference"]
    others += [name for name, kind in kinds.items() if kind == "floor"]
    lines = [
        "| | " + " | ".join([*columns, "best peer", *others]) + " |",
        "|---" + "|---:" * (len(columns) + 1 + len(others)) + "|",
    ]
    for metric in map(result["metrics"].get, _SHOWN):
        cells = [f"{metric['title']}, {metric['unit']}"]
        cells += [_median(result, name, metric) for name in columns]
        best = best_peer(result["subjects"], metric["name"])
        cells.append("" if best is None else f"{number(best[1])} ({best[0]})")
        cells += [_median(result, name, metric) for name in others]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown_part(title: str, rows: dict[str, dict[str, float]]) -> str:
    """Return a part as a table in Markdown: a row per figure, a column per case."""
    figures = list(next(iter(rows.values()), {}))
    lines = [
        f"| {title} | " + " | ".join(rows) + " |",
        "|---" + "|---:" * len(rows) + "|",
    ]
    for figure in figures:
        cells = [number(row[figure]) for row in rows.values()]
        lines.append(f"| {figure.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(result: Result, name: str, metric: dict[str, Any]) -> str:
    figure = result["subjects"][name]["figures"].get(metric["name"])
    return "" if figure is None else number(figure["median"])


def _cell(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    median = number(figure["median"])
    if figure["runs"] == 1:
        return median
    return f"{median}\n({number(figure['lowest'])} to {number(figure['highest'])})"


def _ratio_table(table: Any, name: str, rows: dict[str, Any], result: Result) -> Any:
    shown = table(title=f"{name}: times better than others (above 1 is better)")
    keys = sorted({key for row in rows.values() for key in row if key.startswith("to_")})
    shown.add_column("figure")
    shown.add_column("best peer")
    for key in keys:
        shown.add_column(key.removeprefix("to_").replace("_", " "), justify="right")
    shown.add_column("of floor", justify="right")
    for metric, row in rows.items():
        cells = ["" if row.get(key) is None else number(row[key]) for key in keys]
        floor = row.get("of_floor")
        share = "" if floor is None else f"{floor:.1%}"
        shown.add_row(result["metrics"][metric]["title"], row.get("best_peer", ""), *cells, share)
    return shown
