"""The service beside a Salesforce: records come, change, go, come back, merge; rows fail."""

import asyncio
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from benchmarks.ports import free_port
from crdtstore import grant
from replicas.crm.configuration import load_configuration
from replicas.crm.salesforce.settings import SalesforceSettings
from replicas.crm.service import running
from tests.replicas.crm.beside import (
    BesideSalesforce,
    beside_salesforce,
    person,
    until_compared,
    until_person,
    until_true,
)
from tests.replicas.crm.regions import write_salesforce
from tests.replicas.crm.salesforce_server import SalesforceServer

VIP = '[salesforce.objects.fields]\nvip = { property = "Vip__c", form = "boolean" }'


def row_of(here: BesideSalesforce, record_id: str) -> dict[str, object]:
    return here.server.org.tables["Contact"][record_id]


def test_records_come_change_are_cleared_go_and_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        org = server.org
        ann = org.create("Contact", {"LastName": "Ann", "Email": "Ann@Example.com", "Phone": "1"})
        async with beside_salesforce(tmp_path, server) as here:
            found = await until_person(here.service, "ann@example.com", phone="1")
            identifiers = found.record["identifiers"]
            assert identifiers == ["email:ann@example.com", f"salesforce_id:{ann}"]
            org.update("Contact", ann, {"Phone": None, "Title": "CEO"})
            await until_person(here.service, "ann@example.com", phone="", title="CEO")
            org.update("Contact", ann, {"Email": "ann@new.example"})
            await until_person(here.service, "ann@new.example", email="ann@new.example")
            assert person(here.service, "ann@example.com") is None
            org.delete("Contact", ann)
            await until_true(lambda: person(here.service, "ann@new.example") is None, "deletion")
            assert "title" not in here.service.replica.read(found.id)
            await asyncio.sleep(0.5)
            assert len(org.tables["Contact"]) == 1, "a deleted record was made anew"
            org.undelete("Contact", ann)
            await until_person(here.service, "ann@new.example", title="CEO", last_name="Ann")
            assert here.server.rows_written == 0, "nothing was to be sent"
        await server.stop()

    asyncio.run(main())


def test_a_value_that_is_set_back_is_an_edit(tmp_path: Path) -> None:
    """What was sent is not asserted by the vendor: the same old value, set again, is newer."""

    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "a@b.example"})
        server.org.update("Contact", ann, {"Phone": "old"})
        async with beside_salesforce(tmp_path, server) as here:
            found = await until_person(here.service, "a@b.example", phone="old")
            await here.service.replica.write(found.id, {"phone": "new"}, source="desk")
            await until_true(lambda: row_of(here, ann)["Phone"] == "new", "the value to be sent")
            server.org.update("Contact", ann, {"Phone": "old"})
            await until_person(here.service, "a@b.example", phone="old")
            await asyncio.sleep(0.4)
            assert row_of(here, ann)["Phone"] == "old"
        await server.stop()

    asyncio.run(main())


def test_every_row_is_accounted_for_and_dead_letters_are_retried(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        async with beside_salesforce(tmp_path, server) as here:
            replica, outflow = here.service.replica, here.connection.outflow
            await until_compared(here.service)
            server.lock_chunk = 40
            fields = {
                f"p{number}": {
                    "last_name": "x" * 90 if number % 10 == 0 else "Last",
                    "email": "nobody" if number % 10 == 1 else f"p{number}@example.com",
                }
                for number in range(250)
            }
            writes = [replica.write(name, values, source="desk") for name, values in fields.items()]
            await asyncio.gather(*writes)
            await until_true(lambda: len(server.org.tables["Contact"]) == 200, "good rows")
            counters = outflow.counters
            await until_true(lambda: counters["done"] + counters["permanent"] == 250, "all rows")
            letters = list(here.connection.ledger.dead_letters())
            codes = [letter.code for letter in letters]
            assert codes.count("STRING_TOO_LONG") == codes.count("INVALID_EMAIL_ADDRESS") == 25
            assert all(letter.advice and letter.properties for letter in letters)
            await replica.write("p0", {"last_name": "short"}, source="desk")
            await until_true(lambda: counters["done"] == 201, "what was mended by itself")
            await here.connection.retry(letters)
            await until_true(lambda: counters["permanent"] >= 99, "the retry")
            assert len(list(here.connection.ledger.dead_letters())) == 49
            assert len(server.org.tables["Contact"]) == 201
        await server.stop()

    asyncio.run(main())


def test_merged_records_are_one_person(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        org = server.org
        one = org.create("Contact", {"LastName": "One", "Email": "one@example.com"})
        two = org.create("Contact", {"LastName": "Two", "Email": "two@example.com"})
        async with beside_salesforce(tmp_path, server) as here:
            await until_person(here.service, "two@example.com")
            server.event_copies = 10
            org.merge("Contact", one, two)
            merges = here.connection.intake.counters
            await until_true(lambda: merges["merges"] == 1, "the merge")
            await until_person(here.service, "one@example.com", title="merged", last_name="One")
            found = person(here.service, "two@example.com")
            assert found is not None
            assert found.record["email"] == "one@example.com"
            assert len(found.profiles) == 2
            await asyncio.sleep(0.4)
            assert here.server.rows_written == 0
            assert merges["merges"] == 1
        await server.stop()

    asyncio.run(main())


def test_an_erased_person_is_deleted_at_the_vendor(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        async with beside_salesforce(tmp_path, server) as here:
            found = await until_person(here.service, "ann@example.com")
            await here.service.replica.write(found.id, {"title": "x" * 129}, source="desk")
            letters = here.connection.ledger.dead_letters
            await until_true(lambda: bool(list(letters())), "a dead letter")
            await here.service.replica.erase(found.id)
            await until_true(lambda: bool(row_of(here, ann)["IsDeleted"]), "the deletion")
            await until_true(lambda: not list(letters()), "no word of it")
            link = here.connection.ledger.link(found.id)
            assert link is not None
            assert not link.known
        await server.stop()

    asyncio.run(main())


def test_who_is_erased_during_the_load_is_deleted_at_the_vendor(tmp_path: Path) -> None:
    """Nothing is sent before all is loaded, and the erased are in no list of profiles by then."""

    async def main() -> None:
        server = await SalesforceServer().start()
        for number in range(6):
            server.org.create("Contact", {"LastName": "L", "Email": f"p{number}@example.com"})
        first, second = asyncio.Event(), asyncio.Event()
        first.set()
        server.mischief.held += [("queryAll", first), ("queryAll", second)]
        rarely = "poll_s = 3600.0\npage_max = 4\n"
        async with beside_salesforce(tmp_path, server, rarely) as here:
            found = await until_person(here.service, "p0@example.com")
            await here.service.replica.erase(found.id)
            assert not here.connection.is_loaded
            second.set()
            rows = server.org.tables["Contact"].values()
            await until_true(lambda: [row["IsDeleted"] for row in rows].count(True) == 1, "it")
            assert person(here.service, "p0@example.com") is None
            await until_true(lambda: here.connection.outflow.counters["deleted"] == 1, "the answer")
        await server.stop()

    asyncio.run(main())


def test_many_records_go_in_bulk_and_lost_answers_make_no_doubles(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        async with beside_salesforce(tmp_path, server, "poll_s = 0.3\nbulk_min = 50\n") as here:
            replica = here.service.replica
            await until_compared(here.service)
            server.jobs.stop_after = 90
            server.mischief.lost += ["jobs/ingest", "composite/sobjects"]
            async with replica.notes.commit() as commit:
                for number in range(120):
                    last_name = "" if number == 7 else f"L{number}"
                    commit.write(f"p{number}", {"last_name": last_name or "x" * 81}, source="desk")
            counters = here.connection.outflow.counters
            await until_true(lambda: counters["done"] + counters["permanent"] == 120, "all rows")
            assert counters["permanent"] == 1
            assert len(server.org.tables["Contact"]) == 119
            (letter,) = here.connection.ledger.dead_letters()
            assert letter.code == "STRING_TOO_LONG"
        await server.stop()

    asyncio.run(main())


def test_sessions_that_end_limits_that_are_reached_and_a_dry_run(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        async with beside_salesforce(tmp_path, server, is_dry=True) as here:
            found = await until_person(here.service, "ann@example.com")
            await here.service.replica.write(found.id, {"title": "CEO"}, source="desk")
            (planned,) = here.connection.outflow.planner.plan([found.id])
            assert planned.edit.values == {"Title": "CEO"}
            await asyncio.sleep(0.3)
            assert server.rows_written == 0
        limit = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "limit"}]
        server.mischief.answers.append(("composite", 403, limit, {}))
        server.mischief.answers.append(("composite", 401, [], {}))
        async with beside_salesforce(tmp_path, server) as here:
            rows = server.org.tables["Contact"].values()
            await until_true(lambda: next(iter(rows))["Title"] == "CEO", "the push")
            assert here.connection.driver.logins == 2
            server.end_sessions()
            driver = here.connection.driver
            await until_true(lambda: driver.logins == 3, "another login")
            await until_true(lambda: here.connection.troubles == {}, "no trouble")
            await asyncio.sleep(0.4)
            assert driver.logins == 3
        await server.stop()

    asyncio.run(main())


def test_directions_clears_and_consents_are_as_the_mapping_says(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        ann = server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        path = write_salesforce(tmp_path, server, port=free_port(), peers=[])
        (tmp_path / "schema.toml").write_text('[fields.vip]\nkind = "consent"\n')
        text = path.read_text()
        for before, after in (
            ('property = "Title"', 'property = "Title", direction = "pull"'),
            ('property = "Phone"', 'property = "Phone", clear = "withdraw"'),
            ("[salesforce.objects.fields]", VIP),
            ('data = "data"', 'data = "data"\nschema = "schema.toml"'),
        ):
            assert before in text
            text = text.replace(before, after)
        path.write_text(text)
        async with running(load_configuration(path)) as service:
            found = await until_person(service, "ann@example.com")
            replica = service.replica
            await replica.write(found.id, {"phone": "of the desk"}, source="desk")
            server.org.update("Contact", ann, {"Phone": "5", "Title": "CEO", "Vip__c": True})
            await until_person(service, "ann@example.com", phone="5", title="CEO", vip=True)
            server.org.update("Contact", ann, {"Phone": None, "Vip__c": False})
            await until_person(service, "ann@example.com", phone="of the desk", vip=False)
            row = server.org.tables["Contact"][ann]
            await until_true(lambda: row["Phone"] == "of the desk", "the other source's value")
            await replica.write(found.id, {"title": "CTO", "vip": grant()}, source="desk")
            await until_true(lambda: row["Vip__c"] is True, "the consent")
            assert row["Title"] == "CEO"
        await server.stop()

    asyncio.run(main())


def test_a_load_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        for number in range(60):
            server.org.create("Contact", {"LastName": "L", "Email": f"p{number}@example.com"})
        server.mischief.slow_s = 0.03
        slowly = "poll_s = 3600.0\npage_max = 4\n"
        async with beside_salesforce(tmp_path, server, slowly) as here:
            await until_true(lambda: here.connection.progress["Contact"][0] >= 20, "a third")
            assert not here.connection.is_loaded
        async with beside_salesforce(tmp_path, server, slowly) as here:
            assert here.connection.progress["Contact"][0] >= 20
            await until_true(lambda: here.connection.is_loaded, "the rest")
            assert here.connection.progress == {"Contact": (60, 60)}
            assert server.requests["GET /queryAll"] <= 60 / 4 + 3
            assert len(here.service.replica.profiles()) == 60
            await here.connection.backfill()
            await until_true(lambda: here.connection.progress["Contact"] == (60, 60), "again")
            assert here.connection.outflow.counters["edits"] == 0
        await server.stop()

    asyncio.run(main())


def test_a_key_instead_of_a_secret_logs_in(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def main() -> None:
        server = await SalesforceServer(secret=private.decode()).start()
        server.public_key = public.decode()
        server.org.create("Contact", {"LastName": "Ann", "Email": "ann@example.com"})
        flow = 'poll_s = 0.3\nflow = "jwt_bearer"\nusername = "crm@example.com"\n'
        async with beside_salesforce(tmp_path, server, flow) as here:
            await until_person(here.service, "ann@example.com")
        await server.stop()

    asyncio.run(main())


def test_settings_show_no_secret() -> None:
    fields = SalesforceSettings.__dataclass_fields__
    assert not fields["secret"].repr
