"""What events become: fields, identifiers, consent; and how events of the erased are forgotten."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crdtstore import add
from tests.patience import until
from tests.replicas.cdp.service import (
    beside,
    events_of,
    profile_of,
    track,
    until_learned,
    write_config,
)


def test_events_of_who_was_erased_are_refused_counted_and_gone(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    ann = {"userId": "ann", "anonymousId": "phone-1"}
    secret = "a-word-that-nobody-else-says"

    async def show() -> None:
        async with beside(config) as (service, sender):
            traits = {"email": "ann@example.com", "note": secret}
            identify = {"type": "identify", "traits": traits, **ann}
            await sender.batch(identify, track(1), track(2, **ann, properties={"word": secret}))
            await until_learned(service)
            (found,) = service.replica.persons.find("user_id", "ann")
            await service.replica.persons.erase(found.id)
            status, answer = await sender.batch(track(3, **ann), track(4))
            assert (status, answer["accepted"]) == (200, 1)
            assert answer["errors"][0]["code"] == "suppressed"
            for suppressed in (
                {"anonymousId": "phone-1"},
                {"userId": "eve", "type": "identify", "traits": {"email": "Ann@example.com "}},
            ):
                status, answer = await sender.batch({**track(5), "userId": None, **suppressed})
                assert (status, answer["errors"][0]["code"]) == (200, "suppressed")
            await until(lambda: service.forgetting.forgotten == 2, "forgetting")
            assert [event.message_id for event in events_of(service)] == ["m1", "m4"]
            events = tmp_path / "data" / "events"
            assert not any(secret.encode() in path.read_bytes() for path in events.iterdir())
            assert (await sender.get("/cdp/status"))["refused"] == {"suppressed": 3}

    asyncio.run(show())


def test_what_was_accepted_while_the_erasure_came_is_forgotten_too(tmp_path: Path) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            for task in service.tasks[:3]:  # learning and forgetting, to have them come late
                task.cancel()
            identify = {"type": "identify", "userId": "bob", "traits": {"email": "bob@example.com"}}
            await sender.batch(identify, track(1))
            await service.replica.persons.erase_identifier("email", "bob@example.com")
            await service.learning.learn_once()
            assert service.learning.counters["events_refused"] == 1
            assert await service.forgetting.forget_once() == 1
            assert [event.message_id for event in events_of(service)] == ["m1"]
            assert await service.forgetting.forget_once() == 0

    asyncio.run(show())


@pytest.mark.parametrize("is_erased_late", [False, True])
def test_a_profile_that_is_erased_elsewhere_is_forgotten_here(
    tmp_path: Path, is_erased_late: bool
) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            await sender.batch(track(1), track(2))
            await until_learned(service)
            profile_id = events_of(service)[0].profile_id
            if is_erased_late:
                await service.replica.write(profile_id, {"x": 1}, source="crm")
            await service.replica.erase(profile_id)
            await until(lambda: service.forgetting.forgotten == 1, "forgetting")
            assert [event.message_id for event in events_of(service)] == ["m2"]
            assert (await sender.batch(track(8)))[1]["errors"][0]["code"] == "suppressed"
            await service.replica.revive(profile_id)
            assert (await sender.batch(track(8)))[1] == {"success": True}

    asyncio.run(show())


def test_traits_that_cannot_be_fields_are_left_out_alone(tmp_path: Path) -> None:
    more = """
[identify]
keeps_others = false

[identify.fields]
plan = "subscription.plan"
tier = "tier"
"""

    async def show() -> None:
        async with beside(write_config(tmp_path, more)) as (service, sender):
            traits = {
                "name": "Eve",
                "plan": "pro",
                "tier": "x" * 20_000,
                "email": "no address",
                "identifiers": ["email:other@example.com"],
                "unknown": 1,
            }
            await service.replica.write("p", {"tier": add("x")}, source="crm")
            await sender.batch({"type": "identify", "userId": "eve", "traits": traits})
            await sender.batch({"type": "identify", "userId": "eve", "traits": {"plan": None}})
            await until_learned(service)
            record = profile_of(service, "user_id", "eve")
            assert dict(record) == {
                "identifiers": ["user_id:eve"],
                "name": "Eve",
                "email": "no address",
                "tier": "x" * 20_000,
            }
            assert service.learning.counters["traits_left_out"] == 2

    asyncio.run(show())


def test_the_latest_word_on_consent_counts_and_a_denial_in_doubt(tmp_path: Path) -> None:
    def says(at: int, **categories: bool) -> dict[str, Any]:
        return {
            "type": "track",
            "event": "Segment Consent Preference Updated",
            "userId": "u",
            "timestamp": f"2026-01-01T00:00:{at:02}Z",
            "context": {"consent": {"categoryPreferences": categories}},
        }

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            steps: list[tuple[list[dict[str, Any]], tuple[Any, Any]]] = [
                ([says(10, ads=True, email=False)], (True, False)),
                ([says(9, ads=False, email=True)], (True, False)),
                ([says(10, ads=False, email=True)], (False, False)),
                ([says(20, email=False)], (False, False)),
                ([says(15, email=True)], (False, False)),
                ([says(30, ads=True, email=True)], (True, True)),
                ([says(40, ads=False), says(41, ads=True), says(35, email=False)], (True, False)),
            ]
            for items, expected in steps:
                await sender.batch(*items)
                await until_learned(service)
                record = profile_of(service, "user_id", "u")
                found = record["consent.ads"], record["consent.email"]
                assert found == expected, items
                service.learning.forget_known()  # what it knows is in the profile

    asyncio.run(show())
