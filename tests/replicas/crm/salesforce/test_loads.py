"""Loads of very many records by a query job: they go on, they give way, they overwrite nothing."""

import asyncio
from pathlib import Path

import pytest

from replicas.crm.conversation import Response
from replicas.crm.errors import CrmAnswerInvalid
from replicas.crm.salesforce import queries
from tests.replicas.crm.beside import (
    beside_salesforce,
    person,
    until_compared,
    until_person,
    until_true,
)
from tests.replicas.crm.salesforce.test_conversations import settings
from tests.replicas.crm.salesforce_server import SalesforceServer
from tests.replicas.crm.talking import answer, talk

JOBS = "poll_s = 3600.0\nbulk_min = 10\nresults_max = 10\n"
SHOWN = {"id": "750A", "state": "InProgress", "createdDate": "2026-11-21T08:00:00.000+0000"}


async def full(count: int = 60) -> SalesforceServer:
    server = await SalesforceServer().start()
    server.org.fill(count)
    return server


def test_a_load_by_a_job_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        server = await full()
        server.mischief.slow_s = 0.03
        async with beside_salesforce(tmp_path, server, JOBS) as here:
            await until_true(lambda: here.connection.progress["Contact"][0] >= 20, "a third")
            assert not here.connection.is_loaded
        async with beside_salesforce(tmp_path, server, JOBS) as here:
            assert here.connection.progress["Contact"][0] >= 20
            await until_true(lambda: here.connection.is_loaded, "the rest")
            assert here.connection.progress == {"Contact": (60, 60)}
            assert server.loads.made == 1
            results = sum(n for name, n in server.requests.items() if name.endswith("/results"))
            assert results <= 60 / 10 + 1
            await until_compared(here.service)
            assert len(here.service.replica.profiles()) == 60
            assert here.connection.outflow.counters["edits"] == 0
            cursor = here.service.replica.cursors["crm/salesforce/pull/Contact"]
            assert cursor.startswith("done ")
        await server.stop()

    asyncio.run(main())


def test_a_job_that_is_kept_no_more_or_fails_leads_to_plain_pages(tmp_path: Path) -> None:
    async def main() -> None:
        server = await full()
        server.mischief.slow_s = 0.03
        async with beside_salesforce(tmp_path, server, JOBS) as here:
            await until_true(lambda: here.connection.progress["Contact"][0] >= 20, "a third")
            server.loads.forget()
            await until_true(lambda: here.connection.is_loaded, "the rest")
            assert len(here.service.replica.profiles()) == 60
            server.loads.fails = True
            await here.connection.backfill()
            await until_true(lambda: here.connection.progress["Contact"][1] is not None, "again")
            await until_true(lambda: here.connection.progress["Contact"][0] >= 60, "again, all")
            assert (server.loads.made, len(here.service.replica.profiles())) == (2, 60)
        await server.stop()

    asyncio.run(main())


def test_what_was_sent_and_changed_since_the_job_began_stays(tmp_path: Path) -> None:
    """The job's rows are old by then: of a record that we sent to, and of one that went."""

    async def main() -> None:
        server = await full(30)
        more = f'{JOBS}events = "none"\n'
        async with beside_salesforce(tmp_path, server, more) as here:
            replica = here.service.replica
            last = await until_person(here.service, "person29@example.com", title="CEO")
            await until_compared(here.service)
            server.mischief.slow_s = 0.15
            await here.connection.backfill()
            await until_true(lambda: server.loads.made == 2, "another job")
            await replica.write(last.id, {"title": "CTO", "phone": "5"}, source="desk")
            rows = list(server.org.tables["Contact"].values())
            await until_true(lambda: rows[29]["Title"] == "CTO", "the write")
            server.org.delete("Contact", rows[28]["Id"])
        # Killed or not, what was sent is remembered: the next life reads the rest of the job.
        server.mischief.slow_s = 0.0
        async with beside_salesforce(tmp_path, server, more) as here:
            pages = here.connection
            await until_true(lambda: pages.progress["Contact"] == (30, 30), "the rest")
            await until_true(lambda: not pages.ledger.rereads(), "what was in doubt")
            found = person(here.service, "person29@example.com")
            assert found is not None
            assert (found.record["title"], found.record["phone"]) == ("CTO", "5")
            assert (rows[29]["Title"], rows[29]["Phone"]) == ("CTO", "5")
            assert server.loads.made == 2
        await server.stop()

    asyncio.run(main())


def test_a_job_is_begun_waited_for_and_read_page_by_page() -> None:
    chosen = settings(bulk_min=5, results_max=2)
    contact = chosen.mapping.by_name["Contact"]
    page, asked = talk(queries.pull(chosen, contact, ""), answer({"totalSize": 9}), answer(SHOWN))
    assert (page.cursor, page.total) == ("job 2026-11-21T08:00:00.000Z 750A -", 9)
    assert len(asked) == 2
    text = (
        "Id,IsDeleted,MasterRecordId,SystemModstamp,Key__c,Email,AccountId\n"
        '003A,false,,2026-11-20T08:00:00.000Z,,"a@example.com",\n'
        "003B,true,003A,2026-11-20T08:00:00.000Z,,,\n"
    )
    done = answer({**SHOWN, "state": "JobComplete"})
    results = Response(200, {"sforce-locator": "MTA"}, text.encode())
    page, _ = talk(queries.pull(chosen, contact, page.cursor), answer(SHOWN), done, results)
    assert page.cursor == "job 2026-11-21T08:00:00.000Z 750A MTA"
    assert page.is_snapshot
    assert [(one.kind, one.into) for one in page.sightings] == [("state", ""), ("deleted", "003A")]
    assert page.sightings[0].values == {"Key__c": "", "Email": "a@example.com", "AccountId": ""}
    last = Response(200, {"sforce-locator": "null"}, text.encode())
    page, _ = talk(queries.pull(chosen, contact, page.cursor), last)
    assert (page.cursor, page.is_last) == ("done 2026-11-21T08:00:00.000Z", True)


def test_a_job_that_cannot_be_is_none() -> None:
    chosen = settings(bulk_min=5)
    contact = chosen.mapping.by_name["Contact"]
    refused = answer([{"errorCode": "FEATURENOTENABLED", "message": "no bulk"}], 400)
    page, _ = talk(queries.pull(chosen, contact, ""), answer({"totalSize": 9}), refused)
    assert (page.cursor, page.is_last) == ("load", False)
    failed = answer({**SHOWN, "state": "Failed"})
    page, _ = talk(queries.pull(chosen, contact, "job 2026-11-21T08:00:00.000Z 750A -"), failed)
    assert page.cursor == "load"
    nonsense = Response(200, {}, b"\xff\xfe")
    with pytest.raises(CrmAnswerInvalid, match="no CSV"):
        talk(queries.pull(chosen, contact, "job 2026-11-21T08:00:00.000Z 750A MTA"), nonsense)
