"""A third CRM: one class, and the service keeps it in step. Its whole adapter is in this file."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from crdtstore import Replica
from replicas.crm.connection import Connection
from replicas.crm.conversation import (
    Conversation,
    Request,
    Response,
    Session,
    Verdict,
    json_request,
)
from replicas.crm.crm import Edit, Outcome, Page, RecordKey, Sighting
from replicas.crm.driver import Driver, Pace
from replicas.crm.mapping import mapping_of
from replicas.crm.redaction import Redaction
from tests.patience import until


class CardIndex:
    """An adapter: cards are read by revision, and put one by one."""

    source, read_max = "cards", 50

    def __init__(self, address: str) -> None:
        self.address = address

    def log_in(self, now_s: float) -> Conversation[Session]:
        yield from ()
        return Session(self.address, {})

    def judge(self, response: Response) -> Verdict:
        return Verdict("retry" if response.status >= 500 else "pass")

    def pull(self, object_name: str, cursor: str) -> Conversation[Page]:
        response = yield Request("GET", "/cards", query={"since": cursor or "0"})
        cards = response.json()
        last = str(max((card["revision"] for card in cards), default=int(cursor or 0)))
        return Page([self._seen(card) for card in cards], last, True)

    def read(self, object_name: str, ids: Sequence[str]) -> Conversation[list[Sighting]]:
        response = yield Request("GET", "/cards", query={"since": "0"})
        return [self._seen(card) for card in response.json() if card["id"] in ids]

    def push(self, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
        outcomes = []
        for edit in edits:
            body = {"key": edit.profile_id, **edit.values}
            response = yield json_request("PUT", f"/cards/{edit.record_id or 'new'}", body)
            outcomes.append(Outcome(edit, "done", response.json()["id"]))
        return outcomes

    def _seen(self, card: dict[str, Any]) -> Sighting:
        values = {name: card.get(name) for name in ("key", "name", "mail")}
        return Sighting("state", RecordKey("card", card["id"]), card["revision"], values)


TABLE: dict[str, Any] = {
    "name": "card", "key": "key",
    "fields": {"last_name": {"property": "name"},
               "email": {"property": "mail", "identifier": "email"}},
}  # fmt: skip


class Cards:
    """The card index itself: cards by id, each with the revision of its last change."""

    def __init__(self) -> None:
        self.cards: dict[str, dict[str, Any]] = {}
        self._revisions = itertools.count(1)

    def put(self, card_id: str, values: dict[str, Any]) -> str:
        known = [one for one, card in self.cards.items() if card.get("key") == values.get("key")]
        card_id = (known or [f"c{len(self.cards)}"])[0] if card_id == "new" else card_id
        card = self.cards.setdefault(card_id, {"id": card_id})
        card.update(values, revision=next(self._revisions))
        return card_id

    async def get_cards(self, request: web.Request) -> web.Response:
        since = int(request.query["since"])
        return web.json_response([c for c in self.cards.values() if c["revision"] > since])

    async def put_card(self, request: web.Request) -> web.Response:
        card_id = self.put(request.match_info["id"], json.loads(await request.read()))
        return web.json_response({"id": card_id})


def test_a_third_crm_is_kept_in_step(tmp_path: Path) -> None:
    async def main() -> None:
        cards, app = Cards(), web.Application()
        app.router.add_get("/cards", cards.get_cards)
        app.router.add_put("/cards/{id}", cards.put_card)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        crm = CardIndex(f"http://127.0.0.1:{runner.addresses[0][1]}")
        cards.put("c0", {"name": "Ann", "mail": "ann@example.com"})
        mapping = mapping_of([TABLE], identifier="card_id")
        async with (
            Replica.open(tmp_path / "r", name="r") as replica,
            aiohttp.ClientSession() as client,
        ):
            driver = Driver(crm, client, Pace(), Redaction())
            connection = Connection(replica, driver, mapping, poll_s=0.05)
            working = asyncio.create_task(connection.run())
            await until(lambda: bool(replica.profiles()), "the card to come")
            (ann,) = replica.profiles()
            await replica.write(ann.id, {"last_name": "Anna"}, source="desk")
            await replica.write("bob", {"last_name": "Bob"}, source="desk")
            await until(lambda: cards.cards["c0"]["name"] == "Anna", "the edit to go out")
            await until(lambda: len(cards.cards) == 2, "the new card")
            cards.put("c1", {"mail": "bob@example.com"})
            await until(lambda: "email" in replica.read("bob"), "the edit to come in")
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        await runner.cleanup()

    asyncio.run(main())


def test_the_adapter_is_short() -> None:
    lines = Path(__file__).read_text().splitlines()
    begins, ends = lines.index("class CardIndex:"), lines.index("class Cards:")
    assert ends - begins < 100
