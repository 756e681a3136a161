"""The demo itself, run as a person runs it: three processes, a cut, and the count."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from crdtstore.demo import limits
from crdtstore.demo.golden import linked_pairs
from crdtstore.demo.records import first_persons, number_of, read_side
from tests.patience import PATIENCE_S

RECORDS = 200
CONTESTED = 100


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "crdtstore.cli.main", "demo", *options]


def start(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*options), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def is_listening(url: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def urls_told(demo: "subprocess.Popen[str]") -> dict[str, str]:
    """Read the story until it has told where the three replicas are."""
    assert demo.stdout is not None
    urls: dict[str, str] = {}
    while len(urls) < 3:
        line = demo.stdout.readline()
        assert line, "the demo ended before it told its addresses"
        name, _, url = line.strip().partition(": ")
        if url.startswith("http://"):
            urls[name] = url
    return urls


def finish(demo: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return what else the demo prints up to its end, which must come."""
    return demo.communicate(timeout=PATIENCE_S)


@pytest.fixture
def demos() -> Iterator[list["subprocess.Popen[str]"]]:
    """A list of demos that are ended after the test, whatever happened in it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for demo in started:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()


@pytest.fixture(scope="module")
def finished() -> "subprocess.CompletedProcess[str]":
    return run("--exit", "--json", "--records", str(RECORDS), "--cut", "1")


@pytest.fixture(scope="module")
def report(finished: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert finished.returncode == 0, finished.stderr
    (line,) = finished.stdout.splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def test_the_replicas_converge(report: dict[str, Any]):
    assert report["converged"] is True
    assert report["error"] == ""
    assert set(report["digests"]) == {"eu", "us", "ap"}
    (digest,) = set(report["digests"].values())
    assert len(digest) == 32
    assert int(digest, 16) != 0


def test_everything_acknowledged_is_counted(report: dict[str, Any]):
    rounds = limits.DEMO_CUT_ROUNDS
    assert report["persons"] == RECORDS
    assert report["audit"]["profiles"] == 2 * RECORDS
    assert report["writes_acknowledged"] == {
        "eu": RECORDS + 2 * rounds * CONTESTED,
        "us": RECORDS,
        "ap": 4 * rounds * CONTESTED,
    }
    logins = sum(number % 7 + 1 for number in range(RECORDS)) + 3 * rounds * CONTESTED
    assert report["counters_expected"] == report["audit"]["counted"] == logins
    sides = [first_persons(read_side(side), RECORDS) for side in "ab"]
    identified = sum(bool(record.identifiers) for side in sides for record in side)
    assert report["audit"]["sets"] == RECORDS + identified
    assert report["audit"]["consents"] == RECORDS
    assert report["audit"]["values"] > 4_000
    assert report["audit"]["problems"] == []


def test_both_systems_profiles_are_found_to_be_one_person(report: dict[str, Any]):
    sides = [first_persons(read_side(side), RECORDS) for side in "ab"]
    linked = linked_pairs(*sides)
    assert 0.8 * RECORDS < report["linked"] == len(linked) < RECORDS
    assert report["linked_wrongly"] == 0
    assert sum(len(profiles) for profiles in report["audit"]["persons"]) == 2 * RECORDS


def test_a_steward_merges_and_parts_and_a_person_is_forgotten(report: dict[str, Any]):
    steward = report["steward"]
    system, number = steward["merged"][0].split("-")
    assert system == "crm"
    assert steward["merged"][1] == f"cdp-{number}"
    assert steward["restored"] is True
    assert len(steward["erased"]) == 2
    assert 0 < steward["merge_s"] < PATIENCE_S
    merged = report["golden_records"][0]
    assert merged["profiles"] == sorted(steward["merged"])
    fields = {explained["field"]: explained for explained in merged["fields"]}
    assert {one["profile"] for one in fields["surname"]["candidates"]} == set(steward["merged"])


def test_the_golden_record_of_the_cut_is_explained(report: dict[str, Any]):
    record = report["golden_records"][-1]
    fields = {explained["field"]: explained for explained in record["fields"]}
    number = number_of(record["profile_id"])
    assert fields["tags"]["value"] == ["lead", "newsletter", "vip"]
    assert record["profiles"] == [f"cdp-{number}", f"crm-{number}"]
    assert fields["logins"]["value"] == number % 7 + 1 + 3 * limits.DEMO_CUT_ROUNDS
    assert fields["marketing"]["value"] is False
    emails = {one["replica"]: one for one in fields["email"]["candidates"]}
    assert set(emails) == {"eu", "ap"}
    assert [one["survives"] for one in emails.values()].count(True) == 1
    assert fields["email"]["value"] in {one["value"] for one in emails.values()}


def test_a_real_conflict_of_the_data_set_is_explained(report: dict[str, Any]):
    fields = report["golden_records"][1]["fields"]
    assert any(
        {one["source"] for one in explained["candidates"]} == {"crm", "cdp"}
        and len({one["value"] for one in explained["candidates"]}) == 2
        for explained in fields
    )
    assert all(explained["rule"] for explained in fields)


def test_the_story_is_told_and_honest(finished: "subprocess.CompletedProcess[str]"):
    for number in range(1, 8):
        assert f"\n{number}. " in finished.stderr
    assert "the person's number in the ids is for counting alone" in finished.stderr
    assert "cut off" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_no_replica_is_left(report: dict[str, Any]):
    assert not any(is_listening(url) for url in report["urls"].values())


def test_a_cut_that_is_kept_fails():
    options = ("--records", "50", "--cut", "0.5", "--patience", "4", "--keep-cut")
    failed = run("--exit", "--json", *options)
    assert failed.returncode == 1
    assert "did not converge within 4 s" in failed.stderr
    assert "Traceback" not in failed.stderr
    document = json.loads(failed.stdout)
    assert document["converged"] is False
    assert "ap: digest" in document["error"]


def test_a_directory_with_something_in_it_is_refused(tmp_path: Any):
    (tmp_path / "precious").write_text("data")
    failed = run("--exit", "--data", str(tmp_path))
    assert failed.returncode == 1
    assert "is not empty" in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("options", [("--records", "0"), ("--records", "5001"), ("--cut", "-1")])
def test_options_out_of_range_are_refused(options: tuple[str, str]):
    failed = run(*options)
    assert failed.returncode == 2
    assert options[0] in failed.stderr


def test_the_commands_work_as_printed_and_control_c_ends_it(
    demos: list["subprocess.Popen[str]"],
):
    demos.append(demo := start("--json", "--records", "50", "--cut", "0.5"))
    assert demo.stdout is not None
    report = json.loads(demo.stdout.readline())
    assert report["converged"] is True
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: the printed commands cannot be run")
    answers = []
    for line in report["commands"]:
        done = subprocess.run(line, shell=True, capture_output=True, timeout=PATIENCE_S, check=True)
        answers.append([json.loads(one) for one in done.stdout.splitlines()])
    profile, explained, patched = (answer[0] for answer in answers[:3])
    assert report["golden_records"][-1]["profile_id"] in profile["profiles"]
    assert {candidate["field"] for candidate in explained["candidates"]} == {"email"}
    assert patched["changed"] == ["email"]
    assert answers[3][0]["id"] == report["golden_records"][-1]["profile_id"]
    assert 1 <= len(answers[4]) <= 3, "an erasure drops what came before it"
    assert {len(answer[0]["digest"]) for answer in answers[5:]} == {32}
    os.killpg(demo.pid, signal.SIGINT)
    _, told = finish(demo)
    assert demo.returncode == 0
    assert "Traceback" not in told
    assert all(line in told for line in report["commands"])
    assert not any(is_listening(url) for url in report["urls"].values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_in_good_order(
    number: signal.Signals, demos: list["subprocess.Popen[str]"]
):
    demos.append(demo := start("--records", "50"))
    urls = urls_told(demo)
    assert all(is_listening(url) for url in urls.values())
    os.killpg(demo.pid, number)
    told = "".join(finish(demo))
    assert demo.returncode == 130
    assert "stopped before the end" in told
    assert "Traceback" not in told
    assert not any(is_listening(url) for url in urls.values())


def test_no_replica_outlives_a_demo_that_was_killed(
    demos: list["subprocess.Popen[str]"], tmp_path: Any
):
    demos.append(demo := start("--records", "50", "--data", str(tmp_path)))
    urls = urls_told(demo)
    demo.kill()
    finish(demo)
    deadline_s = time.monotonic() + PATIENCE_S
    while any(is_listening(url) for url in urls.values()):
        assert time.monotonic() < deadline_s, "a replica lives on without its demo"
        time.sleep(0.1)
