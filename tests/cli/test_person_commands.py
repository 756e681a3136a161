"""The command `person` against a real server: finding, showing, and what stewards decide."""

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crdtstore.cli.main import main
from tests.patience import PATIENCE_S
from tests.processes.servers import Server

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Run]:
    """Serve two profiles of Ann and one of Bob; return a function that runs a command."""
    for name in [name for name in os.environ if name.startswith("CRDTSTORE_")]:
        monkeypatch.delenv(name)
    server = Server("eu", tmp_path / "eu", tmp_path / "eu.log")
    server.start()
    monkeypatch.setenv("CRDTSTORE_URL", server.url)

    def begin(*words: str) -> tuple[int, str, str]:
        code = main(words)
        output, errors = capsys.readouterr()
        return code, output, errors

    for profile_id, name, text in (
        ("a1", "Ann", "email: Ann@example.com"),
        ("a2", "A.", "email:ann@example.com"),
        ("b1", "Bob", "user_id:2"),
    ):
        words = ["--source", "crm", f"name={name}", "--add", f"identifiers={text}"]
        assert begin("put", profile_id, *words)[0] == 0
    yield begin
    server.kill()


def test_a_person_is_found_shown_and_explained(run: Run) -> None:
    code, found, _ = run("person", "find", "email:ANN@example.com")
    assert code == 0
    assert found.splitlines()[-1] == "profiles: a1, a2"
    assert run("person", "show", "a2") == (0, found, "")
    code, output, _ = run("person", "show", "a2", "--json")
    assert json.loads(output)["profiles"] == ["a1", "a2"]
    code, output, _ = run("person", "explain", "a1", "--field", "name")
    rows = [line.split() for line in output.splitlines()[1:]]
    assert rows[0][:5] == ["FIELD", "SURVIVES", "VALUE", "PROFILE", "SOURCE"]
    assert [row[:4] for row in rows[1:]] == [
        ["name", "*", "A.", "a2"],
        ["name", "Ann", "a1", "crm"],
    ]


def test_stewards_decide(run: Run) -> None:
    assert "profiles: a1, a2, b1" in run("person", "merge", "a1", "b1", "--source", "ann")[1]
    assert "profiles: b1" in run("person", "unmerge", "b1", "a1")[1]
    output = run("person", "unmerge", "a1")[1]
    assert "dropped: email:ann@example.com of a2 - a1: not_match" in output
    assert "held by person a2 too" in run("person", "find", "email:ann@example.com")[1]
    assert run("person", "not-match", "a1", "b1")[0] == 0
    run("person", "merge", "a1", "a2")
    assert "Anna" in run("person", "pin", "a1", "name=Anna")[1]
    assert "Anna" not in run("person", "pin", "a1", "name:=null")[1]
    assert "Ann" in run("person", "ignore", "a2", "name", "--of", "crm")[1]
    assert "A." in run("person", "regard", "a2", "name", "--of", "crm")[1]


def test_what_cannot_be_is_told(run: Run) -> None:
    for words, said in (
        (("find", "a", "b"), "takes one word"),
        (("find", "email:nobody@example.com"), "leads to no person"),
        (("show", "nobody"), "not known here"),
        (("merge", "a1"), "list of two profile ids"),
        (("pin", "a1", "name"), "is not FIELD=TEXT"),
        (("pin", "a1", "name:=x"), "is not JSON"),
        (("ignore", "a1", "name"), "give --of SOURCE"),
        (("ignore", "a1", "name", "--of", "cdp"), "has no value"),
    ):
        code, _, errors = run("person", *words)
        assert code == 1, words
        assert said in errors


def test_a_person_is_exported_and_erased(run: Run) -> None:
    code, output, _ = run("person", "export", "email:ann@example.com")
    assert code == 0
    assert [each["id"] for each in json.loads(output)["profiles"]] == ["a1", "a2"]
    code, output, _ = run("person", "erase", "email:ann@example.com", "--source", "dpo", "--json")
    assert code == 0
    erasure = json.loads(output)
    assert erasure["profiles"] == ["a1", "a2"]
    deadline_s = time.monotonic() + PATIENCE_S
    while run("erasure", erasure["id"])[0] != 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    code, output, _ = run("erasure", erasure["id"])
    assert [line.split()[:2] for line in output.splitlines()[1:3]] == [
        ["REPLICA", "STATE"], ["eu", "confirmed"],
    ]  # fmt: skip
    assert "Asked for by dpo" in output
    report = run("erasure", erasure["id"], "--report")[1]
    assert "Profiles: a1, a2" in report
    assert "1 of 1 replicas have confirmed." in report
    assert run("erasure")[1].splitlines()[1].split()[0] == erasure["id"]
    assert run("erasure", erasure["id"], "--lift", "--source", "dpo")[0] == 0
    assert "Lifted by dpo" in run("erasure", erasure["id"], "--report")[1]
    assert run("person", "erase", "--profile", "b1", "--alone")[0] == 0
    for words in (
        ("person", "erase"),
        ("person", "erase", "email:a@b.c", "--profile", "b1"),
        ("person", "show"),
        ("erasure", "--lift"),
        ("erasure", "00"),
    ):
        code, output, errors = run(*words)
        assert (code, output) == (1, ""), words
        assert errors.startswith("crdtstore: ")


def test_what_limits_dropped_is_shown_and_counted(run: Run) -> None:
    for number in range(30):
        words = ["--source", "crm", "--add", f"identifiers=user_id:{100 + number}"]
        assert run("put", f"c{number}", *words)[0] == 0
        assert run("put", f"c{number}", "--source", "crm", "--add", "identifiers=card:1")[0] == 0
    lines = run("person", "show", "c0")[1].splitlines()
    told = [line for line in lines if line.startswith("dropped: card:1 of c")]
    assert len(told) == 20
    assert all(line.endswith("a person has at most 1 values of user_id") for line in told)
    assert "and 9 more dropped: --json shows them" in lines
    metrics = urllib.request.urlopen(f"{os.environ['CRDTSTORE_URL']}/metrics").read().decode()
    assert "crdtstore_persons_capped_total 1.0" in metrics
    run("person", "show", "a1")
    metrics = urllib.request.urlopen(f"{os.environ['CRDTSTORE_URL']}/metrics").read().decode()
    assert "crdtstore_persons_read_total 2.0" in metrics
    assert "crdtstore_persons_capped_total 1.0" in metrics
