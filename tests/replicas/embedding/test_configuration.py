"""What every service reads its file with: a mistake is told with its name and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from crdtstore.errors import ConfigurationError
from replicas.embedding import limits
from replicas.embedding.configuration import (
    address_of,
    check_keys,
    check_present,
    read_configuration,
    secret_in,
    texts_in,
)


def _name_of(table: dict[str, Any], directory: Path) -> str:
    check_present(table, ("name",))
    return f"{directory.name} {table['name']}"


def test_a_file_is_read_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text('name = "eu"\n')
    assert read_configuration(tmp_path / "service.toml", _name_of) == f"{tmp_path.name} eu"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read .*service.toml: No such file"),
        ("name =", "service.toml is not TOML"),
        ("", "service.toml: name is missing"),
    ],
)
def test_a_file_of_no_use_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "service.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        read_configuration(tmp_path / "service.toml", _name_of)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"wait": 1}, "the file: 'wait' is unknown; it takes count, wait_s"),
        ({"count": "1"}, "the file: count is a int, not '1'"),
        ({"count": True}, "the file: count is a int, not True"),
        ({"count": 0}, "the file: count is too small: 0"),
        ({"wait_s": -0.5}, "the file: wait_s is too small: -0.5"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_keys(table, {"count": int, "wait_s": float}, "the file")
    assert str(refused.value) == says


def test_whole_numbers_are_numbers() -> None:
    check_keys({"count": 1, "wait_s": 0}, {"count": int, "wait_s": float}, "the file")


def test_lists_are_of_texts() -> None:
    assert texts_in({}, "peers") == ()
    assert texts_in({"peers": ["http://a.example"]}, "peers") == ("http://a.example",)
    with pytest.raises(ConfigurationError, match="peers is a list of texts"):
        texts_in({"peers": ["http://a.example", 3]}, "peers")


def test_addresses() -> None:
    assert address_of("127.0.0.1:8450") == ("127.0.0.1", 8450)
    assert address_of("[::1]:0") == ("::1", 0)
    for text in ("", "8450", ":8450", "localhost:", "localhost:x", "localhost:65536", "a:٣"):
        with pytest.raises(ConfigurationError, match="is no address"):
            address_of(text)


def test_secrets_are_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" secret\n")
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "large").write_bytes(b"x" * (limits.SECRET_FILE_BYTES_MAX + 1))
    assert secret_in({}, "token_file", tmp_path) is None
    assert secret_in({"token_file": "key"}, "token_file", tmp_path) == "secret"
    for name, says in (("blank", "is empty"), ("large", "is too large"), ("none", "cannot read")):
        with pytest.raises(ConfigurationError, match=f"token_file: .*{says}"):
            secret_in({"token_file": name}, "token_file", tmp_path)
