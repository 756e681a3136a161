"""The results: medians and spread, and ratios to the best peer and to the floor by name."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from benchmarks.subject import METRIC, METRICS, Metric, Readings, Subject
from benchmarks.suite import Outcome

Result = dict[str, Any]


def figures_of(readings: Sequence[Readings]) -> dict[str, Any]:
    """Return the median and the spread of every metric over the runs of one subject."""
    figures = {}
    for metric in METRICS:
        values = [reading[metric.name] for reading in readings if metric.name in reading]
        if values:
            figures[metric.name] = {
                "median": _rounded(statistics.median(values)),
                "lowest": _rounded(min(values)),
                "highest": _rounded(max(values)),
                "runs": len(values),
            }
    return figures


def results(
    outcome: Outcome, subjects: Sequence[Subject], machine: dict[str, Any], command: str
) -> Result:
    """Return all that was found, as it is written to the file of results."""
    measured = {
        subject.name: {
            "kind": subject.kind,
            "differs": subject.differs,
            "versions": outcome.versions[subject.name],
            "size": asdict(outcome.sizes[subject.name]),
            "figures": figures_of(outcome.readings[subject.name]),
        }
        for subject in subjects
        if subject.name in outcome.readings
    }
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "machine": machine,
        "metrics": {metric.name: asdict(metric) for metric in METRICS},
        "subjects": measured,
        "left_out": outcome.left_out,
        "ratios": ratios(measured),
    }


def ratios(measured: dict[str, Any]) -> dict[str, Any]:
    """Return, for every figure of ours, how many times better it is than others.

    Above 1 is better whatever the metric. The best peer is the best of those that resolve
    conflicts; references are shown by name. ``floor`` is the share of the floor that is reached.
    """
    shown: dict[str, Any] = {}
    for name, subject in measured.items():
        if subject["kind"] != "ours":
            continue
        for metric_name in subject["figures"]:
            metric = METRIC[metric_name]
            mine = subject["figures"][metric_name]["median"]
            row: dict[str, Any] = {}
            if best := best_peer(measured, metric_name):
                row["best_peer"] = best[0]
                row["to_best_peer"] = _times(mine, best[1], metric)
            for other, theirs in _others(measured, metric, "reference"):
                row[f"to_{other}"] = _times(mine, theirs, metric)
            for _, floor in _others(measured, metric, "floor"):
                row["of_floor"] = _times(mine, floor, metric)
            shown.setdefault(name, {})[metric_name] = row
    return shown


def _others(measured: dict[str, Any], metric: Metric, kind: str) -> list[tuple[str, float]]:
    return [
        (name, subject["figures"][metric.name]["median"])
        for name, subject in measured.items()
        if subject["kind"] == kind and metric.name in subject["figures"]
    ]


def best_peer(measured: dict[str, Any], metric_name: str) -> tuple[str, float] | None:
    """Return the best peer in a metric. A peer without batches is compared by what it has."""
    metric = METRIC[metric_name]
    found = _others(measured, metric, "peer")
    if not found and metric.name in ("durable_100", "durable_100_alone", "singles"):
        found = _others(measured, METRIC["durable"], "peer")
    if not found:
        return None
    choose = max if metric.is_better_high else min
    return choose(found, key=lambda each: each[1])


def _times(mine: float, theirs: float, metric: Metric) -> float | None:
    better, worse = (mine, theirs) if metric.is_better_high else (theirs, mine)
    return None if worse == 0 else _rounded(better / worse)


def _rounded(value: float) -> float:
    """Return a value with four digits that count."""
    return float(f"{value:.4g}")
