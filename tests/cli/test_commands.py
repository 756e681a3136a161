"""The commands against a real server process: what they print, and how they fail."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ports import free_port
from crdtstore import limits
from crdtstore.cli.main import build_parser, main
from tests.patience import PATIENCE_S

COMMAND = (sys.executable, "-m", "crdtstore.cli")
TOKEN = "t" * 32
SECRET = "s" * 32
Start = Callable[..., tuple[subprocess.Popen[str], str]]


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CRDTSTORE_")}
    return {**kept, **more}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts `crdtstore serve`, and returns process and address."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        defaults = ["--name", "eu", "--data", str(tmp_path / "eu"), "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*COMMAND, "serve", *defaults, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**environment),
        )
        processes.append(process)
        assert process.stdout is not None
        greeting = process.stdout.readline()
        match = re.search(r"serves (http://\S+) from", greeting)
        assert match, greeting + (process.stderr.read() if process.stderr else "")
        return process, match[1]

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(*words: str, **environment: str) -> str:
    """Run a command that must fail at once, and return the one line that it printed."""
    process = subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environment(**environment),
        check=False,
    )
    assert process.returncode == 1, process
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("crdtstore: ")
    return line


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command in this process: exit code, output, errors."""
    for name in list(os.environ):
        if name.startswith("CRDTSTORE_"):
            monkeypatch.delenv(name)

    def begin(*words: str) -> tuple[int, str, str]:
        code = main(words)
        output, errors = capsys.readouterr()
        return code, output, errors

    return begin


def test_write_read_explain_follow_and_verify(start: Start, run: Any, monkeypatch: Any) -> None:
    _, url = start()
    monkeypatch.setenv("CRDTSTORE_URL", url)
    code, output, _ = run(
        "put", "a/b 💚", "--source", "crm", "email=ann@example.com", "n:=1", "--add", "tags=vip"
    )
    assert code == 0
    assert re.fullmatch(r"a/b 💚: changed .*email.*; now \S+\n", output)
    code, output, _ = run("put", "a/b 💚", "--source", "crm", "email=ann@example.com")
    assert "nothing new" in output
    code, output, _ = run("get", "a/b 💚")
    lines = output.splitlines()
    assert lines[0].startswith("a/b 💚  version ")
    assert lines[1].split() == ["FIELD", "VALUE"]
    assert [line.split() for line in lines[2:]] == [
        ["email", "ann@example.com"], ["n", "1"], ["tags", '["vip"]'],
    ]  # fmt: skip
    code, output, _ = run("get", "a/b 💚", "--json")
    profile = json.loads(output)
    assert profile["fields"] == {"email": "ann@example.com", "n": 1, "tags": ["vip"]}
    code, output, _ = run("get")
    assert "a/b 💚" in output
    run("put", "a/b 💚", "--source", "cdp", "email=other@example.com")
    code, output, _ = run("explain", "a/b 💚", "--field", "email")
    rows = output.splitlines()[2:]
    assert len(rows) == 2
    assert rows[0].split()[:4] == ["email", "*", "other@example.com", "cdp"]
    code, output, _ = run("changes", "--json")
    changes = [json.loads(line) for line in output.splitlines()]
    assert [change["sources"] for change in changes] == [["crm"], ["cdp"]]
    code, output, _ = run("changes", "--since", changes[0]["cursor"], "--follow", "--limit", "1")
    assert output.splitlines()[0].startswith(changes[1]["cursor"])
    code, output, _ = run("changes", "--limit", "1")
    assert len(output.splitlines()) == 1
    code, output, _ = run("status")
    assert re.search(r"^profiles +1$", output, re.MULTILINE)
    code, output, _ = run("status", "--json")
    assert json.loads(output)["status"]["name"] == "eu"
    code, output, _ = run("verify")
    assert code == 0
    assert "all sound" in output
    code, output, _ = run("verify", "--json", "--peer", url)
    assert json.loads(output)["sound"] is True


def test_verify_compares_replicas(start: Start, run: Any, tmp_path: Path) -> None:
    _, eu = start()
    _, us = start("--name", "us", "--data", str(tmp_path / "us"))
    run("put", "ann", "--url", eu, "--source", "crm", "x=1")
    code, output, _ = run("verify", "--url", eu, "--peer", us)
    assert code == 1
    assert "the replicas differ" in output
    _, ap = start("--name", "ap", "--data", str(tmp_path / "ap"), "--peer", eu)
    code, output, _ = run("verify", "--url", eu, "--peer", ap, "--wait", str(PATIENCE_S))
    assert code == 0
    assert "the replicas are equal" in output


def test_replicas_are_listed_and_removed(start: Start, run: Any, tmp_path: Path) -> None:
    _, eu = start()
    _, us = start("--name", "us", "--data", str(tmp_path / "us"), "--peer", eu)
    run("put", "ann", "--url", us, "--source", "crm", "x=1")
    run("verify", "--url", eu, "--peer", us, "--wait", str(PATIENCE_S))
    code, output, _ = run("replicas", "--url", eu)
    assert code == 0
    assert output.splitlines()[0].split()[:3] == ["REPLICA", "ORIGIN", "STATE"]
    assert output.splitlines()[1].split()[::2][:2] == ["us", "live"]
    code, output, _ = run("replicas", "--json", "--url", eu, "remove", "us")
    assert (code, json.loads(output)) == (0, {"name": "us", "state": "removed"})
    code, output, _ = run("replicas", "remove", "us", "--url", eu)
    assert (code, output.split()[:2]) == (0, ["us:", "removed;"])
    code, output, _ = run("replicas", "--json", "--url", eu)
    assert [entry["state"] for entry in json.loads(output)["replicas"]] == ["removed"]
    code, _, errors = run("replicas", "remove", "sa", "--url", eu)
    assert code == 1
    assert "no replica 'sa' is known here" in errors


def test_refusals_are_one_line_on_standard_error(start: Start, run: Any) -> None:
    _, url = start()
    for words, text in (
        (("get", "nobody"), "not known here"),
        (("explain", "nobody"), "not known here"),
        (("put", "ann", "x=1"), "--source"),
        (("put", "ann", "--source", "crm"), "put --help"),
        (("put", "a" * 256, "--source", "crm", "x=1"), "255"),
        (("put", "ann", "--source", "crm", f"x:={2**63}"), "64"),
        (("put", "ann", "--source", "crm", "x=1", "--if-version", "0-1"), "read it again"),
        (("changes", "--since", "tomorrow"), "cursor"),
        (("get", "\udcff"), "UTF-8"),
    ):
        code, output, errors = run(*words, "--url", url)
        assert (code, output) == (1, ""), words
        assert text in errors
        assert len(errors.splitlines()) == 1


def test_a_server_that_is_not_there_is_told(run: Any) -> None:
    code, _, errors = run("get", "ann", "--url", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "crdtstore serve" in errors
    for url in ("ftp://x", "http://", "http://x:y"):
        assert run("get", "ann", "--url", url)[0] == 1


def test_the_token_is_taken_from_file_and_environment(
    start: Start, run: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    _, url = start("--token-file", str(path), CRDTSTORE_LINK_SECRET=SECRET)
    code, _, errors = run("status", "--url", url)
    assert code == 1
    assert "CRDTSTORE_TOKEN" in errors
    assert run("status", "--url", url, "--token-file", str(path))[0] == 0
    monkeypatch.setenv("CRDTSTORE_TOKEN", TOKEN)
    assert run("status", "--url", url)[0] == 0


def test_listening_elsewhere_without_secrets_is_refused(tmp_path: Path) -> None:
    words = ("serve", "--name", "eu", "--data", str(tmp_path / "eu"), "--listen", "0.0.0.0:0")
    assert "--token-file" in refused(*words)
    assert "--link-secret-file" in refused(*words, CRDTSTORE_TOKEN=TOKEN)
    assert "--token-file" in refused(*words, CRDTSTORE_LINK_SECRET=SECRET)
    assert not (tmp_path / "eu").exists()


def test_faults_of_serve_are_one_line(start: Start, tmp_path: Path) -> None:
    _, url = start()
    other = str(tmp_path / "other")
    port = url.rpartition(":")[2]
    taken = refused("serve", "--name", "x", "--data", other, "--listen", f"127.0.0.1:{port}")
    assert "cannot listen" in taken
    assert "--listen" in taken
    assert not (tmp_path / "other").exists()
    in_use = ("serve", "--name", "x", "--data", str(tmp_path / "eu"), "--listen", "127.0.0.1:0")
    assert "in use" in refused(*in_use) or "open" in refused(*in_use)
    assert "--name" in refused("serve")
    bad_peer = ("serve", "--name", "x", "--data", other, "--listen", "127.0.0.1:0", "--peer", "x")
    assert "peer" in refused(*bad_peer)
    schema = tmp_path / "schema.toml"
    schema.write_text("[fields.x]\nkind = 'heap'\n")
    bad_schema = ("serve", "--name", "x", "--data", other, "--listen", "127.0.0.1:0", "--schema")
    assert "heap" in refused(*bad_schema, str(schema))
    assert "cannot be read" in refused(*bad_schema, str(tmp_path / "absent.toml"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_keeps_every_answered_write(
    start: Start, run: Any, number: signal.Signals
) -> None:
    process, url = start("--log-format", "json")
    host, port = url.removeprefix("http://").split(":")
    run("put", "ann", "--url", url, "--source", "crm", "x=1")
    with closing(socket.create_connection((host, int(port)))) as silent:
        silent.sendall(b"GET /v1/changes?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in silent.recv(100)
        started_s = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert time.monotonic() - started_s < limits.DRAIN_TIMEOUT_S
    messages = [json.loads(line) for line in errors.splitlines()]
    assert messages[-1]["message"] == "closed"
    assert "ann" not in errors
    _, url = start()
    assert run("get", "ann", "--url", url)[0] == 0


def test_every_write_answered_before_a_signal_is_kept(start: Start, run: Any) -> None:
    process, url = start()
    host, port = url.removeprefix("http://").split(":")
    acknowledged: list[str] = []
    refused_count = 0

    def write(number: int) -> None:
        nonlocal refused_count
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        fields = {"source": "crm", "fields": {"x": number}}
        body = json.dumps({"writes": [{"id": f"p{number}-{n}", **fields} for n in range(50)]})
        try:
            connection.request("POST", "/v1/writes", body, {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                acknowledged.extend(f"p{number}-{n}" for n in range(50))
        except (OSError, http.client.HTTPException):
            refused_count += 1
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(write, number)
        while len(acknowledged) < 1_000:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert refused_count > 0, "the signal came after the last write"
    _, url = start()
    code, output, _ = run("verify", "--json", "--url", url)
    assert code == 0
    assert json.loads(output)["report"]["profiles"] >= len(acknowledged)
    for profile_id in acknowledged[-50:]:
        assert run("get", profile_id, "--url", url)[0] == 0


def test_help_names_every_command_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["put", "--help"], ["serve", "--help"]):
        with pytest.raises(SystemExit) as left:
            build_parser(with_demo=False).parse_args(words)
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert "examples:" in text
        if words == ["--help"]:
            for command in (
                "serve",
                "demo",
                "get",
                "put",
                "explain",
                "changes",
                "status",
                "verify",
            ):
                assert f"\n    {command} " in text


@pytest.mark.parametrize("words", [[], ["nothing"], ["get", "--limit", "0"], ["serve", "--x"]])
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "usage: crdtstore" in capsys.readouterr().err


def test_text_edits_and_shows_a_collaborative_field(start: Start, run: Any, tmp_path: Path) -> None:
    schema = tmp_path / "schema.toml"
    schema.write_text('[fields.notes]\nkind = "text"\n[fields.tasks]\nkind = "list"\n')
    _, url = start("--schema", str(schema))

    def text(*words: str) -> str:
        code, output, errors = run("text", "ann", *words, "--url", url)
        assert code == 0, errors
        return str(output)

    for words in (
        ("notes", "--insert", "0", "Hello world"),
        ("notes", "--delete", "0", "6"),
        ("notes", "--format", "0", "5", "bold=true"),
        ("tasks", "--insert-item", "0", "call"),
        ("tasks", "--insert-item", "1", "[2]"),
        ("tasks", "--move-item", "0", "1"),
    ):
        assert "edited" in text(*words, "--source", "crm")
    assert text("notes") == "world\n"
    assert text("notes", "--delta") == '{"insert": "world", "attributes": {"bold": true}}\n'
    assert text("tasks") == '[2]\n"call"\n'
    assert "edited" in text("tasks", "--delete-item", "0", "--source", "crm")
    assert json.loads(text("tasks", "--json"))["value"] == ["call"]
    assert len(text("notes", "--history").splitlines()) == 5
    insert = ("text", "ann", "notes", "--insert", "99", "x", "--url", url)
    code, _, errors = run(*insert, "--source", "crm")
    assert (code, "beyond the end" in errors) == (1, True)
    assert "who edits?" in run(*insert)[2]
