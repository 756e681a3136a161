"""crdtstore backup and restore, as an operator types them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Store
from crdtstore.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "eu", name="eu") as store:
        store.write("ann", {"x": 1}, source="crm")
    return tmp_path / "eu"


def test_backup_and_restore_of_a_stopped_replica(data: Path, tmp_path: Path, capsys: Any) -> None:
    path, new = str(tmp_path / "eu.backup"), str(tmp_path / "new")
    assert main(["backup", path, "--data", str(data)]) == 0
    assert "eu.backup" in capsys.readouterr().out
    assert main(["restore", path, new, "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert (manifest["name"], manifest["profiles"], manifest["format"]) == ("eu", 1, 2)
    with Store.open(new, name="eu") as store:
        assert store.digest().digest == manifest["digest"]


def test_refusals_are_one_line(data: Path, tmp_path: Path, capsys: Any) -> None:
    path = str(tmp_path / "eu.backup")
    assert main(["backup", path, "--data", str(data)]) == 0
    content = Path(path).read_bytes()
    (tmp_path / "cut.backup").write_bytes(content[:-10])
    (tmp_path / "other.backup").write_bytes(b"PK\x03\x04")
    (tmp_path / "newer.backup").write_bytes(content.replace(b"backup 2\n", b"backup 9\n", 1))
    capsys.readouterr()
    new = str(tmp_path / "new")
    for words, text in (
        (["backup", path, "--data", str(data)], "exists"),
        (["backup", path + "2", "--data", str(tmp_path)], "no data directory"),
        (["backup", path + "2", "--data", str(data), "--url", "http://127.0.0.1:1"], "--data"),
        (["backup", path + "2", "--url", "http://127.0.0.1:1"], "nothing listens"),
        (["restore", str(tmp_path / "cut.backup"), new], "cut short"),
        (["restore", str(tmp_path / "other.backup"), new], "no backup"),
        (["restore", str(tmp_path / "newer.backup"), new], "format 9"),
        (["restore", str(tmp_path / "absent"), new], "cannot be read"),
        (["restore", path, str(data)], "not empty"),
    ):
        assert main(words) == 1, words
        output, errors = capsys.readouterr()
        assert output == ""
        assert text in errors, words
        assert len(errors.splitlines()) == 1
    assert not os.path.exists(new)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name or "backup2" in name]


def test_a_directory_in_use_is_told(data: Path, tmp_path: Path, capsys: Any) -> None:
    with Store.open(data, name="eu"):
        assert main(["backup", str(tmp_path / "a"), "--data", str(data)]) == 1
    assert "already open" in capsys.readouterr().err
