"""Where targets are, and what is kept there: tables of the configuration, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from crdtstore.errors import ConfigurationError
from replicas.cdp import limits

_REDIS: Final = ("redis", "rediss", "unix")
_POSTGRESQL: Final = ("postgresql", "postgres")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A Redis: its address, as ``redis://127.0.0.1:6379/0``, and how our keys begin.

    The address may hold a password, and is in no representation.
    """

    url: str = field(repr=False)
    prefix: str = "crdtstore:"

    @classmethod
    def of(cls, table: Mapping[str, Any], directory: Path) -> "RedisSettings":
        """Return the settings of ``[projections.redis]``; raises ConfigurationError."""
        place = "[projections.redis]"
        found = cls(
            _address_of(table, {"prefix"}, directory, _REDIS, place), **_given(table, "prefix")
        )
        if type(found.prefix) is not str or not found.prefix:
            raise ConfigurationError(f"{place}: prefix is a text that is not empty")
        return found


@dataclass(frozen=True, slots=True)
class PostgresqlSettings:
    """A PostgreSQL: its address, as ``postgresql://user@host/database``, and the schema for us."""

    url: str = field(repr=False)
    schema: str = "public"

    @classmethod
    def of(cls, table: Mapping[str, Any], directory: Path) -> "PostgresqlSettings":
        """Return the settings of ``[projections.postgresql]``; raises ConfigurationError."""
        place = "[projections.postgresql]"
        found = cls(
            _address_of(table, {"schema"}, directory, _POSTGRESQL, place), **_given(table, "schema")
        )
        if type(found.schema) is not str or not _SCHEMA.fullmatch(found.schema):
            raise ConfigurationError(f"{place}: schema is a name in small letters")
        return found


def _given(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: table[name]} if name in table else {}


def _address_of(
    table: Mapping[str, Any],
    others: set[str],
    directory: Path,
    schemes: tuple[str, ...],
    place: str,
) -> str:
    for name in table:
        if name not in {"url", "url_file", *others}:
            raise ConfigurationError(f"{place}: {name!r} is not known here")
    if ("url" in table) is ("url_file" in table):
        raise ConfigurationError(f"{place}: one of url and url_file is needed")
    url = table.get("url")
    if "url_file" in table:
        path = directory / str(table["url_file"])
        try:
            with path.open(encoding="utf-8") as file:
                url = file.read(limits.TARGET_URL_CHARACTERS_MAX).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{place}: cannot read {path}: {error}") from None
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        is_address = parts.scheme in schemes and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not isinstance(url, str) or not is_address:
        raise ConfigurationError(f"{place}: url is an address that begins with {schemes[0]}://")
    return url
