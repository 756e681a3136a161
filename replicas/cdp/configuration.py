"""Configuration: one TOML file, read and checked whole before anything starts.

Secrets of the replica are not in it: it names files that hold them. Write keys are in it: they are
no secrets, for web pages show them to everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from crdtstore import Schema
from crdtstore.errors import ConfigurationError
from replicas.cdp import limits
from replicas.cdp.collecting import CollectSettings
from replicas.cdp.event_log import LogSettings
from replicas.cdp.followers import FollowSettings
from replicas.cdp.learning import RESERVED_FIELDS, LearnSettings
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.embedding.configuration import (
    address_of,
    check_keys,
    check_present,
    read_configuration,
    secret_in,
    texts_in,
)

_TEXTS: Final = (
    "name", "data", "listen", "collect_listen", "space", "schema", "token_file",
    "link_secret_file", "log_format", "log_level", "traits_file", "segments_file",
)  # fmt: skip
_TABLES: Final = ("write_keys", "collect", "log", "identify", "consent", "projections")
_Settings = TypeVar("_Settings", CollectSettings, LogSettings)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the service was told. ``write_keys`` are names by key; no secret is shown."""

    name: str
    data: Path
    host: str
    port: int
    collect_host: str
    collect_port: int
    write_keys: Mapping[str, str]
    space: str = "default"
    schema: Schema = field(default_factory=Schema)
    peers: tuple[str, ...] = ()
    collect: CollectSettings = field(default_factory=CollectSettings)
    log: LogSettings = field(default_factory=LogSettings)
    learn: LearnSettings = field(default_factory=LearnSettings)
    follow: FollowSettings = field(default_factory=FollowSettings)
    traits: TraitDefinitions = field(default_factory=TraitDefinitions)
    token: str | None = field(default=None, repr=False)
    link_secret: str | None = field(default=None, repr=False)
    log_format: str = "human"
    log_level: str = "info"
    processes: int = 1


def load_configuration(path: Path) -> Configuration:
    """Return the configuration in a TOML file; relative paths in it are relative to the file.

    Raises ConfigurationError, which says what is wrong, where, and what is allowed.
    """
    return read_configuration(path, _configuration_of)


def _configuration_of(table: dict[str, Any], directory: Path) -> Configuration:
    kinds: dict[str, type] = {**dict.fromkeys(_TEXTS, str), "peers": list, "processes": int}
    check_keys(table, {**kinds, **dict.fromkeys(_TABLES, dict)}, "the file")
    check_present(table, ("name", "data", "write_keys"))
    host, port = address_of(table.get("listen", "127.0.0.1:8470"))
    collect_host, collect_port = address_of(table.get("collect_listen", "127.0.0.1:8471"))
    schema = Schema.load(directory / table["schema"]) if "schema" in table else Schema()
    follow = FollowSettings.of(table, directory)
    traits = TraitDefinitions()
    if "traits_file" in table:
        traits = TraitDefinitions.load(directory / table["traits_file"])
    learn = _learn_settings_of(table)
    _check_apart(traits, learn)
    return Configuration(
        name=table["name"],
        data=directory / table["data"],
        host=host,
        port=port,
        collect_host=collect_host,
        collect_port=collect_port,
        write_keys=_write_keys_of(table["write_keys"]),
        space=table.get("space", "default"),
        schema=follow.schema(traits.declared(schema)),
        peers=texts_in(table, "peers"),
        collect=_settings_of(CollectSettings, table.get("collect", {}), "[collect]"),
        log=_settings_of(LogSettings, table.get("log", {}), "[log]"),
        learn=learn,
        follow=follow,
        traits=traits,
        token=secret_in(table, "token_file", directory),
        link_secret=secret_in(table, "link_secret_file", directory),
        log_format=table.get("log_format", "human"),
        log_level=table.get("log_level", "info"),
        processes=_processes_of(table),
    )


def _processes_of(table: Mapping[str, Any]) -> int:
    count: int = table.get("processes", 1)
    if not 1 <= count <= limits.PROCESSES_MAX:
        raise ConfigurationError(f"processes is a number from 1 to {limits.PROCESSES_MAX}")
    return count


def _check_apart(traits: TraitDefinitions, learn: LearnSettings) -> None:
    """Check that no trait has the name of a field that events become by other means."""
    taken = {**dict.fromkeys(learn.fields.values(), "what identify says"), "groups": "groups"}
    for name in sorted(traits.by_name.keys() & taken.keys()):
        raise ConfigurationError(f"traits.{name}: this field is for {taken[name]}; name it else")


def _write_keys_of(table: Mapping[str, Any]) -> dict[str, str]:
    check_keys(table, dict.fromkeys(table, str), "[write_keys]")
    names = {key: name for name, key in table.items()}
    if "" in names or len(names) < len(table):
        raise ConfigurationError("[write_keys]: each name has a key of its own, none is empty")
    return names


def _settings_of(kind: type[_Settings], table: Mapping[str, Any], where: str) -> _Settings:
    numbers = {each.name: type(each.default) for each in fields(kind)}
    check_keys(table, numbers, where)
    return kind(**table)


def _learn_settings_of(table: Mapping[str, Any]) -> LearnSettings:
    identify, consent = table.get("identify", {}), table.get("consent", {})
    check_keys(identify, {"fields": dict, "keeps_others": bool, "source": str}, "[identify]")
    check_keys(consent, {"prefix": str}, "[consent]")
    own = identify.get("fields", {})
    check_keys(own, dict.fromkeys(own, str), "[identify.fields]")
    if not consent.get("prefix", "consent."):
        raise ConfigurationError("[consent]: the prefix is not empty")
    return LearnSettings(
        fields=RESERVED_FIELDS | own,
        keeps_others=identify.get("keeps_others", True),
        source=identify.get("source", "cdp"),
        consent_prefix=consent.get("prefix", "consent."),
    )
