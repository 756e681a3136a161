"""Configuration of ``crdtstore serve``: flags before environment before file before defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from crdtstore.errors import ConfigurationError
from crdtstore.settings import Settings
from crdtstore.toml import parse_toml

_SETTINGS: Final = tuple(setting.name for setting in fields(Settings) if setting.type is int)
_PATH_SETTINGS: Final = ("witness_directory",)
_TEXTS: Final = (
    "name",
    "data",
    "listen",
    "space",
    "schema",
    "log_format",
    "log_level",
)
_SECRETS: Final = ("token", "link_secret", "suppression_key")
_SECRET_FILES: Final = tuple(f"{name}_file" for name in _SECRETS)


@dataclass(frozen=True, slots=True)
class ServeConfiguration:
    """What ``serve`` was told. The secrets are in no representation of it."""

    name: str
    data: Path
    host: str = "127.0.0.1"
    port: int = 8401
    space: str = "default"
    peers: tuple[str, ...] = ()
    schema: Path | None = None
    token: str | None = field(default=None, repr=False)
    link_secret: str | None = field(default=None, repr=False)
    log_format: str = "human"
    log_level: str = "info"
    settings: Settings = field(default_factory=Settings)


def serve_configuration(
    flags: Mapping[str, Any], environment: Mapping[str, str]
) -> ServeConfiguration:
    """Return the configuration that flags, CRDTSTORE_* variables and a TOML file make.

    A flag that is None or empty was not given. Raises ConfigurationError.
    """
    path = flags.get("config") or environment.get("CRDTSTORE_CONFIG")
    filed = _read_file(Path(path)) if path else {}
    given: dict[str, Any] = {}
    for name in (*_TEXTS, "peers", *_SETTINGS, *_PATH_SETTINGS):
        ways = (flags.get(name), _variable(environment, name), filed.get(name))
        given[name] = next((way for way in ways if way is not None), None)
    missing = [name for name in ("name", "data") if not given[name]]
    if missing:
        needs = " and ".join(f"{n} (--{n}, CRDTSTORE_{n.upper()} or {n} = ...)" for n in missing)
        raise ConfigurationError(f"serve needs {needs}")
    host, port = parse_address(given["listen"] or "127.0.0.1:8401")
    settings = {
        name: given[name] for name in (*_SETTINGS, *_PATH_SETTINGS) if given[name] is not None
    }
    secrets = {
        name: read_secret(name, flags.get(f"{name}_file"), environment, filed.get(f"{name}_file"))
        for name in _SECRETS
    }
    return ServeConfiguration(
        name=given["name"],
        data=Path(given["data"]),
        host=host,
        port=port,
        space=given["space"] or "default",
        peers=tuple(given["peers"] or ()),
        schema=Path(given["schema"]) if given["schema"] else None,
        token=secrets["token"],
        link_secret=secrets["link_secret"],
        log_format=given["log_format"] or "human",
        log_level=given["log_level"] or "info",
        settings=Settings(**settings, suppression_key=secrets["suppression_key"] or ""),
    )


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of "HOST:PORT", "[IPv6]:PORT"; raises ConfigurationError."""
    host, separator, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535
    is_plain = ":" not in host or (host.startswith("[") and host.endswith("]"))
    if not separator or not host or not is_port or not is_plain:
        raise ConfigurationError(
            f"{text!r} is no address to listen on; write HOST:PORT, as in 127.0.0.1:8401 "
            "or [::1]:8401"
        )
    return host.strip("[]"), int(port)


def read_secret(
    name: str, flag: str | None, environment: Mapping[str, str], filed: str | None
) -> str | None:
    """Return a secret: from the file that a flag names, the environment, or the settings' file.

    None if nobody gives one. Raises ConfigurationError.
    """
    variable = f"CRDTSTORE_{name.upper()}"
    path = flag
    if path is None:
        secret, path = environment.get(variable), environment.get(f"{variable}_FILE")
        if secret and path:
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set; keep one")
        if secret:
            return secret
    path = path or filed
    if not path:
        return None
    try:
        secret = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the {name} file {path}: {_why(error)}") from error
    if not secret:
        raise ConfigurationError(f"the {name} file {path} is empty")
    return secret


def _variable(environment: Mapping[str, str], name: str) -> Any:
    """Return what the environment says of a setting, in the setting's own type."""
    variable = f"CRDTSTORE_{name.upper()}"
    text = environment.get(variable)
    if not text:
        return None
    if name == "peers":
        return text.replace(",", " ").split()
    if name in _SETTINGS:
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise ConfigurationError(f"{variable} is a whole number, not {text[:40]!r}")
        return int(text)
    return text


def _read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file; relative paths in it are relative to the file."""
    try:
        document = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {_why(error)}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    allowed = {*_TEXTS, *_SECRET_FILES, "peers", *_SETTINGS, *_PATH_SETTINGS}
    for name, value in document.items():
        if name in _SECRETS:
            raise ConfigurationError(
                f"{path}: {name} does not belong into a file of settings; "
                f"name a file with {name}_file, or set CRDTSTORE_{name.upper()}"
            )
        if name not in allowed:
            raise ConfigurationError(
                f"{path}: unknown setting {name!r}; allowed: {', '.join(sorted(allowed))}"
            )
        _check_type(path, name, value)
    for name in ("data", "schema", *_PATH_SETTINGS, *_SECRET_FILES):
        if name in document:
            document[name] = str(path.parent / document[name])
    return document


def _check_type(path: Path, name: str, value: object) -> None:
    if name == "peers":
        if type(value) is not list or not all(type(peer) is str for peer in value):
            raise ConfigurationError(f"{path}: peers is a list of texts")
    elif name in _SETTINGS:
        if type(value) is not int:
            raise ConfigurationError(f"{path}: {name} is a whole number, not {value!r}")
    elif type(value) is not str:
        raise ConfigurationError(f"{path}: {name} is text, not {value!r}")
    elif "\0" in value:
        raise ConfigurationError(f"{path}: {name} has a NUL character: {value!r}")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
