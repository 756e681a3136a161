"""Rooms of Yjs clients: what they are told, what is refused, and what is asked for again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pycrdt
import pytest

from crdtstore import limits
from crdtstore.collaboration.rooms import ClientTooSlow, Coediting, Member, TextBegunAnew
from crdtstore.errors import (
    CrdtstoreError,
    KindConflict,
    LimitExceeded,
    MessageInvalid,
    ProfileErased,
    ProfileNotFound,
    StorageFull,
)
from crdtstore.model.operations import insert_text
from crdtstore.replica.replica import Replica
from crdtstore.schema import Field, Schema
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.y_protocol import (
    Awareness,
    Message,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from tests.patience import PATIENCE_S

SCHEMA = Schema(fields={"note": Field("text"), "name": Field("register")})
HOSTILE = (
    "01010a01000000", "01014dfeffffff0f000500", "01030a002801016d026b3001780000000000",
    "01010302a107030000", "0101010104010004f09f988000", "00014d0100ffffffff0f",
    "020203000801016d037d007e7c5b82fad80901016d0267317d3f0103010801016d037e797bbac3b96f2a9c8c1a00",
    "010107feffffff0f88ffffffffffffff0f01037f7f7901ffffffff0f00",
)  # fmt: skip


class Client:
    """A Yjs document, and its place in a room."""

    def __init__(self, coediting: Coediting, client_id: int, **options: int) -> None:
        self.doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc(client_id=client_id)
        self.note = self.doc.get("text", type=pycrdt.Text)
        self.coediting = coediting
        self.heard: list[Message] = []
        self.member: Member = coediting.enter("ann", "note", source="web", **options)

    def write(self, at: int, text: str) -> bytes:
        before = self.doc.get_state()
        self.note.insert(at, text)
        return self.doc.get_update(before)

    async def say(self, message: Message) -> None:
        await self.coediting.receive(self.member, encode(message))

    async def overhear(self) -> list[Message]:
        """Return what is said to the client within a while, nothing perhaps; do what it says."""
        news: list[Message] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(0.15):
                while True:
                    news += await self._take()
        return news

    async def listen(self, wanted: Callable[[list[Message]], bool] = bool) -> list[Message]:
        """Return what is said to the client until that is what is wanted; do what it says."""
        news: list[Message] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not wanted(news):
                    news += await self._take()
        except TimeoutError:
            raise AssertionError(f"no more was said than {news}") from None
        return news

    async def _take(self) -> list[Message]:
        news = [decode(data) for data in await self.member.outgoing()]
        for message in news:
            if isinstance(message, SyncStep2 | Update):
                self.doc.apply_update(message.update)
        self.heard += news
        return news

    async def sees(self, states: dict[int, str | None]) -> None:
        """Wait until the client is told of these states, and of no others."""
        await self.listen(lambda news: presence(*news) == states)

    async def until_text(self, text: str) -> None:
        """Wait until the client has a text."""
        await self.listen(lambda _: str(self.note) == text)

    async def end(self) -> CrdtstoreError:
        """Return the error by which the membership ended."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self.member.outgoing()
                except CrdtstoreError as error:
                    return error


Scenario = Callable[[Replica], Awaitable[None]]


def run(scenario: Scenario, where: Path | MemoryStorage | None = None) -> None:
    async def main() -> None:
        storage = where or MemoryStorage()
        async with Replica.open(storage, name="eu", schema=SCHEMA) as replica:
            await scenario(replica)

    asyncio.run(main())


def presence(*messages: Message) -> dict[int, str | None]:
    """Return the last state of each client that was told of."""
    told: dict[int, str | None] = {}
    for message in messages:
        if isinstance(message, Awareness):
            told.update({client: state for client, _, state in message.clients})
    return told


def _is_asked_again(news: list[Message]) -> bool:
    """Say whether a client was asked for its text, and more than the once that all are."""
    return len(news) > 1 and isinstance(news[-1], SyncStep1)


def test_a_newcomer_is_asked_for_what_it_has_and_gets_what_it_lacks() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.write("ann", {"note": insert_text(0, "there")}, source="crm")
        one = Client(replica.coediting, 7)
        first, *_ = await one.listen()
        assert first == SyncStep1(replica.texts.state_vector("ann", "note"))
        await one.say(SyncStep1(one.doc.get_state()))
        await one.until_text("there")
        await one.say(SyncStep2(one.write(5, "!")))
        assert replica.read("ann")["note"] == "there!"
        assert [c.source for c in replica.explain("ann", "note")] == ["web", "crm"]

    run(scenario)


def test_what_anybody_writes_is_told_to_all_when_it_is_durable() -> None:
    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 8)
        await one.say(Update(one.write(0, "a")))
        await replica.write("ann", {"note": insert_text(1, "b")}, source="crm")
        await two.until_text("ab")
        await one.until_text("ab")
        echoes = [m for m in one.heard if isinstance(m, Update)]
        assert len(echoes) == 2, "its own update, too: that is how it learns that it was kept"

    run(scenario)


def test_what_could_not_be_kept_is_told_to_nobody() -> None:
    storage = MemoryStorage()

    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 8)
        await two.listen()
        await two.overhear()
        storage.fail_next_commit(StorageFull("full"))
        with pytest.raises(StorageFull):
            await one.say(Update(one.write(0, "lost")))
        assert await two.overhear() == []
        assert replica.profiles() == []

    run(scenario, storage)


@pytest.mark.parametrize("update", HOSTILE)
def test_hostile_updates_cost_their_client_alone(update: str) -> None:
    async def scenario(replica: Replica) -> None:
        good, bad = Client(replica.coediting, 7), Client(replica.coediting, 8)
        await good.say(Update(good.write(0, "sound")))
        before = replica.digest()
        for message in (Update(bytes.fromhex(update)), SyncStep2(bytes.fromhex(update))):
            try:
                await bad.say(message)
            except MessageInvalid:
                continue
            assert bad.member.asks_at_s is not None, "it stands beside what nobody has written"
        assert replica.digest() == before
        await good.say(Update(good.write(5, "!")))
        assert replica.read("ann")["note"] == "sound!"

    run(scenario)


@pytest.mark.parametrize(
    "data", [b"", b"\x07", b"\x00\x05\x00", b"\x02\x00\x00", b"\x00\x00\x01\x80"]
)
def test_what_is_no_message_ends_the_membership(data: bytes) -> None:
    async def scenario(replica: Replica) -> None:
        with pytest.raises(MessageInvalid):
            await replica.coediting.receive(Client(replica.coediting, 7).member, data)

    run(scenario)


def test_large_updates_are_taken_too() -> None:
    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 8)
        text = "".join(map(str, range(9_000)))
        await one.say(Update(one.write(0, text)))
        await two.until_text(text)
        with pytest.raises(MessageInvalid):
            await one.say(Update(b"\x01" * 50_000))

    run(scenario)


def test_a_slow_client_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COLLABORATOR_QUEUE_BYTES", 3_000)

    async def scenario(replica: Replica) -> None:
        slow, good = Client(replica.coediting, 7), Client(replica.coediting, 8)
        for _ in range(8):
            await good.say(Update(good.write(0, "x" * 500)))
            await good.listen()
        assert isinstance(await slow.end(), ClientTooSlow)
        await good.until_text("x" * 4_000)

    run(scenario)


def test_presence_is_told_and_ends_with_its_client() -> None:
    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 8)
        await one.say(Awareness(((7, 1, '{"name":"Ann"}'),)))
        await two.sees({7: '{"name":"Ann"}'})
        late = Client(replica.coediting, 9)
        await late.sees({7: '{"name":"Ann"}'})
        await late.say(QueryAwareness())
        await late.sees({7: '{"name":"Ann"}'})
        replica.coediting.leave(one.member)
        await two.sees({7: None})
        assert replica.coediting.members == 2

    run(scenario)


def test_nobody_speaks_for_a_client_that_is_here() -> None:
    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 8)
        await one.say(Awareness(((7, 1, '"here"'),)))
        await two.say(Awareness(((7, 5, '"false"'),)))
        await two.say(Awareness(((7, 9, None),)))
        crowd = tuple((100 + n, 1, "{}") for n in range(9))
        await two.say(Awareness(crowd))
        news = await one.listen(lambda news: len(presence(*news)) > limits.ANNOUNCED_MAX)
        told = presence(*news, *await one.overhear())
        assert told[7] == '"here"'
        assert len(told) == 1 + limits.ANNOUNCED_MAX

    run(scenario)


def test_nobody_writes_as_a_client_that_is_here_until_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ASK_AGAIN_MIN_S", 0.05)

    async def scenario(replica: Replica) -> None:
        one, two = Client(replica.coediting, 7), Client(replica.coediting, 7)
        await one.say(Awareness(((7, 1, "{}"),)))
        await two.say(Update(two.write(0, "mine")))
        assert replica.profiles() == []
        await two.listen(_is_asked_again)
        replica.coediting.leave(one.member)
        await two.say(SyncStep2(two.doc.get_update()))
        assert replica.read("ann")["note"] == "mine"

    run(scenario)


def test_an_update_that_needs_what_peers_have_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ASK_AGAIN_MIN_S", 0.05)

    async def scenario(replica: Replica) -> None:
        elsewhere: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc(client_id=5)
        elsewhere.get("text", type=pycrdt.Text).insert(0, "before ")
        one = Client(replica.coediting, 7)
        one.doc.apply_update(elsewhere.get_update())
        await one.say(Update(one.write(7, "after")))
        assert replica.profiles() == []
        *_, asked = await one.listen(_is_asked_again)
        assert isinstance(asked, SyncStep1)
        await one.say(SyncStep2(one.doc.get_update(asked.state_vector)))
        assert replica.read("ann")["note"] == "before after"

    run(scenario)


def test_nobody_writes_as_an_origin() -> None:
    async def scenario(replica: Replica) -> None:
        one = Client(replica.coediting, (1 << 52) + 5)
        await one.say(Update(one.write(0, "x")))
        assert replica.profiles() == []
        assert one.member.asks_at_s is not None

    run(scenario)


def test_an_erasure_ends_all_memberships_and_nothing_comes_back() -> None:
    async def scenario(replica: Replica) -> None:
        one = Client(replica.coediting, 7)
        await one.say(Update(one.write(0, "personal")))
        await replica.erase("ann")
        assert isinstance(await one.end(), ProfileErased)
        with pytest.raises(ProfileErased):
            Client(replica.coediting, 7)
        await replica.revive("ann")
        with pytest.raises(ProfileErased):
            await one.say(SyncStep2(one.doc.get_update()))
        epoch = replica.texts.epoch("ann")
        with pytest.raises(TextBegunAnew, match=f"epoch={epoch}"):
            Client(replica.coediting, 7)
        anew = Client(replica.coediting, 9, epoch=epoch)
        await anew.say(Update(anew.write(0, "new")))
        assert replica.texts.read("ann", "note") == "new"

    run(scenario)


def test_other_fields_have_no_rooms() -> None:
    async def scenario(replica: Replica) -> None:
        with pytest.raises(KindConflict):
            replica.coediting.enter("ann", "name", source="web")
        with pytest.raises(ProfileNotFound):
            replica.coediting.enter("ann", "unknown", source="web")

    run(scenario)


def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(replica: Replica) -> None:
        for number in range(3):
            one = Client(replica.coediting, 7 + number)
            saying = asyncio.create_task(one.say(Update(one.write(0, "x"))))
            await asyncio.sleep(0.001 * number)
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            replica.coediting.leave(one.member)
        two = Client(replica.coediting, 20)
        await two.say(Update(two.write(0, "y")))
        assert "y" in replica.texts.read("ann", "note")
        assert replica.texts.trials.counters["deaths"] == 0

    run(scenario)
    assert "never retrieved" not in caplog.text


def test_of_a_large_update_what_is_known_costs_no_room_and_what_is_news_must_have_some() -> None:
    async def scenario(replica: Replica) -> None:
        client = Client(replica.coediting, 5)
        for part in range(4):
            await client.say(Update(client.write(0, chr(97 + part) * 100_000)))
        client.write(0, "more ")
        whole = bytes(client.doc.get_update())
        assert len(whole) > limits.WRITE_BYTES_MAX
        await client.say(SyncStep2(whole))
        text = replica.texts.read("ann", "note")
        assert text == str(client.note)
        too_much = client.write(0, "x" * limits.WRITE_BYTES_MAX)
        with pytest.raises(LimitExceeded, match="245,760"):
            await client.say(Update(too_much))
        assert replica.texts.read("ann", "note") == text

    run(scenario)
