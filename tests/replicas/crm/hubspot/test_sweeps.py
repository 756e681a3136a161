"""Sweeps find what went at HubSpot while nobody listened."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Change, Replica
from crdtstore.errors import CursorExpired, ProfileErased
from tests.replicas.crm.beside import (
    BesideHubSpot,
    beside_hubspot,
    until_compared,
    until_person,
    until_true,
)
from tests.replicas.crm.hubspot_server import HubSpotServer

SWEEPS = "poll_s = 30\nrequest_timeout_s = 10\nsweep_s = 0.5\n"


def letters(here: BesideHubSpot) -> list[str]:
    return [letter.key for letter in here.connection.ledger.dead_letters()]


def test_what_went_while_nobody_listened_is_found_and_flagged(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ids = {name: server.account.create({"lastname": name, "email": f"{name}@example.com"})
               for name in ("ann", "bob", "cyd", "dan")}  # fmt: skip
        async with beside_hubspot(tmp_path, server, SWEEPS) as here:
            persons = {name: await until_person(here.service, f"{name}@example.com")
                       for name in ids}  # fmt: skip
            replica, counters = here.service.replica, here.connection.intake.counters
            server.is_deaf = True
            server.account.erase(ids["ann"])
            server.account.erase(ids["bob"])
            server.account.archive(ids["cyd"])
            await until_true(lambda: counters["deletions"] == 3, "the sweep")
            assert counters["vanished"] == 2
            assert sorted(letters(here)) == sorted(f"gone/{persons[n].id}" for n in ("ann", "bob"))
            assert replica.read(persons["ann"].id).get("last_name") is None
            assert replica.read(persons["dan"].id)["last_name"] == "dan"

            # Ann had asked to be forgotten: the steward erases her. Bob had not.
            await replica.persons.erase(persons["ann"].id)
            await until_true(lambda: letters(here) == [f"gone/{persons['bob'].id}"], "one letter")
            await here.connection.drop(list(here.connection.ledger.dead_letters()))
            assert letters(here) == []
            assert not any(b"Ann" in note for note in replica.notes.starting_with("").values())

            # The webhook comes after all, when HubSpot tries again: nothing is left to be done,
            # but for Bob, of whom it says that he was erased for privacy.
            server.is_deaf = False
            await until_true(lambda: counters["erasures"] >= 1, "the erasure")
            with pytest.raises(ProfileErased):
                replica.read(persons["bob"].id)
            assert set(server.account.records) == {ids["cyd"], ids["dan"]}
        await server.stop()

    asyncio.run(main())


def test_a_sweep_goes_on_where_it_was_and_costs_a_call_for_a_hundred_records(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        for number in range(250):
            server.account.create({"lastname": "L", "email": f"p{number}@example.com"})
        async with beside_hubspot(tmp_path, server, SWEEPS) as here:
            await until_true(lambda: here.connection.is_loaded, "the load")
            await until_true(lambda: here.connection.driver.requests.get("sweep", 0) >= 3, "sweep")
            cursor = here.service.replica.cursors["crm/hubspot/sweep"]
            assert cursor.startswith(("done ", "at "))
            assert here.connection.driver.requests["sweep"] == 3
        await server.stop()

    asyncio.run(main())


def test_who_was_erased_while_the_vendor_was_away_for_long_is_erased_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal, which tells of erasures, was trimmed meanwhile."""

    async def trimmed(
        self: Replica, *, since: str = "", follow: bool = True, **_: Any
    ) -> AsyncGenerator[Change, None]:
        if since:
            raise CursorExpired("the journal no longer reaches back")
        if follow:
            await asyncio.Event().wait()
        return
        yield

    async def main() -> None:
        server = await HubSpotServer().start()
        server.account.create({"lastname": "ann", "email": "ann@example.com"})
        server.account.create({"lastname": "bob", "email": "bob@example.com"})
        async with beside_hubspot(tmp_path, server) as here:
            ann = await until_person(here.service, "ann@example.com")
            await until_compared(here.service)
        async with Replica.open(tmp_path / "data", name="us") as replica:
            await replica.erase(ann.id)
        monkeypatch.setattr(Replica, "changes", trimmed)
        async with beside_hubspot(tmp_path, server):
            await until_true(lambda: len(server.account.records) == 1, "the erasure")
        await server.stop()

    asyncio.run(main())
