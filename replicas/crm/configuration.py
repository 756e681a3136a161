"""Configuration: one TOML file, read and checked whole before anything starts.

Secrets are not in it: it names files that hold them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crdtstore import Schema
from crdtstore.errors import ConfigurationError
from replicas.crm import limits
from replicas.crm.budget import Window
from replicas.crm.driver import Pace
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.mapping import mapping_of
from replicas.crm.rounds import Waits
from replicas.crm.salesforce.settings import EVENTS, SalesforceSettings
from replicas.embedding.configuration import (
    address_of,
    check_keys,
    check_present,
    read_configuration,
    secret_in,
    texts_in,
)

_TEXTS: Final = ("name", "data", "listen", "space", "schema", "token_file", "link_secret_file")
_TOP: Final = (*_TEXTS, "peers", "log_format", "log_level", "salesforce", "hubspot")
_PACE: Final = {
    "concurrency": int,
    "attempts": int,
    "backoff_min_s": float,
    "backoff_max_s": float,
    "pause_s": float,
    "request_timeout_s": float,
}
_WORK: Final = {"poll_s": float, "resend_after_s": float, "sweep_s": float}
_SHARED: Final = {"objects": list, "windows": list, "source": str, "overlap_s": float}
_SALESFORCE: Final = {
    "login_address": str,
    "client_id": str,
    "secret_file": str,
    "flow": str,
    "username": str,
    "audience": str,
    "api_version": str,
    "tag": str,
    "collection_max": int,
    "page_max": int,
    "bulk_min": int,
    "results_max": int,
    "events": str,
    "pubsub_address": str,
}
_HUBSPOT: Final = {
    "token_file": str,
    "app_id": str,
    "address": str,
    "api_version": str,
    "webhook_secret_file": str,
    "webhook_url": str,
    "webhook_listen": str,
    "signatures": list,
    "batch_max": int,
    "search_max": int,
}


@dataclass(frozen=True, slots=True)
class Work:
    """How a connection works: how often it pulls and sweeps, and when it tries again."""

    poll_s: float = limits.POLL_S
    resend_after_s: float = limits.RESEND_AFTER_S
    sweep_s: float = limits.SWEEP_S


@dataclass(frozen=True, slots=True)
class VendorConfiguration:
    """One vendor: what it is, at which pace it is asked, and how its connection works.

    ``webhook_listen`` is where HubSpot's webhooks are listened for, None for nowhere.
    """

    vendor: SalesforceSettings | HubSpotSettings
    pace: Pace
    work: Work
    webhook_listen: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class CrmConfiguration:
    """What the service was told. The secrets are in no representation of it."""

    name: str
    data: Path
    host: str
    port: int
    space: str
    schema: Schema
    peers: tuple[str, ...]
    vendors: tuple[VendorConfiguration, ...]
    token: str | None = field(default=None, repr=False)
    link_secret: str | None = field(default=None, repr=False)
    log_format: str = "human"
    log_level: str = "info"


def load_configuration(path: Path) -> CrmConfiguration:
    """Return the configuration in a TOML file; relative paths in it are relative to the file.

    Raises ConfigurationError, which says what is wrong, where, and what is allowed.
    """
    return read_configuration(path, _configuration_of)


def _configuration_of(table: dict[str, Any], directory: Path) -> CrmConfiguration:
    kinds: dict[str, type] = {**dict.fromkeys(_TOP, str), "peers": list}
    check_keys(table, {**kinds, "salesforce": dict, "hubspot": dict}, "the file")
    check_present(table, ("name", "data"))
    vendors: list[VendorConfiguration] = []
    if "salesforce" in table:
        vendors.append(_salesforce_of(table["salesforce"], directory))
    if "hubspot" in table:
        vendors.append(_hubspot_of(table["hubspot"], directory))
    if not vendors:
        raise ConfigurationError("there is no CRM: add a table [salesforce] or [hubspot]")
    schema = Schema.load(directory / table["schema"]) if "schema" in table else Schema()
    host, port = address_of(table.get("listen", "127.0.0.1:8450"))
    return CrmConfiguration(
        name=table["name"],
        data=directory / table["data"],
        host=host,
        port=port,
        space=table.get("space", "default"),
        schema=schema,
        peers=texts_in(table, "peers"),
        vendors=tuple(vendors),
        token=secret_in(table, "token_file", directory),
        link_secret=secret_in(table, "link_secret_file", directory),
        log_format=table.get("log_format", "human"),
        log_level=table.get("log_level", "info"),
    )


def _salesforce_of(table: dict[str, Any], directory: Path) -> VendorConfiguration:
    check_keys(table, {**_SALESFORCE, **_SHARED, **_PACE, **_WORK}, "[salesforce]")
    secret = secret_in(table, "secret_file", directory)
    flow = table.get("flow", "client_credentials")
    if flow not in ("client_credentials", "jwt_bearer"):
        raise ConfigurationError(f"[salesforce]: flow {flow!r} is no flow that is known here")
    if table.get("events", "cometd") not in EVENTS:
        raise ConfigurationError(f"[salesforce]: events is one of {', '.join(EVENTS)}")
    for name in ("login_address", "client_id", *(("username",) if flow == "jwt_bearer" else ())):
        if not table.get(name):
            raise ConfigurationError(f"[salesforce]: {name} is missing")
    if secret is None:
        raise ConfigurationError("[salesforce]: secret_file is missing")
    pace = _pace_of(table)
    vendor = SalesforceSettings(
        secret=secret,
        mapping=mapping_of(table.get("objects"), identifier="salesforce_id"),
        waits=_waits_of(pace),
        **_chosen(table, {**_SALESFORCE, "source": str, "overlap_s": float}, "secret_file"),
    )
    return VendorConfiguration(vendor, pace, Work(**_chosen(table, _WORK)))


def _hubspot_of(table: dict[str, Any], directory: Path) -> VendorConfiguration:
    check_keys(table, {**_HUBSPOT, **_SHARED, **_PACE, **_WORK}, "[hubspot]")
    token = secret_in(table, "token_file", directory)
    if token is None or not table.get("app_id"):
        raise ConfigurationError("[hubspot]: token_file and app_id are needed")
    secret = secret_in(table, "webhook_secret_file", directory)
    listen = table.get("webhook_listen")
    if listen and not (secret and table.get("webhook_url")):
        raise ConfigurationError(
            "[hubspot]: webhooks need webhook_secret_file, and webhook_url as HubSpot signs it"
        )
    signatures = texts_in(table, "signatures", ("v3",))
    if not signatures or not set(signatures) <= {"v1", "v2", "v3"}:
        raise ConfigurationError("[hubspot]: signatures are some of v1, v2, v3")
    pace = _pace_of(table)
    left_out = ("token_file", "webhook_secret_file", "webhook_listen", "signatures")
    vendor = HubSpotSettings(
        token=token,
        webhook_secret=secret or "",
        signatures=signatures,
        mapping=mapping_of(table.get("objects"), identifier="hubspot_id"),
        waits=_waits_of(pace),
        **_chosen(table, {**_HUBSPOT, "source": str, "overlap_s": float}, *left_out),
    )
    where = address_of(listen) if listen else None
    return VendorConfiguration(vendor, pace, Work(**_chosen(table, _WORK)), where)


def _pace_of(table: dict[str, Any]) -> Pace:
    windows = []
    for each in table.get("windows", ()):
        if not isinstance(each, dict):
            raise ConfigurationError("windows is a list of tables: {calls = 190, seconds = 10}")
        check_keys(each, {"calls": int, "seconds": float}, "a window")
        if set(each) != {"calls", "seconds"} or min(each.values()) <= 0:
            raise ConfigurationError("a window has calls and seconds, both above 0")
        windows.append(Window(each["calls"], each["seconds"]))
    return Pace(windows=tuple(windows), **_chosen(table, _PACE))


def _waits_of(pace: Pace) -> Waits:
    return Waits(pace.backoff_min_s, pace.backoff_max_s, pace.pause_s)


def _chosen(table: Mapping[str, Any], names: Mapping[str, type], *left_out: str) -> dict[str, Any]:
    return {name: table[name] for name in names if name in table and name not in left_out}
