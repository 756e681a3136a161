"""The public clients of the Segment specification, unchanged, against a running service."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from segment.analytics import Client

from replicas.cdp.service import Running
from tests.interop.node import NodeChild
from tests.patience import until
from tests.replicas.cdp.service import KEY, Sender, beside, until_learned, write_config

COUNT = 350


def check(service: Running, library: str) -> None:
    """Check that all events of ``send`` came, once, in order, and mean what they should."""
    events = [event for _, event in service.log.read(0, 10_000)]
    assert [event.kind for event in events[:6]] == [
        "identify", "track", "page", "screen", "group", "alias",
    ]  # fmt: skip
    tracked = [event.properties["number"] for event in events[6:]]
    assert sorted(tracked) == list(range(COUNT))
    assert {event.context["library"]["name"] for event in events} == {library}
    assert len({event.message_id for event in events}) == len(events)
    assert all(abs(event.received_at_ms - event.timestamp_ms) < 60_000 for event in events)
    (person,) = service.replica.persons.find("email", "ann@example.com")
    assert person.record["first_name"] == "Ann"
    assert person.record["groups"] == ["acme"]
    assert set(person.record["identifiers"]) >= {"user_id:7", "anonymous_id:a7"}
    assert service.log.duplicates == 0
    assert not service.collecting.refused


MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("identify", {"traits": {"email": "ann@example.com", "firstName": "Ann"}}),
    ("track", {"event": "Signed Up", "properties": {"plan": "pro", "text": "Grüße 🎉"}}),
    ("page", {"name": "Home", "category": "Docs", "properties": {"path": "/"}}),
    ("screen", {"name": "Start", "properties": {}}),
    ("group", {"groupId": "acme", "traits": {"name": "Acme"}}),
    ("alias", {"previousId": "a7"}),
]


def python_client(host: str, failures: list[Any], **more: Any) -> Client:
    return Client(
        KEY,
        host=host,
        on_error=lambda error, items: failures.append(error),
        upload_interval=0.1,
        **more,
    )


@pytest.mark.parametrize("gzip", [False, True])
def test_the_python_client(tmp_path: Path, gzip: bool) -> None:
    failures: list[Any] = []

    def send(host: str) -> None:
        client = python_client(host, failures, gzip=gzip)
        for kind, message in MESSAGES:
            names = {"groupId": "group_id", "previousId": "previous_id"}
            given = {names.get(name, name): value for name, value in message.items()}
            getattr(client, kind)(user_id="7", **given)
        for number in range(COUNT):
            client.track("7", "Counted", {"number": number}, anonymous_id="a7")
        client.flush()
        client.join()

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            await asyncio.to_thread(send, sender.collect)
            await until(lambda: service.log.last_sequence == COUNT + 6, "the events")
            await until_learned(service)
            check(service, "analytics-python")

    asyncio.run(show())
    assert not failures


def test_the_node_client(tmp_path: Path) -> None:
    def send(sender: Sender) -> list[str]:
        with NodeChild("segment_client.mjs") as node:
            node.ask("start", sender.collect, KEY, 50)
            for kind, message in MESSAGES:
                node.ask("call", kind, {"userId": "7", **message})
            for number in range(COUNT):
                more = {"event": "Counted", "properties": {"number": number}}
                node.ask("call", "track", {"userId": "7", "anonymousId": "a7", **more})
            problems: list[str] = node.ask("end")
            return problems

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            assert await asyncio.to_thread(send, sender) == []
            await until_learned(service)
            check(service, "@segment/analytics-node")

    asyncio.run(show())


def test_a_client_tells_its_user_what_was_refused_as_a_whole(tmp_path: Path) -> None:
    failures: list[Any] = []

    def send(host: str) -> None:
        client = Client("wrong", host=host, on_error=lambda error, items: failures.append(error))
        client.track("7", "Counted", {})
        client.flush()
        client.join()

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            await asyncio.to_thread(send, sender.collect)
            assert service.log.last_sequence == 0

    asyncio.run(show())
    (failure,) = failures
    assert (failure.status, failure.code) == (401, "write-key-unknown")
