"""Traits of the whole service: from events over HTTP to pages and commands."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from replicas.cdp.command import main
from replicas.cdp.service import Running
from tests.patience import until
from tests.replicas.cdp.service import beside, track, write_config

TRAITS = """
[traits.orders]
event = "Order Completed"
fold = "count"

[traits.greatest]
event = "Order Completed"
fold = "maximum"
property = "number"
decimals = 0

[traits.orders_30d]
event = "Order Completed"
fold = "count"
window = "30d"
"""


async def until_folded(service: Running) -> None:
    await until(lambda: service.folding.needed_after >= service.log.last_sequence, "folding")


def test_events_become_traits_that_pages_and_commands_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def command(config: Path, *words: str) -> str:
        assert await asyncio.to_thread(main, [*words, "--config", str(config)]) == 0
        return capsys.readouterr().out

    async def scenario() -> None:
        config = write_config(tmp_path / "eu", 'traits_file = "traits.toml"')
        (tmp_path / "eu" / "traits.toml").write_text(TRAITS)
        async with beside(config) as (service, sender):
            status, _ = await sender.batch(*(track(number) for number in range(20)))
            assert status == 200
            identify: dict[str, Any] = {
                "type": "identify", "userId": "u0", "messageId": "i1",
                "traits": {"orders": "of a client", "city": "Bonn"},
            }  # fmt: skip
            await sender.batch(identify)
            await until_folded(service)
            await until(lambda: service.learning.position >= service.log.last_sequence, "learning")
            person = service.log.read(0, 1)[0][1].profile_id
            values = (await sender.get(f"/cdp/profiles/{person}/traits"))["traits"]
            assert values == {"orders": 3, "greatest": 14, "orders_30d": 3}
            assert service.replica.read(person)["city"] == "Bonn"
            account = await sender.get(f"/cdp/profiles/{person}/traits/orders")
            assert [each["payload"] for each in account["partials"]] == [3]
            listed = await sender.get("/cdp/traits")
            assert {each["folded"] for each in listed["traits"]} == {21} == {listed["last"]}
            assert (await sender.get("/cdp/profiles/nobody/traits"))["code"] == "profile-not-found"
            nothing = await sender.get(f"/cdp/profiles/{person}/traits/none")
            assert nothing["code"] == "definition-invalid"

            async with sender.client.get(sender.own + "/cdp/metrics") as answer:
                assert 'cdp_folded_total{what="events"} 21.0' in await answer.text()

            shown = json.loads(await command(config, "traits", "show", person))
            assert shown == values
            assert "version 1: count, Order Completed" in await command(config, "traits", "list")
            assert "eu  count 3" in await command(config, "traits", "explain", person, "orders")
            assert "0 of 3 traits are behind" in await command(config, "replay")

    asyncio.run(scenario())


def test_a_file_of_traits_that_is_wrong_ends_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "eu", 'traits_file = "traits.toml"')
    (tmp_path / "eu" / "traits.toml").write_text("[traits.t]\nfold = 'median'\n")
    assert main(["run", "--config", str(config)]) == 1
    assert "traits.t: fold is one of" in capsys.readouterr().err
