"""The service: a replica, the connections beside it, and the pages about them, in one process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from crdtstore import Replica
from crdtstore.errors import ConfigurationError
from crdtstore.server import application, check_exposure
from replicas.crm.configuration import CrmConfiguration, VendorConfiguration
from replicas.crm.connection import Connection
from replicas.crm.crm import Crm
from replicas.crm.driver import Driver
from replicas.crm.events import Events, LongPolls
from replicas.crm.hubspot.crm import HubSpot
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.redaction import Redaction
from replicas.crm.salesforce.crm import Salesforce
from replicas.crm.salesforce.settings import SalesforceSettings
from replicas.crm.web import Pages, Webhooks
from replicas.embedding.running import listening, told_to_stop, until_stopped, working

_log = logging.getLogger("replicas.crm.service")


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it runs: its replica, the connections by source, and their tasks."""

    replica: Replica
    connections: Mapping[str, Connection]
    tasks: Sequence[asyncio.Task[None]]


async def serve(configuration: CrmConfiguration, *, is_dry: bool = False) -> None:
    """Work until SIGTERM or SIGINT. Raises ConfigurationError or StorageError at the start."""
    check_exposure(configuration.host, configuration.token, configuration.link_secret)
    stopping = told_to_stop()
    async with running(configuration, is_dry=is_dry) as service:
        print(
            f"crdtstore-crm {configuration.name} serves "
            f"http://{configuration.host}:{configuration.port}/crm/status; Ctrl-C ends it",
            flush=True,
        )
        await until_stopped(stopping, service.tasks)
    _log.info("closed")


@asynccontextmanager
async def running(
    configuration: CrmConfiguration, *, is_dry: bool = False
) -> AsyncIterator[Running]:
    """Run the whole service while the context lasts."""
    redaction = Redaction()
    for handler in logging.getLogger().handlers:
        handler.addFilter(redaction)
    redaction.add(*(one for one in (configuration.token, configuration.link_secret) if one))
    async with contextlib.AsyncExitStack() as stack:
        replica = await stack.enter_async_context(
            Replica.open(
                configuration.data,
                name=configuration.name,
                space=configuration.space,
                schema=configuration.schema,
                peers=configuration.peers,
                link_secret=configuration.link_secret,
            )
        )
        jar = aiohttp.CookieJar(unsafe=True)
        client = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        connections: dict[str, Connection] = {}
        for vendor in configuration.vendors:
            connection = _connection(replica, vendor, client, redaction, is_dry)
            connections[connection.source] = connection
            if vendor.webhook_listen and isinstance(vendor.vendor, HubSpotSettings):
                hooks = Webhooks(connection, vendor.vendor).application()
                await stack.enter_async_context(listening(hooks, vendor.webhook_listen))
        app = application(replica, token=configuration.token, link_secret=configuration.link_secret)
        Pages(connections).add_to(app)
        address = configuration.host, configuration.port
        await stack.enter_async_context(listening(app, address))
        works = (connection.run() for connection in connections.values())
        tasks = await stack.enter_async_context(working(*works))
        yield Running(replica, connections, tasks)


def _connection(
    replica: Replica,
    configuration: VendorConfiguration,
    client: aiohttp.ClientSession,
    redaction: Redaction,
    is_dry: bool,
) -> Connection:
    settings = configuration.vendor
    crm: Crm
    if isinstance(settings, HubSpotSettings):
        redaction.add(settings.token, settings.webhook_secret)
        crm = HubSpot(settings)
    else:
        redaction.add(settings.secret)
        crm = Salesforce(settings)
    driver = Driver(crm, client, configuration.pace, redaction)
    return Connection(
        replica,
        driver,
        settings.mapping,
        events=_events(settings, driver) if isinstance(settings, SalesforceSettings) else None,
        poll_s=configuration.work.poll_s,
        resend_after_s=configuration.work.resend_after_s,
        sweep_s=configuration.work.sweep_s,
        is_dry=is_dry,
    )


def _events(settings: SalesforceSettings, driver: Driver) -> Events | None:
    """Return how the change events of an org come, None for not at all.

    Raises ConfigurationError if a library is missing.
    """
    if settings.events == "cometd":
        return LongPolls(settings, driver)
    if settings.events == "none":
        return None
    try:
        from replicas.crm.event_stream import EventStream
    except ImportError as error:
        raise ConfigurationError(
            f'events = "pubsub" needs {error.name}: pip install "crdtstore[crm-pubsub]"'
        ) from None
    return EventStream(settings, driver)
