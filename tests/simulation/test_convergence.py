"""Whole networks on virtual time: whatever happens, replicas end equal and keep their promises."""

import tomllib
from pathlib import Path

import pytest

from crdtstore import Field, Schema
from crdtstore.testing.simulation import FAULTS, SHAPES, Plan, run_campaign, simulate
from crdtstore.testing.simulation.__main__ import main

KEPT = tomllib.loads((Path(__file__).parent / "kept_seeds.toml").read_text("utf-8"))


def test_a_few_dozen_seeds_with_all_faults_keep_every_promise():
    campaign = run_campaign(Plan(seed=0), range(1, 49))
    assert [(failed.seed, failed.failure) for failed in campaign.failed] == []
    assert campaign.writes > 10_000
    assert campaign.counts["conflict log: whole"] > 40
    assert campaign.counts["conflict log: entries"] > 400
    assert len([name for name in FAULTS if campaign.counts[f"fault: {name}"]]) >= len(FAULTS) - 2


def test_seeds_that_failed_once_keep_every_promise():
    for kept in KEPT.get("seed", []):
        assert kept["because"].endswith(".")
        plan = Plan(
            seed=kept["number"], steps=kept.get("steps", 3_000), guests=kept.get("guests", False)
        )
        report = simulate(plan)
        assert report.failure == "", kept


@pytest.mark.parametrize("shape", SHAPES)
def test_without_faults_nothing_is_lost_refused_or_repaired(shape):
    report = simulate(Plan(seed=7, faults=(), shape=shape, replicas=5))
    assert report.failure == ""
    assert report.counts["answer: lost"] == report.counts["equal only after a repair"] == 0


def test_one_seed_is_one_history():
    first: list[str] = []
    second: list[str] = []
    simulate(Plan(seed=11), trace=first.append)
    simulate(Plan(seed=11), trace=second.append)
    assert first == second
    assert len(first) > 1_000


def test_a_schema_of_ones_own_is_simulated():
    schema = Schema(fields={"iban": Field(), "visits": Field(kind="counter")}, sources=("bank",))
    report = simulate(Plan(seed=3, schema=schema))
    assert report.failure == ""
    assert report.counts["write: counter"] > 30


def test_the_command_tells_a_trace_and_the_outcome(capsys):
    assert main(["--first", "5", "--steps", "300", "--trace"]) == 0
    printed = capsys.readouterr().out
    assert "FRAMES" in printed
    assert printed.rstrip().endswith("every promise was kept")


def test_the_command_refuses_a_fault_that_there_is_not(capsys):
    with pytest.raises(SystemExit):
        main(["--faults", "crash,locusts"])
    assert "'locusts' is no fault" in capsys.readouterr().err
