"""``crdtstore-crm``: every command of its page works, and the pages behind it."""

import asyncio
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from replicas.crm.command import build_parser, main
from tests.docs import documents
from tests.replicas.crm.beside import beside_salesforce, until_person, until_true
from tests.replicas.crm.regions import POLLS
from tests.replicas.crm.salesforce_server import SalesforceServer

COMMANDS = [
    words
    for block in documents.blocks("sh")
    for line in block.text.splitlines()
    if line.startswith("crdtstore-crm ") and (words := shlex.split(line, comments=True))
]


def test_the_page_shows_every_command() -> None:
    shown = {words[1] for words in COMMANDS}
    assert shown == {"run", "status", "dry-run", "backfill", "dead-letters"}


def test_the_commands_of_the_page_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def show() -> str:
        server = await SalesforceServer().start()
        for number in range(30):
            server.org.create("Contact", {"LastName": "L", "Email": f"p{number}@example.com"})
        async with beside_salesforce(tmp_path, server, f"{POLLS}page_max = 7\n") as here:
            found = await until_person(here.service, "p7@example.com")
            await until_true(lambda: here.connection.is_loaded, "the load")
            await here.service.replica.write("bad", {"last_name": "x" * 99}, source="desk")
            letters = here.connection.ledger.dead_letters
            await until_true(lambda: bool(list(letters())), "the dead letter")
            here.connection.is_dry = True
            await here.service.replica.write(found.id, {"title": "CEO"}, source="desk")
            for words in COMMANDS:
                if words[1] == "run":
                    build_parser().parse_args(words[1:])
                else:
                    assert await asyncio.to_thread(main, words[1:]) == 0, words
            assert (await asyncio.to_thread(main, ["run", "--config", "nowhere.toml"])) == 1
        await server.stop()
        assert await asyncio.to_thread(main, ["status", "--config", "crm.toml"]) == 1
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    shown = asyncio.run(show())
    assert "update Contact 003" in shown
    assert 'Title = "CEO"' in shown
    assert "salesforce out/bad: permanent STRING_TOO_LONG" in shown
    assert "1 tried again" in shown
    assert "salesforce Contact" in shown
    assert '"is_loaded": true' in shown


def test_the_pages_show_health_and_numbers(tmp_path: Path) -> None:
    async def ask(url: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status, await answer.text()

    async def run() -> None:
        server = await SalesforceServer().start()
        async with beside_salesforce(tmp_path, server) as here:
            port = (tmp_path / "crm.toml").read_text().partition("127.0.0.1:")[2].split('"')[0]
            url = f"http://127.0.0.1:{port}/crm"
            await until_true(lambda: here.connection.is_loaded, "the load")
            assert await ask(f"{url}/health") == (200, '{"troubles": {}}')
            status, text = await ask(f"{url}/metrics")
            assert status == 200
            assert 'crm_state{source="salesforce",what="dead_letters"} 0.0' in text
            assert 'crm_requests_total{lane="pull Contact",source="salesforce"}' in text
            await server.stop()
            await until_true(lambda: bool(here.connection.troubles), "the trouble")
            status, text = await ask(f"{url}/health")
            assert status == 503
            assert "failed" in text

    asyncio.run(run())
