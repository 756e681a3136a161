"""Beside a Salesforce, what comes late: pages, events, answers; and what was lost."""

import asyncio
from datetime import timedelta
from pathlib import Path

from crdtstore import Store
from tests.replicas.crm.beside import (
    BesideSalesforce,
    beside_salesforce,
    until_compared,
    until_person,
    until_true,
)
from tests.replicas.crm.salesforce_server import SalesforceServer


def row_of(here: BesideSalesforce, record_id: str) -> dict[str, object]:
    return here.server.org.tables["Contact"][record_id]


def test_a_page_that_was_read_before_our_write_overwrites_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "a@b.example"})
        server.org.update("Contact", ann, {"Phone": "old"})
        async with beside_salesforce(tmp_path, server, 'poll_s = 0.2\nevents = "none"\n') as here:
            found = await until_person(here.service, "a@b.example", phone="old")
            await until_true(lambda: here.connection.is_loaded, "the load")
            page = asyncio.Event()
            server.mischief.held.append(("queryAll", page))
            await until_true(lambda: not server.mischief.held, "a page that is under way")
            await here.service.replica.write(found.id, {"phone": "new"}, source="desk")
            await until_true(lambda: row_of(here, ann)["Phone"] == "new", "our write")
            page.set()
            counters = here.connection.intake.counters
            await until_true(lambda: counters["rereads"] >= 1, "what the old page tells of")
            await asyncio.sleep(0.4)
            assert row_of(here, ann)["Phone"] == "new"
            assert here.service.replica.read(found.id)["phone"] == "new"
            assert server.rows_written == 1
        await server.stop()

    asyncio.run(main())


def test_a_service_that_ends_while_it_writes_knows_its_write_again(tmp_path: Path) -> None:
    """The vendor took a value and the answer never came: it is not the vendor's own word.

    No event tells who wrote it; it is known by what was noted before it was sent.
    """
    no_events = 'poll_s = 0.2\nevents = "none"\n'

    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "a@b.example"})
        async with beside_salesforce(tmp_path, server, no_events) as here:
            found = await until_person(here.service, "a@b.example")
            await until_true(lambda: here.connection.is_loaded, "the load")
            server.mischief.late.append(("composite", 60.0))
            await here.service.replica.write(found.id, {"phone": "A"}, source="desk")
            await until_true(lambda: row_of(here, ann)["Phone"] == "A", "the write")
        with Store.open(tmp_path / "data", name="eu") as store:
            store.write(found.id, {"phone": "B"}, source="web")
        async with beside_salesforce(tmp_path, server, no_events) as here:
            await until_true(lambda: row_of(here, ann)["Phone"] == "B", "the newer value")
            await asyncio.sleep(0.6)
            said = here.service.replica.explain(found.id, "phone")
            assert {(one.source, one.value) for one in said} == {("desk", "A"), ("web", "B")}
            assert row_of(here, ann)["Phone"] == "B"
            assert server.rows_written == 2
        await server.stop()

    asyncio.run(main())


def test_a_late_event_of_a_creation_clears_nothing(tmp_path: Path) -> None:
    """A pull told of the record first, and what was empty then was sent since."""

    async def main() -> None:
        server = await SalesforceServer().start()
        async with beside_salesforce(tmp_path, server) as here:
            await until_compared(here.service)
            await until_true(lambda: server.is_listened_to, "the subscription")
            server.holds_events = True
            ann = server.org.create("Contact", {"LastName": "Ann", "Email": "a@b.example"})
            found = await until_person(here.service, "a@b.example")
            await here.service.replica.write(found.id, {"title": "CEO"}, source="desk")
            await until_true(lambda: row_of(here, ann)["Title"] == "CEO", "the write")
            server.holds_events = False
            replica, last = here.service.replica, str(server.org.events[-1][0])
            await until_true(
                lambda: replica.cursors.get("crm/salesforce/events") == last, "the late events"
            )
            await asyncio.sleep(0.4)
            assert row_of(here, ann)["Title"] == "CEO"
            assert here.service.replica.read(found.id)["title"] == "CEO"
        await server.stop()

    asyncio.run(main())


def test_lost_notes_make_no_old_value_young(tmp_path: Path) -> None:
    """A disk was lost, and a peer filled the replica anew: notes are not replicated."""

    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "a@b.example"})
        server.org.update("Contact", ann, {"Phone": "first"})
        async with beside_salesforce(tmp_path, server) as here:
            found = await until_person(here.service, "a@b.example", phone="first")
            await here.service.replica.write(found.id, {"phone": "second"}, source="desk")
            await until_true(lambda: row_of(here, ann)["Phone"] == "second", "the write")
        with Store.open(tmp_path / "data", name="eu") as store:
            notes = store.cursors.notes
            notes.change(dict.fromkeys(notes.starting_with("")))
            unset = {name: "" for name in store.cursors.present() if "progress" not in name}
            store.write(found.id, {"phone": "third"}, source="web", cursors=unset)
        server.org.update("Contact", ann, {"Title": "CEO"})
        async with beside_salesforce(tmp_path, server) as here:
            await until_person(here.service, "a@b.example", title="CEO", phone="third")
            await until_true(lambda: row_of(here, ann)["Phone"] == "third", "the newest value")
            assert len(server.org.tables["Contact"]) == 1
        await server.stop()

    asyncio.run(main())


def test_gaps_overflow_and_an_expired_position_are_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        org = server.org
        ann = org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        bob = org.create("Contact", {"LastName": "Bob", "Email": "bob@example.com"})
        rarely = "poll_s = 3600.0\n"
        async with beside_salesforce(tmp_path, server, rarely) as here:
            await until_person(here.service, "bob@example.com")
            await until_true(lambda: server.is_listened_to, "the subscription")
            _quietly(server, "Contact", ann, "Title", "seen by a gap")
            org.gap("Contact", ann, "GAP_UPDATE")
            await until_person(here.service, "ann@example.com", title="seen by a gap")
            _quietly(server, "Contact", bob, "Title", "seen by an overflow")
            org.gap("Contact", "003*", "GAP_OVERFLOW")
            await until_person(here.service, "bob@example.com", title="seen by an overflow")
        _quietly(server, "Contact", bob, "Phone", "42")
        server.org.skew = timedelta(hours=1)
        server.org.update("Contact", ann, {"Phone": "43"})
        for _ in range(3):
            org.gap("Contact", bob, "GAP_UPDATE")
        org.forget_events()
        async with beside_salesforce(tmp_path, server, rarely) as here:
            await until_person(here.service, "ann@example.com", phone="43")
            await until_person(here.service, "bob@example.com", phone="42")
        await server.stop()

    asyncio.run(main())


def _quietly(server: SalesforceServer, name: str, record_id: str, field: str, value: str) -> None:
    """Change a record with no event of it."""
    server.org.update(name, record_id, {field: value})
    server.org.events.pop()
