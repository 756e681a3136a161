"""Configuration: one TOML file, read and checked whole before anything starts.

Secrets are not in it: it names files that hold them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from crdtstore.errors import ConfigurationError
from crdtstore.toml import parse_toml
from replicas.embedding import limits

_Configuration = TypeVar("_Configuration")


def read_configuration(
    path: Path, configuration_of: Callable[[dict[str, Any], Path], _Configuration]
) -> _Configuration:
    """Return what a function makes of a TOML file and its folder, to which its paths are relative.

    Raises ConfigurationError, which says what is wrong, where, and what is allowed.
    """
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    try:
        return configuration_of(table, path.parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def check_keys(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    """Check which keys a table has, and the types of their values; raises ConfigurationError."""
    for name, value in table.items():
        if name not in kinds:
            allowed = ", ".join(sorted(kinds))
            raise ConfigurationError(f"{where}: {name!r} is unknown; it takes {allowed}")
        kind = kinds[name]
        is_number = kind is float and type(value) is int
        if type(value) is not kind and not is_number:
            raise ConfigurationError(f"{where}: {name} is a {kind.__name__}, not {value!r}")
        if kind in (int, float) and value < (1 if kind is int else 0):
            raise ConfigurationError(f"{where}: {name} is too small: {value}")


def check_present(table: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Check that a file says something for each of some names; raises ConfigurationError."""
    for name in names:
        if not table.get(name):
            raise ConfigurationError(f"{name} is missing")


def texts_in(table: Mapping[str, Any], name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a list of texts; raises ConfigurationError if it is none."""
    texts = tuple(table.get(name, default))
    if not all(type(one) is str for one in texts):
        raise ConfigurationError(f"{name} is a list of texts")
    return texts


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of "HOST:PORT"; raises ConfigurationError."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        raise ConfigurationError(f"{text!r} is no address; write it as 127.0.0.1:8450")
    return host.strip("[]"), int(port)


def secret_in(table: Mapping[str, Any], name: str, directory: Path) -> str | None:
    """Return what is in the file that a table names, None if it names none.

    Raises ConfigurationError if it cannot be read, or is no secret.
    """
    if name not in table:
        return None
    path = directory / str(table[name])
    try:
        if path.stat().st_size > limits.SECRET_FILE_BYTES_MAX:
            raise ConfigurationError(f"{name}: {path.name} is too large for a secret")
        secret: str = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot read {path}: {error.strerror}") from None
    if not secret:
        raise ConfigurationError(f"{name}: {path} is empty")
    return secret
