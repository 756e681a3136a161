"""Merges that are told after the record was read as deleted: its identifiers stay all the same."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from replicas.crm import limits
from tests.replicas.crm.beside import (
    BesideHubSpot,
    BesideSalesforce,
    beside_hubspot,
    beside_salesforce,
    person,
    until_person,
    until_true,
)
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.salesforce_server import SalesforceServer

RARELY = "poll_s = 3600.0\n"


def kept_aside(here: BesideHubSpot | BesideSalesforce) -> list[bytes]:
    prefix = f"crm/{here.connection.source}/withdrawn/"
    return list(here.service.replica.notes.starting_with(prefix).values())


async def gone(here: BesideHubSpot, email: str, told: list[dict[str, Any]]) -> None:
    """Deliver the event of a record's creation again: it is read, and found to be gone."""
    here.server.waiting += told
    await until_true(lambda: person(here.service, email) is None, "the deletion")
    assert len(kept_aside(here)) == 1


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_merge_told_by_hubspot_after_the_deletion_keeps_identifiers(
    tmp_path: Path, is_swapped: bool
) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        told: dict[str, list[Any]] = {"ann": [], "bob": []}
        ids: dict[str, str] = {}
        for name, events in told.items():
            server.account.tell = events.append
            ids[name] = server.account.create({"lastname": name, "email": f"{name}@example.com"})
        stays, goes = ("bob", "ann") if is_swapped else ("ann", "bob")
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            await until_person(here.service, "ann@example.com")
            await until_person(here.service, "bob@example.com")
            merged: list[dict[str, Any]] = []
            server.account.tell = merged.append
            server.account.merge(ids[stays], ids[goes])
            await gone(here, f"{goes}@example.com", told[goes][-1:])
            server.waiting += merged
            await until_person(here.service, f"{goes}@example.com", last_name=stays)
            found = person(here.service, f"{stays}@example.com")
            assert found == person(here.service, f"{goes}@example.com")
            assert found is not None
            assert set(found.record["identifiers"]) == {
                *(f"email:{name}@example.com" for name in ids),
                *(f"{here.connection.mapping.objects[0].identifier}:{one}" for one in ids.values()),
            }
            delivered, version = server.delivered, found.record.version
            server.waiting += [*merged, *told[goes][-1:]]
            await until_true(lambda: server.delivered >= delivered + 2, "all of it again")
            await asyncio.sleep(0.2)
            again = person(here.service, f"{goes}@example.com")
            assert again is not None
            assert again.record.version == version
            assert here.connection.intake.counters["merges"] == 1
            assert kept_aside(here) == []
        await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("is_late", [False, True])
def test_two_records_merged_into_a_new_one_keep_their_identifiers(
    tmp_path: Path, is_late: bool
) -> None:
    """HubSpot may make a record of a merge: both others went, and no one knows the new one yet."""

    async def main() -> None:
        server = await HubSpotServer().start()
        told: list[dict[str, Any]] = []
        account = server.account
        account.tell = told.append
        ann = account.create({"lastname": "Ann", "email": "ann@example.com"})
        created = len(told)
        bob = account.create({"lastname": "Bob", "email": "bob@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            await until_person(here.service, "bob@example.com")
            account.archive(ann)
            account.archive(bob)
            new = account.create({"lastname": "Both", "email": "both@example.com"})
            if is_late:
                server.waiting += [told[created - 1], told[2 * created - 1]]
                await until_true(lambda: len(kept_aside(here)) == 2, "the deletions")
            server.waiting.append(
                {**told[-1], "subscriptionType": "contact.merge", "primaryObjectId": int(ann),
                 "objectId": int(ann), "mergedObjectIds": [int(bob)], "newObjectId": int(new),
                 "occurredAt": account.now_ms()}
            )  # fmt: skip
            await until_person(here.service, "both@example.com", last_name="Both")
            found = await until_person(here.service, "bob@example.com", last_name="Both")
            kind = here.connection.mapping.objects[0].identifier
            assert set(found.record["identifiers"]) == {
                *(f"email:{name}@example.com" for name in ("ann", "bob", "both")),
                *(f"{kind}:{one}" for one in (ann, bob, new)),
            }
        await server.stop()

    asyncio.run(main())


def test_a_master_record_that_salesforce_tells_after_the_deletion_keeps_identifiers(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        org = server.org
        one = org.create("Contact", {"LastName": "One", "Email": "one@example.com"})
        two = org.create("Contact", {"LastName": "Two", "Email": "two@example.com"})
        async with beside_salesforce(tmp_path, server, RARELY) as here:
            await until_person(here.service, "two@example.com")
            await until_true(lambda: server.is_listened_to, "the subscription")
            org.delete("Contact", two)
            await until_true(lambda: person(here.service, "two@example.com") is None, "deletion")
            org.tables["Contact"][two]["MasterRecordId"] = one
            org.gap("Contact", two, "GAP_DELETE")
            found = await until_person(here.service, "two@example.com", last_name="One")
            kind = here.connection.mapping.objects[0].identifier
            assert set(found.record["identifiers"]) == {
                "email:one@example.com", "email:two@example.com", f"{kind}:{one}", f"{kind}:{two}",
            }  # fmt: skip
            assert kept_aside(here) == []
        await server.stop()

    asyncio.run(main())


def test_what_a_record_said_is_kept_aside_until_it_is_back_erased_or_old(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        account = server.account
        names = ("ann", "bob", "cyd", "dan")
        ids = {name: account.create({"lastname": name, "email": f"{name}@example.com"})
               for name in names}  # fmt: skip
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            found = {name: await until_person(here.service, f"{name}@example.com")
                     for name in names}  # fmt: skip
            for name in names:
                account.archive(ids[name])
            await until_true(lambda: len(kept_aside(here)) == 4, "the deletions")
            account.restore(ids["ann"])
            back = await until_person(here.service, "ann@example.com")
            assert back.record["identifiers"] == found["ann"].record["identifiers"]
            await here.service.replica.persons.erase(found["bob"].id)
            account.erase(ids["cyd"])
            await until_true(lambda: len(kept_aside(here)) == 1, "the erasures")
            assert b"dan@example.com" in kept_aside(here)[0]
            stale, now_ms = here.connection.ledger.withdrawn.stale, time.time_ns() // 10**6
            assert stale(now_ms + limits.WITHDRAWN_S * 1000 - 60_000) == []
            assert stale(now_ms + limits.WITHDRAWN_S * 1000) == [found["dan"].id]
            await here.service.replica.persons.erase_identifier("email", "dan@example.com")
            assert stale(now_ms) == [found["dan"].id]
            await here.connection.forget()
            assert kept_aside(here) == []
        await server.stop()

    asyncio.run(main())
