"""The commands `query` and `export` against a real server, and `export` of a stopped one."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crdtstore.cli.main import main
from tests.processes.servers import Server

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Run]:
    """Serve four profiles; return a function that runs a command. "stop" stops the server."""
    for name in [name for name in os.environ if name.startswith("CRDTSTORE_")]:
        monkeypatch.delenv(name)
    server = Server("eu", tmp_path / "eu", tmp_path / "eu.log")
    server.start()
    monkeypatch.setenv("CRDTSTORE_URL", server.url)
    monkeypatch.chdir(tmp_path)

    def begin(*words: str) -> tuple[int, str, str]:
        if words == ("stop",):
            server.kill()
            return 0, "", ""
        code = main(words)
        output, errors = capsys.readouterr()
        return code, output, errors

    for number, name in enumerate(("Ann", "Bob", "Cleo", "Dan")):
        words = ["--source", "crm", f"name={name}", f"age:={20 + number}"]
        assert begin("put", name.lower(), *words)[0] == 0
    yield begin
    server.kill()


def test_a_query_is_answered_as_a_table_and_as_json(run: Run) -> None:
    code, output, _ = run("query", 'age gt 20 and name ne "Dan"', "--order=-age", "--explain")
    assert code == 0
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["ID", "cleo", "bob"]
    assert lines[3].startswith("answered by looking at all profiles")
    code, output, _ = run("query", "age ge 21", "--limit", "2", "--json")
    page = json.loads(output)
    assert [profile["id"] for profile in page["profiles"]] == ["bob", "cleo"]
    assert page["next"] == "cleo"
    assert "--after cleo" in run("query", "age ge 21", "--limit", "2")[1]
    assert run("query", "age ge 21", "--after", "cleo")[1].splitlines()[1].startswith("dan")
    assert len(run("query")[1].splitlines()) == 5


def test_a_count(run: Run) -> None:
    assert run("query", "age ge 21", "--count") == (0, "3\n", "")
    assert json.loads(run("query", "--count", "--json")[1]) == {"count": 4}
    assert "0 keys and 4 profiles" in run("query", "age pr", "--count", "--explain")[1]


def test_what_is_wrong_is_told_in_one_line(run: Run) -> None:
    code, output, errors = run("query", "age equals 3")
    assert (code, output) == (1, "")
    assert errors.startswith("crdtstore: where, at character 5: expected an operator")
    assert run("export", "x.parquet", "--schema", "s.toml")[0] == 1
    assert run("export", "x.parquet", "--data", "eu", "--url", "http://127.0.0.1:1")[0] == 1


def test_an_export_of_a_server_and_of_a_stopped_replica(run: Run, tmp_path: Path) -> None:
    code, output, _ = run("export", "all.jsonl", "--format", "jsonl")
    assert code == 0
    assert output.startswith("all.jsonl: ")
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(row["profile_id"], row["age"]) for row in rows] == [
        ("ann", 20), ("bob", 21), ("cleo", 22), ("dan", 23),
    ]  # fmt: skip
    assert "exists" in run("export", "all.jsonl", "--format", "jsonl")[2]
    run("stop")
    code, output, _ = run("export", "all.parquet", "--data", "eu", "--json")
    assert (code, json.loads(output)["profiles"]) == (0, 4)
    (tmp_path / "s.toml").write_text('[fields.age]\npolicy = "minimum"\n')
    words = ("export", "all.arrow", "--format", "arrow", "--data", "eu", "--schema", "s.toml")
    assert "4 profiles" in run(*words)[1]
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as base:
        found = base.sql("select sum(age), max(name) from 'all.parquet'").fetchall()
    assert found == [(86, "Dan")]
