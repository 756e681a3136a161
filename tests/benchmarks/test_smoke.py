"""The benchmarks run, in their small size, and say what a reader needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program

ROOT = Path(__file__).parents[2]
TINY = program.Size(
    profiles_in_memory=2_000, profiles_on_disk=2_000, edits=2_000, runs=1, persons=2
)


def test_every_figure_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "SMOKE", TINY)
    monkeypatch.chdir(tmp_path)
    assert program.main(["--smoke", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["cores"]
    figures = {each["name"]: each for each in report["figures"]}
    assert set(figures) >= {"apply", "store", "durable batches", "floor: fdatasync", "person"}
    for each in figures.values():
        assert 0 < each["lowest"] <= each["median"] <= each["highest"]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    assert program.main(["--smoke"]) == 0
    assert "edits/s" in capsys.readouterr().out


def test_help_says_how_to_run_it() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--smoke" in shown
