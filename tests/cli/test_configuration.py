"""Configuration of serve: flags before environment before file before defaults."""

from pathlib import Path
from typing import Any

import pytest

from crdtstore.cli.configuration import parse_address, serve_configuration
from crdtstore.errors import ConfigurationError

NEEDED = {"name": "eu", "data": "./eu"}
TOKEN = "t" * 32


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_defaults() -> None:
    configuration = serve_configuration(NEEDED, {})
    assert (configuration.host, configuration.port) == ("127.0.0.1", 8401)
    assert (configuration.space, configuration.peers, configuration.token) == ("default", (), None)
    assert (configuration.log_format, configuration.log_level) == ("human", "info")


def test_flags_go_before_variables_before_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path / "eu.toml",
        'name = "filed"\ndata = "data"\nspace = "filed"\nlisten = "127.0.0.1:1"\n'
        'peers = ["http://filed"]\ncommit_interval_ms = 5\njournal_retention_ms = 7\n',
    )
    environment = {
        "CRDTSTORE_CONFIG": str(path),
        "CRDTSTORE_SPACE": "variable",
        "CRDTSTORE_LISTEN": "127.0.0.1:2",
        "CRDTSTORE_PEERS": "http://one, http://two",
        "CRDTSTORE_COMMIT_INTERVAL_MS": "0",
    }
    configuration = serve_configuration({"listen": "127.0.0.1:3"}, environment)
    assert configuration.name == "filed"
    assert configuration.data == tmp_path / "data"
    assert configuration.space == "variable"
    assert configuration.port == 3
    assert configuration.peers == ("http://one", "http://two")
    assert configuration.settings.commit_interval_ms == 0
    assert configuration.settings.journal_retention_ms == 7


def test_a_path_among_the_settings_is_relative_to_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "eu.toml", 'witness_directory = "memory"\n')
    flags = {**NEEDED, "config": str(path)}
    filed = serve_configuration(flags, {})
    assert filed.settings.witness_directory == str(tmp_path / "memory")
    named = serve_configuration(flags, {"CRDTSTORE_WITNESS_DIRECTORY": "/dev/shm"})
    assert named.settings.witness_directory == "/dev/shm"
    with pytest.raises(ConfigurationError, match="witness_directory is text, not 5"):
        serve_configuration({"config": str(written(path, "witness_directory = 5\n"))}, {})


def test_secrets_come_from_files_or_variables_and_are_never_shown(tmp_path: Path) -> None:
    flagged = written(tmp_path / "flagged", "flagged-secret-of-32-bytes\n")
    filed = written(tmp_path / "filed", "filed-secret-of-32-bytes\n")
    config = written(tmp_path / "eu.toml", 'token_file = "filed"\n')
    flags = {**NEEDED, "config": str(config)}
    one = serve_configuration(flags, {})
    two = serve_configuration(flags, {"CRDTSTORE_TOKEN": "variable-secret"})
    three = serve_configuration(flags, {"CRDTSTORE_TOKEN_FILE": str(flagged)})
    four = serve_configuration(
        {**flags, "token_file": str(flagged)}, {"CRDTSTORE_TOKEN": "variable-secret"}
    )
    assert one.token == filed.read_text().strip()
    assert two.token == "variable-secret"
    assert three.token == four.token == flagged.read_text().strip()
    link = serve_configuration(NEEDED, {"CRDTSTORE_LINK_SECRET": TOKEN})
    assert link.link_secret == TOKEN
    for configuration in (one, two, three, four, link):
        assert "secret-of" not in repr(configuration)
        assert TOKEN not in repr(configuration)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nam = 'eu'", "unknown setting 'nam'; allowed: .*name"),
        ("name = 1", "name is text"),
        ("peers = 'http://one'", "peers is a list"),
        ("peers = [1]", "peers is a list"),
        ("cache_bytes = '1'", "cache_bytes is a whole number"),
        ("cache_bytes = true", "cache_bytes is a whole number"),
        ("cache_bytes = 0", "cache_bytes"),
        ("token = 'secret-secret-secret'", "token_file"),
        ("link_secret = 'secret-secret-secret'", "link_secret_file"),
        ("name = ", "not TOML"),
        ("token_file = 'absent'", "cannot read the token file"),
        ("token_file = 'empty'", "is empty"),
        ("[settings]", "unknown setting 'settings'"),
    ],
)
def test_faults_of_the_file_are_told(tmp_path: Path, text: str, words: str) -> None:
    written(tmp_path / "empty", "\n")
    path = written(tmp_path / "eu.toml", text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        serve_configuration({**NEEDED, "config": str(path)}, {})
    assert "secret-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({}, {}, "name .*--name, CRDTSTORE_NAME.* and data"),
        ({"name": "eu"}, {}, "needs data"),
        ({**NEEDED, "config": "absent.toml"}, {}, "cannot read absent.toml"),
        (NEEDED, {"CRDTSTORE_CACHE_BYTES": "many"}, "CRDTSTORE_CACHE_BYTES is a whole number"),
        (NEEDED, {"CRDTSTORE_TOKEN": TOKEN, "CRDTSTORE_TOKEN_FILE": "x"}, "both set"),
        ({**NEEDED, "listen": "8401"}, {}, "no address"),
    ],
)
def test_faults_elsewhere_are_told(
    flags: dict[str, Any], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        serve_configuration(flags, environment)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert parse_address("[::1]:8401") == ("::1", 8401)
    assert parse_address("eu.example:80") == ("eu.example", 80)
    for text in ("", ":1", "host", "host:", "host:x", "host:65536", "::1:80", "[::1]", "host:-1"):
        with pytest.raises(ConfigurationError):
            parse_address(text)
