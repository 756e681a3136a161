"""Streams of events: what one is, and one by long polls, a conversation that the driver runs."""

from typing import Protocol

from replicas.crm.crm import Page
from replicas.crm.driver import Driver
from replicas.crm.salesforce.cometd import ChangeEvents
from replicas.crm.salesforce.settings import SalesforceSettings


class Events(Protocol):
    """A stream of events that a CRM keeps for a while, and that is read from a position on."""

    async def next_page(self, position: str) -> Page:
        """Wait for the next events after a position ("" for now).

        Raises PositionExpired, CrmUnavailable, CrmAccessDenied.
        """
        ...

    async def close(self) -> None:
        """End what is open."""
        ...


class LongPolls:
    """The change events of one org, by long polls that a driver runs."""

    def __init__(self, settings: SalesforceSettings, driver: Driver) -> None:
        self._events = ChangeEvents(settings)
        self._driver = driver

    async def next_page(self, position: str) -> Page:
        """Wait for the next events after a position ("" for now); raises PositionExpired."""
        return await self._driver.run(self._events.follow(position), "follow")

    async def close(self) -> None:
        """Nothing is open between two polls."""
