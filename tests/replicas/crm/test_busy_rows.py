"""Rows that a vendor is too busy for, time and again, are not given up."""

import asyncio
from pathlib import Path

from replicas.crm import limits
from replicas.crm.dead_letters import DeadLetter
from tests.replicas.crm.beside import beside_hubspot, until_compared, until_person, until_true
from tests.replicas.crm.hubspot_account import value_of
from tests.replicas.crm.hubspot_server import HubSpotServer


def letter(result: str, attempts: int) -> DeadLetter:
    return DeadLetter("k", "out", "p", "contacts", "1", result, "C", "m", attempts=attempts)


def test_only_what_may_pass_is_tried_again_ever_later_and_at_most_an_hour() -> None:
    assert letter("conflict", 1).again_ms(30) is None
    assert letter("permanent", 1).again_ms(30) is None
    times = [letter("retry", attempts).again_ms(30) for attempts in (1, 2, 3, 10, 1_000)]
    assert times == [60_000, 120_000, 240_000, 3_600_000, 3_600_000]
    assert limits.RESEND_MAX_S == 3_600


def test_a_row_that_fails_for_long_is_sent_when_it_is_calmer(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server) as here:
            found = await until_person(here.service, "ann@example.com")
            await until_compared(here.service)
            server.mischief.rates = (0, 0, 0, 1.0, 0)
            await here.service.replica.write(found.id, {"phone": "1"}, source="desk")

            def letters() -> list[DeadLetter]:
                return list(here.connection.ledger.dead_letters())

            await until_true(lambda: len(letters()) == 1, "a dead letter")
            await until_true(lambda: len(letters()) == 1 and letters()[0].attempts > 1, "another")
            server.mischief.rates = (0, 0, 0, 0, 0)
            record = server.account.records[ann]
            await until_true(lambda: value_of(record, "phone") == "1", "the row")
            await until_true(lambda: not letters(), "no dead letter")
        await server.stop()

    asyncio.run(main())


def test_a_dead_letter_about_what_differs_no_more_goes(tmp_path: Path) -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        ann = server.account.create({"lastname": "Ann", "email": "ann@example.com"})
        async with beside_hubspot(tmp_path, server) as here:
            found = await until_person(here.service, "ann@example.com")
            await until_compared(here.service)
            server.mischief.rates = (0, 0, 0, 1.0, 0)
            await here.service.replica.write(found.id, {"phone": "1"}, source="desk")
            ledger = here.connection.ledger
            await until_true(lambda: any(True for _ in ledger.dead_letters()), "a dead letter")
            server.account.update(ann, {"phone": "1"})  # somebody does it by hand
            await until_true(lambda: not any(True for _ in ledger.dead_letters()), "none")
        await server.stop()

    asyncio.run(main())
