"""The benchmarks run, in their small size, and say what a reader needs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks.event_peers import comparing
from benchmarks.parts import PARTS
from benchmarks.suite import SUBJECTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("results") / "smoke.json"
    assert program.main(["--smoke", "--json", str(path)]) == 0
    return dict(json.loads(path.read_text("utf-8")))


def test_every_subject_is_measured_or_left_out_by_name(result: dict[str, Any]) -> None:
    named = set(result["subjects"]) | set(result["left_out"])
    assert named == {subject.name for subject in SUBJECTS}
    assert {"crdtstore", "crdtstore (library)", "floors"} <= set(result["subjects"])
    for reason in result["left_out"].values():
        assert "needs" in reason or "not installed" in reason, reason


def test_the_figures_are_figures(result: dict[str, Any]) -> None:
    for name, subject in result["subjects"].items():
        for metric, figure in subject["figures"].items():
            assert 0 <= figure["lowest"] <= figure["median"] <= figure["highest"], (name, metric)
            assert figure["median"] > 0 or metric == "lost", (name, metric)
        if subject["kind"] != "floor":
            assert set(subject["figures"]) >= {"durable", "load", "latency_p99"}
            assert subject["differs"]


def test_ours_loses_nothing_when_killed(result: dict[str, Any]) -> None:
    assert result["subjects"]["crdtstore"]["figures"]["lost"]["highest"] == 0


def test_ratios_name_what_they_compare_with(result: dict[str, Any]) -> None:
    durable = result["ratios"]["crdtstore"]["durable"]
    subjects = result["subjects"]
    ours = subjects["crdtstore"]["figures"]["durable"]["median"]
    floor = subjects["floors"]["figures"]["durable"]["median"]
    assert durable["of_floor"] == pytest.approx(ours / floor, rel=0.01)
    peers = [name for name, subject in subjects.items() if subject["kind"] == "peer"]
    if peers:
        rates = {name: subjects[name]["figures"]["durable"]["median"] for name in peers}
        assert durable["best_peer"] == max(rates, key=lambda name: rates[name])
        assert durable["to_best_peer"] == pytest.approx(ours / max(rates.values()), rel=0.01)


def test_the_machine_and_the_versions_are_recorded(result: dict[str, Any]) -> None:
    assert result["machine"]["cores"] > 0
    assert result["machine"]["fsync_ms"] > 0
    assert result["machine"]["file_system"] != "unknown"
    assert "lmdb" in result["subjects"]["crdtstore"]["versions"]


def test_the_parts_are_measured(result: dict[str, Any]) -> None:
    parts = result["parts"]
    assert set(parts) == {part.name for part in PARTS}
    assert parts["apply"]["store"]["edits_per_s"] > 0
    assert parts["texts"]["100 KB of text"]["edit_p50_ms"] > 0
    assert all(row["read_ms"] > 0 and row["find_ms"] > 0 for row in parts["persons"].values())
    (loaded,) = parts["identifiers"].values()
    assert loaded["identifiers_per_s"] > 0
    assert 0 < loaded["anonymous_mib_before"] <= loaded["anonymous_mib_peak"]
    assert min(loaded[name] for name in ("find_us", "read_us", "merge_us", "part_us")) > 0
    (growth,) = parts["growth"].values()
    assert growth["differing"] == 0
    assert growth["cold_sync_per_s"] > 0
    assert growth["peak_mib"] > 0
    (load,) = parts["load"].values()
    assert load["edits_per_s"] > 0
    assert 0 < load["read_p50_ms"] <= load["read_p99_ms"]
    assert 0 < load["write_p50_ms"] <= load["write_p99_ms"]
    assert load["loop_delay_max_ms"] > 0
    (events,) = parts["events"].values()
    assert events["lost"] == 0
    assert events["accepted_share"] == 1
    assert 0 < events["answered_p50_ms"] <= events["answered_p99_ms"] <= events["answered_max_ms"]
    assert 0 < events["answered_within_10000_ms"] <= 1
    assert 0 < events["trait_lag_p50_s"] <= events["trait_lag_max_s"] < 120
    for row in parts["fleet"].values():
        assert row["writer_us_per_edit"] > 0


def test_peers_that_take_events_are_measured_or_left_out_by_name(result: dict[str, Any]) -> None:
    compared = result["event_peers"]
    named = set(compared["versions"]) | set(compared["left_out"])
    assert named >= {peer.name for peer in comparing.PEERS} | set(comparing.NOT_MEASURED)
    for reason in compared["left_out"].values():
        assert "needs" in reason, reason
    for case, row in compared["figures"].items():
        assert row["lost"] == 0, case
        assert row["accepted_share"] == 1, case
        assert 0 < row["answered_p50_ms"] <= row["answered_p99_ms"] <= row["answered_max_ms"]
        assert row["service_us_per_event"] > 0, case
        assert compared["differs"][case.partition(",")[0]]


def test_nothing_is_left_behind(result: dict[str, Any]) -> None:
    assert list((ROOT / ".bench").glob(f"run-{os.getpid()}-*")) == []
    assert not (ROOT / ".bench" / f"sync-probe-{os.getpid()}").exists()


def test_help_says_how_to_run_it() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--smoke" in shown
    assert "redis" in shown


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "nothing"])
    assert "there is no nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        program.main(["--without", "floors", "none"])
    assert "there is no none" in capsys.readouterr().err


def test_what_is_left_out_is_not_measured(tmp_path: Path) -> None:
    others = [name for name in program._names() if name != "floors"]
    path = tmp_path / "floors.json"
    assert program.main(["--smoke", "--json", str(path), "--without", *others]) == 0
    result = json.loads(path.read_text())
    assert list(result["subjects"]) == ["floors"]
    assert (result["parts"], result["event_peers"]) == ({}, {})
