"""The command `conflicts` against a real server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crdtstore.cli.main import main
from crdtstore.store import Store
from tests.processes.servers import Server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a replica that wrote a name while another one did."""
    for name in [name for name in os.environ if name.startswith("CRDTSTORE_")]:
        monkeypatch.delenv(name)
    with (
        Store.open(tmp_path / "eu", name="eu") as eu,
        Store.open(tmp_path / "us", name="us") as us,
    ):
        eu.write("ann", {"name": "Ann"}, source="crm")
        us.write("ann", {"name": "Anna"}, source="crm")
        eu.commit()
        us.commit()
        records = us.replication.records_after(0, 1 << 20)
        eu.replication.learn_names(us.replication.names)
        eu.replication.receive_frames([raw for _, raw in records], eu.now_ms())
    server = Server("eu", tmp_path / "eu", tmp_path / "eu.log")
    server.start()
    monkeypatch.setenv("CRDTSTORE_URL", server.url)
    yield server
    server.kill()


def test_conflicts_are_shown_and_settled(server: Server, capsys: Any) -> None:
    assert main(["conflicts", "--json"]) == 0
    (conflict,) = json.loads(capsys.readouterr().out)["conflicts"]
    values = {conflict["lost"]["value"], conflict["kept"]["value"]}
    assert values == {"Ann", "Anna"}
    assert main(["conflicts", "--profile", "ann"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["ID", "PROFILE", "FIELD", "SOURCE"]
    assert row.split()[:4] == [conflict["id"], "ann", "name", "crm"]
    assert main(["conflicts", "choose", conflict["id"]]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "settled"
    assert main(["get", "ann", "--json"]) == 0
    profile = json.loads(capsys.readouterr().out)
    assert profile["fields"]["name"] == conflict["lost"]["value"]
    assert main(["conflicts", "choose", conflict["id"], "--kept"]) == 1
    assert "is settled" in capsys.readouterr().err
    assert main(["changes", "--persons"]) == 0
    output = capsys.readouterr().out
    assert f"  conflicts: {conflict['id']}" in output
    assert f"  settled: {conflict['id']}" in output
    assert "  person ann: ann" in output
