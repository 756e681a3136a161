"""TOML: what Python's parser lets through, or cannot say, is refused in words."""

import pytest

from crdtstore.cli.configuration import parse_address, serve_configuration
from crdtstore.errors import ConfigurationError, SchemaError
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.toml import parse_toml

WRONG = {
    "deep list": ("a = " + "[" * 3_000, "nested too deeply"),
    "deep table": ("a = " + "{a=" * 3_000, "nested too deeply"),
    "digits": ("a = " + "9" * 5_000, "thousands of digits"),
    "hexadecimal": ("[t]\na = [1, 0x" + "f" * 5_000 + "]", "beyond 64 bits"),
    "just too large": (f"a = {2**63}", "beyond 64 bits"),
    "syntax": ("a = ", "Invalid value"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path, name):
    text, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        parse_toml(text)
    with pytest.raises(SchemaError, match=words):
        Schema.from_toml(text)
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        serve_configuration({"config": str(path)}, {})


def test_integers_of_64_bits_are_read():
    assert parse_toml(f"a = {2**63 - 1}\nb = [-{2**63}]") == {"a": 2**63 - 1, "b": [-(2**63)]}


def test_settings_beyond_any_machine_are_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('token_file = "a\\u0000b"\n')
    with pytest.raises(ConfigurationError, match="has a NUL character"):
        serve_configuration({"config": str(path)}, {})
    with pytest.raises(ConfigurationError, match="not a greater one"):
        Settings(map_bytes_initial=1 << 5_000, map_bytes_max=1 << 5_000)
    with pytest.raises(ConfigurationError, match="CRDTSTORE_CACHE_BYTES is a whole number"):
        serve_configuration({"name": "a", "data": "b"}, {"CRDTSTORE_CACHE_BYTES": "9" * 5_000})
    with pytest.raises(ConfigurationError, match="no address"):
        parse_address("a:" + "9" * 5_000)
