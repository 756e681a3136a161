"""Change events over the Pub/Sub API: real gRPC, real Avro, a server that is strict."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from replicas.crm import limits
from replicas.crm.errors import CrmAnswerInvalid, PositionExpired
from replicas.crm.salesforce.grpc_format import messages
from replicas.crm.salesforce.pubsub import Event, Fetch, Fetched, GetSchema, PubSubEvents
from tests.replicas.crm.beside import (
    BesideSalesforce,
    beside_salesforce,
    until_person,
    until_true,
)
from tests.replicas.crm.pubsub_avro import EventSchema
from tests.replicas.crm.pubsub_server import PubSubServer, compiled
from tests.replicas.crm.salesforce.test_conversations import settings
from tests.replicas.crm.salesforce_server import SalesforceServer

EVENTS_ONLY = "poll_s = 30\nrequest_timeout_s = 10\n"


@asynccontextmanager
async def following(
    directory: Path, *, more: str = ""
) -> AsyncIterator[tuple[SalesforceServer, PubSubServer, BesideSalesforce]]:
    """A service that hears of changes by the stream alone: it polls too seldom."""
    server = await SalesforceServer().start()
    stream = await PubSubServer(server).start()
    server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
    chosen = f'{EVENTS_ONLY}events = "pubsub"\npubsub_address = "{stream.url}"\n{more}'
    try:
        async with beside_salesforce(directory, server, chosen) as here:
            await until_person(here.service, "ann@example.com")
            cursors = here.service.replica
            await until_true(lambda: "crm/salesforce/events" in cursors.cursors, "a position")
            yield server, stream, here
    finally:
        await stream.stop()
        await server.stop()


def ann(server: SalesforceServer) -> str:
    return next(iter(server.org.tables["Contact"]))


def test_the_messages_are_those_of_the_interface() -> None:
    theirs, _ = compiled()
    ours = messages()
    event = theirs.ConsumerEvent(
        event=theirs.ProducerEvent(id="1", schema_id="s", payload=b"p"), replay_id=b"r"
    )
    packed = theirs.FetchResponse(
        events=[event, event], latest_replay_id=b"l", rpc_id="x", pending_num_requested=7
    ).SerializeToString()
    assert ours.FetchResponse.FromString(packed).SerializeToString() == packed
    request = ours.FetchRequest(
        topic_name="t", replay_preset=2, replay_id=b"r", num_requested=100
    ).SerializeToString()
    read = theirs.FetchRequest.FromString(request)
    assert (read.topic_name, read.replay_preset, read.replay_id, read.num_requested) == (
        "t", theirs.CUSTOM, b"r", 100,
    )  # fmt: skip


def test_fields_change_and_are_cleared_by_bitmaps(tmp_path: Path) -> None:
    async def main() -> None:
        async with following(tmp_path) as (server, stream, here):
            values = {"FirstName": "A", "Phone": "1", "Title": "T"}
            server.org.update("Contact", ann(server), values)
            await until_person(here.service, "ann@example.com", first_name="A", phone="1")
            server.org.update("Contact", ann(server), {"Phone": None, "FirstName": None})
            await until_person(here.service, "ann@example.com", first_name="", phone="", title="T")
            server.org.create("Contact", {"LastName": "Bob", "Email": "bob@example.com"})
            await until_person(here.service, "bob@example.com", last_name="Bob")
            assert stream.calls == {"Subscribe": 1, "GetSchema": 1}
            # Fields are added to the object: a new schema, other places in the bitmaps.
            stream.schema = EventSchema("Contact", more=("Fax", "Region__c"))
            server.org.update("Contact", ann(server), {"Phone": "2"})
            await until_person(here.service, "ann@example.com", phone="2", title="T")
            assert stream.calls == {"Subscribe": 1, "GetSchema": 2}

    asyncio.run(main())


def test_no_more_is_asked_for_than_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with following(tmp_path) as (server, stream, here):
            for number in range(350):
                server.org.update("Contact", ann(server), {"Phone": str(number)})
                await asyncio.sleep(0.0011)
            await until_person(here.service, "ann@example.com", phone="349")
            assert stream.asked_max == limits.EVENTS_ASKED_MAX == 100
            assert stream.calls["Subscribe"] == 1

    asyncio.run(main())


def test_streams_that_break_and_sessions_that_end_lose_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with following(tmp_path) as (server, stream, here):
            stream.breaks = 2
            await until_true(lambda: stream.breaks < 2, "a stream that breaks")
            server.org.update("Contact", ann(server), {"Phone": "1"})
            await until_person(here.service, "ann@example.com", phone="1")
            assert stream.calls["Subscribe"] == 3
            server.end_sessions()
            await until_true(lambda: here.connection.driver.logins == 2, "another login")
            server.org.update("Contact", ann(server), {"Phone": "2"})
            await until_person(here.service, "ann@example.com", phone="2")
            assert stream.calls["Subscribe"] == 4

    asyncio.run(main())


def test_gaps_are_read_again_and_an_expired_position_reads_everything(tmp_path: Path) -> None:
    async def main() -> None:
        async with following(tmp_path) as (server, stream, here):
            counters = here.connection.intake.counters
            server.org.tables["Contact"][ann(server)]["Phone"] = "7"
            server.org.gap("Contact", ann(server), "GAP_UPDATE")
            await until_person(here.service, "ann@example.com", phone="7")
            assert counters["rereads"] == 1
            # What happened while we were away is kept no more.
            stream.breaks = 1
            server.org.tables["Contact"][ann(server)]["Phone"] = "8"
            server.org.update("Contact", ann(server), {"Title": "T"})
            server.org.forget_events()
            server.org.forget_events()
            server.org.first_replay += 10
            await until_person(here.service, "ann@example.com", phone="8", title="T")
            # The new stream begins at the events of then: those before are for the next poll.
            cursors = here.service.replica
            await until_true(lambda: bool(cursors.cursors.get("crm/salesforce/events")), "a stream")
            server.org.update("Contact", ann(server), {"Phone": "9"})
            await until_person(here.service, "ann@example.com", phone="9")

    asyncio.run(main())


def test_a_restarted_service_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        stream = await PubSubServer(server).start()
        server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        more = f'{EVENTS_ONLY}events = "pubsub"\npubsub_address = "{stream.url}"\n'
        async with beside_salesforce(tmp_path, server, more) as here:
            await until_person(here.service, "ann@example.com")
            server.org.update("Contact", ann(server), {"Phone": "1"})
            await until_person(here.service, "ann@example.com", phone="1")
        for phone in ("2", "3"):
            server.org.update("Contact", ann(server), {"Phone": phone})
            await asyncio.sleep(0.01)
        async with beside_salesforce(tmp_path, server, more) as here:
            await until_person(here.service, "ann@example.com", phone="3")
            await until_true(lambda: here.connection.intake.counters["sightings"] >= 2, "both")
        await stream.stop()
        await server.stop()

    asyncio.run(main())


def test_a_conversation_asks_for_each_schema_once_and_refuses_nonsense() -> None:
    schema = EventSchema("Contact")
    header = {
        "entityName": "Contact", "recordIds": ["003000000000001AAA"], "changeType": "UPDATE",
        "changeOrigin": "x", "transactionKey": "t", "sequenceNumber": 1, "commitTimestamp": 5,
        "commitNumber": 1, "commitUser": "u", "nulledFields": ["AccountId"], "diffFields": [],
        "changedFields": ["Email", "AccountId"],
    }  # fmt: skip
    payload = schema.encode({"ChangeEventHeader": header, "Email": "a@example.com"})
    events = PubSubEvents(settings())
    said = Fetched([Event(schema.id, payload, b"\x01"), Event(schema.id, payload, b"\x02")], b"")
    talk = events.follow("")
    assert next(talk) == Fetch("/data/ChangeEvents", b"")
    assert talk.send(said) == GetSchema(schema.id)
    with pytest.raises(StopIteration) as end:
        talk.send(schema.json)
    page = end.value.value
    assert page.cursor == "pubsub:02"
    assert [one.values for one in page.sightings] == [
        {"Email": "a@example.com", "AccountId": None}
    ] * 2

    again = events.follow(page.cursor)
    assert next(again) == Fetch("/data/ChangeEvents", b"\x02")
    with pytest.raises(StopIteration) as end:
        again.send(Fetched([], b"\x09"))
    assert (end.value.value.cursor, end.value.value.sightings) == ("pubsub:09", [])

    broken = events.follow("")
    next(broken)
    with pytest.raises(CrmAnswerInvalid, match="not of its schema"):
        broken.send(Fetched([Event(schema.id, b"\xff", b"\x03")], b""))
    with pytest.raises(PositionExpired, match="no position of the Pub/Sub"):
        next(events.follow("17"))
