"""Every command of the documents works: run against real servers, or checked by its parser."""

import argparse
import re
import shlex
import subprocess
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from crdtstore.cli.main import build_parser, main
from crdtstore.testing.simulation import __main__ as simulation
from crdtstore.testing.simulation import scenario
from replicas.cdp import command as cdp
from replicas.crm import command as crm
from tests.docs import documents
from tests.docs.documents import ROOT, Block
from tests.patience import PATIENCE_S
from tests.processes.servers import Server

SHELL = documents.blocks("sh")
NEVER_RUN = ("serve", "demo")
"""Of the commands of services nothing runs here: see ``tests/replicas/*/test_command.py``."""


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the commands of a block as words; a backslash goes on with the next line."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


ALL = [(block.place, words) for block in SHELL for words in commands(block)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Two linked replicas, by the ports that the documents name."""
    directory = tmp_path_factory.mktemp("servers")
    named = {
        port: Server(name, directory / name, directory / f"{name}.log")
        for port, name in (("8402", "us"), ("8401", "eu"))
    }
    named["8402"].start()
    named["8401"].start(named["8402"])
    yield named
    for server in named.values():
        server.kill()


def test_there_are_commands_of_every_sort() -> None:
    assert {words[0] for _, words in ALL} == {
        "make", "pip", "crdtstore", "crdtstore-cdp", "crdtstore-crm", "curl", "openssl", "head",
    }  # fmt: skip
    asked = {words[1] for _, words in ALL if words[0] == "crdtstore"}
    assert {"serve", "put", "get", "explain", "status", "verify", "backup", "restore"} <= asked


def test_commands_run(
    servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    """Run them in the order of the documents: later ones ask for what earlier ones wrote."""
    monkeypatch.setenv("CRDTSTORE_URL", servers["8401"].url)
    monkeypatch.chdir(tmp_path)
    (rules,) = [block for block in documents.blocks("toml") if "[compare]" in block.text]
    (tmp_path / "linkage.toml").write_text(rules.text, "utf-8")
    ran = 0
    for place, words in ALL:
        if words[0] == "crdtstore" and words[1] not in NEVER_RUN:
            here = [_at(word, servers) for word in words[1:]]
            assert main(here) == 0, (place, words, capsys.readouterr())
            assert capsys.readouterr().out, (place, words)
            ran += 1
        elif words[0] == "curl":
            assert _curl([_at(word, servers) for word in words[1:]]), (place, words)
            ran += 1
        elif words[0] == "head":
            done = subprocess.run(words, capture_output=True, check=True)
            assert b'"digest": ' in done.stdout, place
            ran += 1
    assert ran > 12
    assert (tmp_path / "eu-restored" / "FORMAT").exists()
    golden = servers["8401"].ask("GET", "/v1/profiles/ann")[1]["fields"]
    assert golden["tags"] == ["news", "vip"]
    assert golden["marketing"] is False


def test_commands_that_go_on_are_understood() -> None:
    parser = build_parser()
    for place, words in ALL:
        if words[0] == "crdtstore" and words[1] in NEVER_RUN:
            try:
                parser.parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{place}: {shlex.join(words)} is not understood")


def test_make_targets_and_extras_exist() -> None:
    targets = re.findall(r"^([\w-]+):", documents.read("Makefile"), re.MULTILINE)
    project = tomllib.loads(documents.read("pyproject.toml"))["project"]
    for place, words in ALL:
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= set(targets), place
        if words[0] == "pip":
            match = re.fullmatch(r"\.\[(\w+)\]", words[2])
            assert match is not None, place
            assert match[1] in project["optional-dependencies"], place
    assert project["scripts"] == {
        "crdtstore": "crdtstore_script:main",
        "crdtstore-cdp": "replicas.cdp.command:main",
        "crdtstore-crm": "replicas.crm.command:main",
    }


def test_every_flag_that_is_named_exists() -> None:
    known = _flags(build_parser()) | _flags(simulation.build_parser()) | {"--help"}
    known |= _flags(scenario.build_parser()) | _flags(crm.build_parser())
    known |= _flags(cdp.build_parser())
    known |= _flags(benchmarks.build_parser())
    for path in documents.DOCUMENTS:
        for word in documents.code_words(path.read_text("utf-8")):
            for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", word):
                assert flag in known, f"{path.relative_to(ROOT)}: {flag}"


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= _flags(command)
    return found


def _at(word: str, servers: dict[str, Server]) -> str:
    """Return a word with the addresses of the documents replaced by those of the servers."""
    for port, server in servers.items():
        word = word.replace(f"http://127.0.0.1:{port}", server.url)
    return word


def _curl(words: list[str]) -> bytes:
    """Do what curl would: the few options that the documents use."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", default=None)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d", default=None)
    parser.add_argument("url")
    asked = parser.parse_args(words)
    headers = dict(header.split(": ", 1) for header in asked.H)
    data = None if asked.d is None else asked.d.encode()
    request = urllib.request.Request(asked.url, data=data, headers=headers, method=asked.X)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        assert response.status == 200
        body: bytes = response.read()
        return body


def test_the_curl_of_this_test_refuses_what_it_does_not_know() -> None:
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        _curl(["--compressed", "http://127.0.0.1:1/"])


def test_files_that_commands_name_are_made_by_earlier_ones() -> None:
    made = {
        match for block in SHELL for match in re.findall(r"> ([\w-]+)$", block.text, re.MULTILINE)
    }
    for place, words in ALL:
        for flag in ("--token-file", "--link-secret-file"):
            if flag in words:
                assert words[words.index(flag) + 1] in made, place
    assert not Path(ROOT / "token").exists()
