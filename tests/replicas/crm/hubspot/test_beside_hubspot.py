"""The service beside a HubSpot: webhooks in any order and number, batches in part, privacy."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crdtstore.errors import ProfileErased
from tests.replicas.crm.beside import (
    BesideHubSpot,
    beside_hubspot,
    person,
    until_compared,
    until_person,
    until_true,
)
from tests.replicas.crm.hubspot_account import value_of
from tests.replicas.crm.hubspot_server import HubSpotServer

RARELY = "poll_s = 3600.0\n"


async def post(server: HubSpotServer, body: bytes, headers: dict[str, str]) -> int:
    """Send a webhook request; return its status."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(server.hook_target, data=body, headers=headers) as answer,
    ):
        return answer.status


def test_webhooks_alone_keep_up_ten_times_and_in_any_order(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        account = server.account
        ann = account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            found = await until_person(here.service, "ann@example.com")
            server.copies, server.is_shuffled, server.is_deaf = 10, True, True
            server.overtakes = True
            for number in range(5):
                account.update(ann, {"phone": str(number), "jobtitle": f"t{number}"})
            server.is_deaf = False
            await until_person(here.service, "ann@example.com", phone="4", title="t4")
            version = here.service.replica.read(found.id).version
            await until_true(lambda: server.delivered >= 100, "all deliveries")
            await asyncio.sleep(0.2)
            assert here.service.replica.read(found.id).version == version
            assert server.requests["POST /contacts/batch/update"] == 0
            told: list[dict[str, Any]] = []

            def tell(event: dict[str, Any]) -> None:
                told.append(event)
                server.waiting.append(event)

            account.tell = tell
            bob = account.create({"lastname": "Bob", "email": "bob@example.com"})
            await until_person(here.service, "bob@example.com", last_name="Bob")
            account.archive(bob)
            await until_true(lambda: person(here.service, "bob@example.com") is None, "deletion")
            account.restore(bob)
            await until_person(here.service, "bob@example.com", last_name="Bob")
            account.update(bob, {"jobtitle": "CEO"})
            # What was told of Bob comes once more, and some of it before the merge.
            server.waiting += told
            account.merge(ann, bob)
            await until_true(lambda: here.connection.intake.counters["merges"] == 1, "the merge")
            await until_true(lambda: not server.waiting, "all events")
            await asyncio.sleep(0.3)
            one, other = person(here.service, "bob@example.com"), None
            other = person(here.service, "ann@example.com")
            assert one is not None
            assert one == other
            assert {f"hubspot_id:{ann}", f"hubspot_id:{bob}"} <= {*one.record["identifiers"]}
            assert one.record["last_name"] == "Ann"
        await server.stop()

    asyncio.run(main())


def test_privacy_deletion_erases_the_person(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            found = await until_person(here.service, "ann@example.com")
            replica = here.service.replica
            await replica.write("cdp-1", {"city": "Bonn"}, source="cdp")
            await replica.persons.merge(found.id, "cdp-1")
            server.account.erase(ann)
            await until_true(lambda: here.connection.intake.counters["erasures"] == 2, "erasures")
            for each in (found.id, "cdp-1"):
                with pytest.raises(ProfileErased):
                    replica.read(each)
            assert not any(b"Ann" in note for note in replica.notes.starting_with("").values())
            await asyncio.sleep(0.3)
            assert server.account.records == {}
        await server.stop()

    asyncio.run(main())


def test_a_person_erased_in_the_store_is_erased_at_the_vendor(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            found = await until_person(here.service, "ann@example.com")
            await here.service.replica.erase(found.id)
            await until_true(lambda: not server.account.records, "the erasure")
            await until_true(lambda: here.connection.intake.counters["erasures"] == 1, "its event")
            assert list(here.connection.ledger.dead_letters()) == []
        await server.stop()

    asyncio.run(main())


def test_rows_of_a_batch_fail_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        server.account.create({"lastname": "Taken", "email": "p3@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            await until_compared(here.service)
            server.mischief.lost.append("batch/upsert")
            server.mischief.rates = (0, 0, 0, 0.2, 0)
            async with here.service.replica.notes.commit() as commit:
                for number in range(230):
                    email = "nobody" if number == 5 else f"p{number}@example.com"
                    values = {"last_name": f"L{number}", "email": email}
                    commit.write(f"p{number}", values, source="desk")
            counters = here.connection.outflow.counters
            total = ("done", "permanent", "conflict", "retry")
            await until_true(lambda: sum(counters[one] for one in total) == 230, "all rows")
            assert (counters["done"], counters["permanent"]) == (228, 1)
            (letter, other) = sorted(
                here.connection.ledger.dead_letters(), key=lambda one: one.code
            )
            assert (letter.code, other.code) == ("CONFLICT", "VALIDATION_ERROR")
            assert letter.other_ids == ("101",)
            assert len(server.account.records) == 229
        await server.stop()

    asyncio.run(main())


def test_an_edit_that_we_overwrote_is_not_lost(tmp_path: Path) -> None:
    """Its webhook comes after our own write: the edit still is the newer word."""

    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            found = await until_person(here.service, "ann@example.com")
            rereads = here.connection.ledger.rereads
            await until_true(lambda: server.delivered == 3 and not rereads(), "quiet")
            server.is_deaf = True
            server.account.update(ann, {"phone": "by hand"})
            await here.service.replica.write(found.id, {"phone": "desk"}, source="desk")

            def shown() -> str | None:
                return value_of(server.account.records[ann], "phone")

            await until_true(lambda: shown() == "desk", "our write")
            server.is_deaf = False
            await until_person(here.service, "ann@example.com", phone="by hand")
            await until_true(lambda: shown() == "by hand", "the edit to be put back")
            await asyncio.sleep(0.3)
            assert server.requests["POST /contacts/batch/update"] == 2
        await server.stop()

    asyncio.run(main())


def test_missed_webhooks_are_repaired_by_the_search_with_history(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server) as here:
            await until_person(here.service, "ann@example.com")
            server.hook_target = ""
            server.account.update(ann, {"phone": "1"})
            server.account.update(ann, {"phone": "2", "jobtitle": "CEO"})
            await until_person(here.service, "ann@example.com", phone="2", title="CEO")
        await server.stop()

    asyncio.run(main())


def test_only_signed_requests_are_taken_and_unknown_events_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            await until_person(here.service, "ann@example.com")
            server.is_deaf = True
            event: dict[str, Any] = {
                "subscriptionType": "contact.propertyChange", "objectId": int(ann),
                "occurredAt": time.time_ns() // 10**6, "propertyName": "phone",
                "propertyValue": "7", "changeSource": "CRM_UI", "sourceId": "1",
            }  # fmt: skip
            strange = {"subscriptionType": "conversation.newMessage", "objectId": 1}
            body = json.dumps([event, strange]).encode()
            right = server.signed(body)
            assert await post(server, body + b" ", right) == 401
            assert await post(server, body, {}) == 401
            for skew_ms in (-301_000, 301_000):
                assert await post(server, body, server.signed(body, skew_ms=skew_ms)) == 401
            many = json.dumps([event] * 101).encode()
            assert await post(server, many, server.signed(many)) == 401
            assert await post(server, body, server.signed(body, skew_ms=290_000)) == 204
            await until_person(here.service, "ann@example.com", phone="7")
            assert here.connection.heard["webhooks_refused"] == 5
        await server.stop()

    asyncio.run(main())


def test_a_request_is_answered_when_it_is_durable_and_soon_under_load(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ids = [
            server.account.create({"lastname": "L", "email": f"p{number}@example.com"})
            for number in range(100)
        ]
        async with beside_hubspot(tmp_path, server, RARELY) as here:
            await until_person(here.service, "p99@example.com")
            server.is_deaf = True
            assert await _most_work_of_a_load(server, here, ids) < 1.0
        await server.stop()

    asyncio.run(main())


async def _most_work_of_a_load(server: HubSpotServer, here: BesideHubSpot, ids: list[str]) -> float:
    """Send four requests of 100 events at once, ten times over; return the longest wait.

    It is told in this process's time on a processor, which a busy machine makes no longer.
    """
    took: list[float] = []

    async def send(turn: int) -> None:
        events = [
            {"subscriptionType": "contact.propertyChange", "objectId": int(one),
             "occurredAt": time.time_ns() // 10**6 + turn, "propertyName": "phone",
             "propertyValue": f"{turn}", "changeSource": "CRM_UI", "sourceId": "1"}
            for one in ids
        ]  # fmt: skip
        body = json.dumps(events).encode()
        started = time.process_time()
        assert await post(server, body, server.signed(body)) == 204
        took.append(time.process_time() - started)
        profile = here.service.replica.persons.find("email", "p5@example.com")[0].record
        assert int(str(profile["phone"])) >= 0

    for base in range(10):
        await asyncio.gather(*(send(4 * base + number) for number in range(4)))
    return max(took)
