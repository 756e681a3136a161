"""Results: medians, ratios that mean better, and the README that is written from them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import readme
from benchmarks.picture import draw
from benchmarks.report import figures_of, ratios
from benchmarks.subject import METRICS
from benchmarks.table import markdown_part, markdown_table, number

ROOT = Path(__file__).parents[2]
LATEST = ROOT / "benchmarks/results/latest.json"


def subject(kind: str, **medians: float) -> dict[str, Any]:
    figures = {
        name: {"median": value, "lowest": value * 0.9, "highest": value * 1.2, "runs": 3}
        for name, value in medians.items()
    }
    return {"kind": kind, "differs": "in nothing", "figures": figures}


MEASURED = {
    "crdtstore": subject("ours", durable=80_000, durable_100=60_000, latency_p99=2.0, lost=0),
    "slow": subject("peer", durable=400, latency_p99=8.0, lost=0),
    "slower": subject("peer", durable=100, latency_p99=5.0, lost=3),
    "redis": subject("reference", durable=40_000, durable_100=50_000, latency_p99=1.0),
    "floors": subject("floor", durable=160_000, latency_p99=1.0),
}


def result_of(measured: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "command": "python -m benchmarks",
        "machine": {"cores": 4, "file_system": "ext4", "fsync_ms": 1.0},
        "metrics": {
            metric.name: {
                "name": metric.name,
                "unit": metric.unit,
                "title": metric.title,
                "is_better_high": metric.is_better_high,
            }
            for metric in METRICS
        },
        "subjects": measured,
        "left_out": {"absent": "needs a program"},
        "ratios": ratios(measured),
        "parts": {"load": {"100 profiles": {"read_p99_ms": 3.0}}},
    }


def test_figures_are_medians_with_their_spread() -> None:
    figures = figures_of([{"durable": 3.0}, {"durable": 1.0}, {"durable": 2.0, "wire": 5.0}])
    assert figures["durable"] == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "runs": 3}
    assert figures["wire"]["runs"] == 1
    assert "memory" not in figures


def test_a_ratio_above_one_is_better_whichever_way_the_metric_goes() -> None:
    ours = ratios(MEASURED)["crdtstore"]
    assert ours["durable"] == {
        "best_peer": "slow", "to_best_peer": 200.0, "to_redis": 2.0, "of_floor": 0.5,
    }  # fmt: skip
    assert ours["latency_p99"] == {
        "best_peer": "slower", "to_best_peer": 2.5, "to_redis": 0.5, "of_floor": 0.5,
    }  # fmt: skip


def test_a_batch_of_ours_is_compared_with_the_best_that_a_peer_has() -> None:
    row = ratios(MEASURED)["crdtstore"]["durable_100"]
    assert (row["best_peer"], row["to_best_peer"]) == ("slow", 150.0)
    assert row["to_redis"] == pytest.approx(1.2)


def test_nothing_is_divided_by_nothing() -> None:
    assert ratios(MEASURED)["crdtstore"]["lost"]["to_best_peer"] is None
    assert ratios({"crdtstore": MEASURED["crdtstore"]})["crdtstore"]["durable"] == {}


def test_the_table_has_ours_the_best_peer_and_the_main_figures() -> None:
    table = markdown_table(result_of(MEASURED))
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    names = [cell.strip() for cell in rows[0].split("|")[2:-1]]
    assert names == ["crdtstore", "best peer", "redis", "floors"]
    assert rows[1] == "| durable edits, edits/s | 80,000 | 400 (slow) | 40,000 | 160,000 |"
    assert len({row.count("|") for row in rows}) == 1


def test_a_part_is_a_table_with_a_row_per_figure() -> None:
    table = markdown_part("By size", {"10": {"read_ms": 1.0}, "100": {"read_ms": 2.5}})
    assert table.splitlines() == [
        "| By size | 10 | 100 |", "|---|---:|---:|", "| read ms | 1.00 | 2.50 |",
    ]  # fmt: skip


def test_numbers_are_readable() -> None:
    assert [number(value) for value in (123_456.7, 45.67, 1.234)] == ["123,457", "45.7", "1.23"]


def test_the_picture_is_the_same_for_the_same_results(tmp_path: Path) -> None:
    figures = {
        "durable": 1e5, "end_to_end": 1e4, "cold_sync": 1e3, "latency_p99": 2.0,
        "disk_edited": 900.0, "wire": 80.0,
    }  # fmt: skip
    measured = {"crdtstore": subject("ours", **figures), "slow": subject("peer", **figures)}
    for name in ("first.svg", "second.svg"):
        draw(result_of(measured), tmp_path / name)
    first = (tmp_path / "first.svg").read_text("utf-8")
    assert first == (tmp_path / "second.svg").read_text("utf-8")
    assert first.rstrip().endswith("</svg>")


def test_the_readme_is_written_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text((ROOT / "README.md").read_text("utf-8"), "utf-8")
    before = path.read_text("utf-8")
    result = result_of(MEASURED)
    readme.update(path, result)
    after = path.read_text("utf-8")
    assert readme.present(path) == readme.section(result)
    assert "| durable edits, edits/s | 80,000 |" in after
    assert "| read p99 ms | 3.00 |" in after
    assert all(len(line) <= 100 or "|" in line or "](" in line for line in after.splitlines())
    assert "200 times slow" in after
    assert "Left out: absent." in after
    readme.update(path, None)
    unwritten = path.read_text("utf-8")
    if not LATEST.exists():
        assert unwritten == before


def test_the_readme_shows_what_the_latest_run_found_and_nothing_else() -> None:
    result = json.loads(LATEST.read_text("utf-8")) if LATEST.exists() else None
    assert readme.present(ROOT / "README.md") == readme.section(result)
    assert LATEST.with_suffix(".svg").exists() == LATEST.exists()
