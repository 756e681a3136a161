"""Edits at two vendors and in the store, and what must be true when all have settled."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.patience import until
from tests.replicas.crm.processes import ServiceProcess, World
from tests.replicas.crm.regions import (
    FIELDS,
    HUBSPOT_NAMES,
    SALESFORCE_NAMES,
    by_email,
    hubspot_golden,
    salesforce_golden,
)

PERSONS = 12


class Edits:
    """Edits at both vendors and in the store. ``wanted`` is the last one of each field.

    Every edit has a value of its own. A field is edited on one side at a time, unless a conflict is
    wanted: then any of its last values may survive.
    """

    def __init__(self, here: World) -> None:
        self.wanted: dict[tuple[str, str], set[str]] = {}
        self.made: set[tuple[str, str, str, str]] = set()
        self._here = here
        self.number = 0

    def records(self) -> None:
        """Make persons: half of them known to both vendors, the others to one."""
        for number in range(PERSONS):
            email, name = f"p{number}@example.com", f"Last{number}"
            if number % 4 != 3:
                values = {"LastName": name, "Email": email}
                self._here.salesforce.org.create("Contact", values)
            if number % 4 != 2:
                self._here.hubspot.account.create({"lastname": name, "email": email})

    def newcomer(self) -> None:
        """Make the same person at both vendors at once, each with a part of what is known."""
        email = "new@example.com"
        values = {"LastName": "New", "Email": email, "Phone": "1"}
        self._here.salesforce.org.create("Contact", values)
        self._here.hubspot.account.create({"lastname": "New", "email": email, "jobtitle": "CEO"})

    def at_salesforce(self, email: str, field: str) -> None:
        rows = self._here.salesforce.org.tables["Contact"].values()
        (row,) = [row for row in rows if row["Email"] == email and not row["IsDeleted"]]
        value = self._note(email, field, "salesforce")
        self._here.salesforce.org.update("Contact", row["Id"], {SALESFORCE_NAMES[field]: value})

    def at_hubspot(self, email: str, field: str) -> None:
        for record in self._here.hubspot.account.records.values():
            if record["history"]["email"][0]["value"] == email:
                value = self._note(email, field, "hubspot")
                values = {HUBSPOT_NAMES[field]: value}
                self._here.hubspot.account.update(record["id"], values)

    async def in_store(self, service: ServiceProcess, email: str, field: str) -> None:
        found = await service.ask("GET", f"/v1/persons?identifier=email:{email}")
        profile_id = found["profiles"][0]
        value = self._note(email, field, "steward-desk")
        body = {"source": "steward-desk", "fields": {field: value}}
        await service.ask("PATCH", f"/v1/profiles/{profile_id}", body)

    def conflict(self, email: str, field: str) -> None:
        """Edit one field at both vendors at once."""
        self.at_salesforce(email, field)
        before = self.wanted[email, field]
        self.at_hubspot(email, field)
        self.wanted[email, field] |= before

    def _note(self, email: str, field: str, source: str) -> str:
        self.number += 1
        value = f"{source[:2]}{self.number}"
        self.made = {one for one in self.made if one[:3] != (email, field, source)}
        self.made.add((email, field, source, value))
        self.wanted[email, field] = {value}
        return value


def are_same(here: World) -> bool:
    salesforce, hubspot = salesforce_golden(here.salesforce), hubspot_golden(here.hubspot)
    if len(salesforce) != PERSONS or len(hubspot) != PERSONS:
        return False
    return by_email(salesforce) == by_email(hubspot)


def has_all(here: World, edits: Edits) -> bool:
    golden = by_email(salesforce_golden(here.salesforce))
    return all(golden[email][field] in values for (email, field), values in edits.wanted.items())


def newcomer_is_one(here: World) -> bool:
    """Say whether the person that was made at both vendors at once is one record at each."""
    both = salesforce_golden(here.salesforce), hubspot_golden(here.hubspot)
    assert max(map(len, both)) <= PERSONS + 1, "a double was made"
    found = [by_email(golden).get("new@example.com", {}) for golden in both]
    return all(one.get("phone") == "1" and one.get("title") == "CEO" for one in found)


async def are_equal(here: World) -> bool:
    eu, us = await here.eu.ask("GET", "/v1/digest"), await here.us.ask("GET", "/v1/digest")
    return bool(eu == us)


async def stores_show_the_same(here: World) -> None:
    """The golden record of each person, in both replicas, is what both vendors show."""
    golden = by_email(salesforce_golden(here.salesforce))
    for service in (here.eu, here.us):
        for email, values in golden.items():
            person = await service.ask("GET", f"/v1/persons?identifier=email:{email}")
            assert {field: person["fields"].get(field, "") for field in FIELDS} == values


async def nothing_is_lost(here: World, edits: Edits) -> None:
    """The last value that each source said is among the candidates of its person."""
    for email, field, source, value in edits.made:
        found = await here.us.ask("GET", f"/v1/persons?identifier=email:{email}")
        told = await here.us.ask("GET", f"/v1/persons/{found['id']}/explain?field={field}")
        said = {(one["source"], one["value"]) for one in told["candidates"]}
        assert (source, value) in said, (email, field, said)


async def settle(here: World, edits: Edits) -> None:
    await until_shown(here, are_same, "both vendors to show the same")
    await until_shown(here, lambda world: has_all(world, edits), f"every edit: {edits.wanted}")
    await until(lambda: are_equal(here), "equal replicas")


async def until_shown(here: World, condition: Callable[[World], bool], what: str) -> None:
    """Wait for a condition on what the vendors show; tell everything if it does not come."""
    try:
        await until(lambda: condition(here), what)
    except AssertionError as error:
        shown = salesforce_golden(here.salesforce), hubspot_golden(here.hubspot)
        raise AssertionError(f"{error}\n{shown}\n{await here.told()}") from None


def is_write(name: str) -> bool:
    """Say whether a kind of request writes."""
    return name.startswith("PATCH") or name.endswith(("/update", "/upsert"))


async def stays_quiet(here: World) -> None:
    """Nothing is written to a vendor any more, but for what was under way: no ping-pong."""

    def writes() -> list[int]:
        rows: list[Any] = [here.salesforce.rows_written, here.salesforce.requests,
                           here.hubspot.requests]  # fmt: skip
        return [rows[0], *(
            sum(count for name, count in counter.items() if is_write(name))
            for counter in rows[1:]
        )]  # fmt: skip

    seen = [writes()]
    while len(seen) < 30:
        await asyncio.sleep(1.0)
        seen.append(writes())
        if seen[-1] == seen[-2]:
            return
    raise AssertionError(f"rows written, and requests that write, went on and on: {seen}")
