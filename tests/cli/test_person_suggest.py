"""The command `person suggest` against a real server: what a steward sees, accepts and declines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crdtstore.cli.main import main
from tests.linkage.people import RULES, people
from tests.processes.servers import Server

RULES_TEXT = f"""
blocks = {json.dumps([list(block) for block in RULES.blocks])}
sure = {json.dumps([list(block) for block in RULES.sure])}

[compare]
""" + "\n".join(f'{name} = "{how}"' for name, how in RULES.compare.items())


@pytest.fixture
def rules_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve people of whom some share a card; the file has the rules."""
    server = Server("eu", tmp_path / "eu", tmp_path / "eu.log")
    server.start()
    monkeypatch.setenv("CRDTSTORE_URL", server.url)
    writes: list[dict[str, Any]] = []
    for profile_id, record in people().items():
        fields: dict[str, Any] = dict(record)
        if "soc_sec_id" in record:
            fields["identifiers"] = {"add": [f"card:{record['soc_sec_id']}"]}
        writes.append({"id": profile_id, "source": "crm", "fields": fields})
    assert server.ask("POST", "/v1/writes", {"writes": writes})[0] == 200
    file = tmp_path / "linkage.toml"
    file.write_text(RULES_TEXT)
    yield str(file)
    server.kill()


def suggested(capsys: Any, *words: str) -> list[dict[str, Any]]:
    assert main(("person", "suggest", *words, "--json")) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["suggestions"]
    return found


def test_a_steward_is_shown_pairs_and_answers(rules_file: str, capsys: Any) -> None:
    first, second, *rest = suggested(capsys, rules_file)
    assert set(first) == {"score", "profile_id", "other_id", "agrees", "alike", "differs"}
    assert main(("person", "suggest", rules_file, "--limit", "1")) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["SCORE", "PROFILE", "OTHER", "AGREE", "ALIKE", "DIFFER"]
    assert table[1].split()[:3] == [f"{first['score']:.4f}", first["profile_id"], first["other_id"]]
    assert table[2].startswith("1 suggested of 240 profiles")
    assert main(("person", "merge", first["profile_id"], first["other_id"])) == 0
    assert main(("person", "not-match", second["profile_id"], second["other_id"])) == 0
    capsys.readouterr()
    assert suggested(capsys, rules_file) == rest


def test_rules_that_are_wrong_are_told_in_one_line(tmp_path: Path, capsys: Any) -> None:
    assert main(("person", "suggest", str(tmp_path / "nothing.toml"))) == 1
    told = capsys.readouterr().err
    assert "nothing.toml: cannot be read" in told
    assert told.count("\n") == 1
