"""One service in this process, beside one vendor."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ports import free_port
from crdtstore import Person
from crdtstore.errors import PersonNotFound
from replicas.crm.configuration import load_configuration
from replicas.crm.connection import Connection
from replicas.crm.service import Running, running
from tests.patience import until
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.regions import POLLS, write_hubspot, write_salesforce
from tests.replicas.crm.salesforce_server import SalesforceServer


class BesideSalesforce(NamedTuple):
    """A Salesforce, and the service beside it."""

    server: SalesforceServer
    service: Running
    connection: Connection


class BesideHubSpot(NamedTuple):
    """A HubSpot, and the service beside it."""

    server: HubSpotServer
    service: Running
    connection: Connection


@contextlib.asynccontextmanager
async def beside_salesforce(
    directory: Path, server: SalesforceServer, more: str = POLLS, *, is_dry: bool = False
) -> AsyncIterator[BesideSalesforce]:
    """Run a service beside a Salesforce that has started."""
    path = write_salesforce(directory, server, port=free_port(), peers=[], more=more)
    async with running(load_configuration(path), is_dry=is_dry) as service:
        yield BesideSalesforce(server, service, service.connections["salesforce"])


@contextlib.asynccontextmanager
async def beside_hubspot(
    directory: Path, server: HubSpotServer, more: str = POLLS
) -> AsyncIterator[BesideHubSpot]:
    """Run a service beside a HubSpot that has started."""
    path = write_hubspot(
        directory, server, port=free_port(), peers=[], hook_port=free_port(), more=more
    )
    async with running(load_configuration(path)) as service:
        yield BesideHubSpot(server, service, service.connections["hubspot"])


def person(service: Running, email: str) -> Person | None:
    """Return the person with an address, None if there is none."""
    try:
        return service.replica.persons.find("email", email)[0]
    except PersonNotFound:
        return None


async def until_person(service: Running, email: str, /, **fields: Any) -> Person:
    """Wait until a person is there, with these values; return it."""

    def is_there() -> bool:
        found = person(service, email)
        return found is not None and all(found.record.get(k) == v for k, v in fields.items())

    await until(is_there, f"{email} with {fields}")
    found = person(service, email)
    assert found is not None
    return found


async def until_true(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    await until(condition, what)


async def until_compared(service: Running) -> None:
    """Wait until all records are loaded, and all profiles were compared with them once."""

    def is_compared() -> bool:
        cursors = service.replica.cursors
        return all(cursors.get(f"crm/{name}/scan") == "done" for name in service.connections)

    await until(is_compared, "the first comparison")
