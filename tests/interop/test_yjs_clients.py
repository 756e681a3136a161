"""Stock Yjs clients edit fields, at one replica and at two."""

import asyncio
from pathlib import Path

from crdtstore.model.operations import insert_text
from tests.interop.yjs import NOTE, Site, Yjs, run_sites
from tests.patience import until


def test_two_clients_of_one_replica_share_a_text(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.open("bob", eu.url)
        await yjs.ask("insert", "ann", 0, "Hello 😀")
        await yjs.until_equal("ann", "bob", text="Hello 😀")
        await yjs.ask("insert", "bob", 8, "!", {"bold": True})
        await yjs.ask("remove", "ann", 0, 1)
        await yjs.ask("insert", "ann", 0, "J")
        await yjs.until_equal("ann", "bob", text="Jello 😀!")
        assert eu.text == "Jello 😀!"
        revised = await eu.replica.revisions.read("ann", "note")
        assert await yjs.ask("delta", "ann") == revised.delta

    run_sites(scenario, tmp_path)


def test_clients_of_two_replicas_edit_at_once(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site, us: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.open("bob", us.url)
        for round_ in range(5):
            await yjs.ask("insert", "ann", 0, f"a{round_}")
            await yjs.ask("insert", "bob", 0, f"b{round_}")
        await eu.replica.write("ann", {"note": insert_text(0, "program ")}, source="crm")

        async def has_all() -> bool:
            return len(await yjs.ask("text", "ann")) == 28

        await until(has_all, "all edits to arrive")
        text = await yjs.until_equal("ann", "bob")
        assert eu.text == us.text == text

    run_sites(scenario, tmp_path, sites=2)


def test_lists_are_shared_too(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site) -> None:
        await yjs.open("ann", eu.url, "ann/tasks")
        await yjs.ask("push", "ann", ["call", 2, {"done": False}])

        async def is_there() -> bool:
            profiles = eu.replica.profiles()
            return bool(profiles) and profiles[0]["tasks"] == ["call", 2, {"done": False}]

        await until(is_there, "the list")

    run_sites(scenario, tmp_path)


def test_what_was_written_offline_merges_on_return(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site, us: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.open("bob", us.url)
        await yjs.ask("insert", "ann", 0, "one two")
        await yjs.until_equal("ann", "bob", text="one two")
        await yjs.ask("disconnect", "ann")
        await yjs.ask("insert", "ann", 3, " and a half")
        await yjs.ask("remove", "bob", 0, 3)
        await yjs.ask("insert", "bob", 4, " three")
        await yjs.ask("reload", "ann", eu.url.replace("http", "ws") + "v1/collaboration", NOTE)
        text = " and a half two three"
        await yjs.until_equal("ann", "bob", text=text)
        assert eu.text == us.text == text

    run_sites(scenario, tmp_path, sites=2)


def test_a_client_that_sends_garbage_is_told_why_and_stays_away(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.open("bad", eu.url)
        await yjs.ask("insert", "ann", 0, "sound")
        await yjs.until_equal("ann", "bad", text="sound")
        await yjs.ask("send", "bad", "000207" + "01010a01000000")

        async def is_closed() -> bool:
            return (await yjs.ask("status", "bad"))["closed"] is not None

        await until(is_closed, "the client to be closed")
        await yjs.ask("insert", "ann", 5, "!")
        await asyncio.sleep(0.5)
        status = await yjs.ask("status", "bad")
        assert status["closed"][0] == 4400
        assert status["closed"][1]
        assert not status["connected"], "the stock client does not come back by itself"
        assert eu.text == "sound!"

    run_sites(scenario, tmp_path)


def test_a_client_that_was_away_does_not_bring_an_erased_text_back(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.ask("insert", "ann", 0, "personal")
        await yjs.open("bob", eu.url)
        await yjs.ask("disconnect", "ann")
        await eu.replica.erase("ann")
        await eu.replica.revive("ann")
        await yjs.ask("connect", "ann")

        async def is_closed() -> bool:
            codes = [(await yjs.ask("status", name))["closed"] for name in ("ann", "bob")]
            return all(code is not None and code[0] == 4410 for code in codes)

        await until(is_closed, "both to be closed")
        epoch = eu.replica.texts.epoch("ann")
        await yjs.open("cid", eu.url, epoch=str(epoch))
        await yjs.ask("insert", "cid", 0, "new")

        async def is_kept() -> bool:
            return eu.replica.texts.read("ann", "note") != ""

        await until(is_kept, "the new text")
        await asyncio.sleep(0.3)
        assert eu.text == "new"

    run_sites(scenario, tmp_path)
