"""Whatever is lost, sent again, undone or crashed: every write has its effect once, in order.

The client's outbox, the replica's stream and its store are the real ones; the wire, the moment of a
commit and the crashes are drawn by Hypothesis. What happened is read from the journal.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from crdtstore import increment, limits
from crdtstore.errors import KindConflict, MessageInvalid, StorageError, StorageFull, WritesRefused
from crdtstore.replica.streams import Streams
from crdtstore.stream.entries import pack_write
from crdtstore.stream.messages import Results, Writes, decode, encode, encode_writes
from crdtstore.stream.outbox import Outbox
from crdtstore.sync.frame import decode_body, parse, space_tag
from tests.engine.stores import fail, frames, open_store, reopened

NAMES = (
    "refused", "send", "deliver", "push", "push", "commit", "tell", "hear", "lose", "crash", "full"
)  # fmt: skip
STEPS = st.lists(
    st.one_of(st.tuples(st.just("submit"), st.integers(1, 3)), st.tuples(st.sampled_from(NAMES))),
    max_size=60,
)


class Commits:
    """Group commits that happen when a step says so."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.work = asyncio.Event()
        self.waiters: list[asyncio.Future[None]] = []

    def next_commit(self) -> "asyncio.Future[None]":
        self.waiters.append(asyncio.get_running_loop().create_future())
        return self.waiters[-1]

    async def durable(self) -> None:
        waiter = self.next_commit()
        self.commit()
        await waiter

    def commit(self) -> None:
        waiters, self.waiters = self.waiters, []
        try:
            self.store.commit()
        except StorageError as error:
            for waiter in waiters:
                waiter.set_exception(error)
                waiter.exception()  # nobody may be left to ask
        else:
            for waiter in waiters:
                waiter.set_result(None)


class World:
    """One client and its replica, with a wire each way."""

    def __init__(self) -> None:
        self.ids = (bytes([number]) * 16 for number in count(1))
        self.outbox = Outbox(lambda: next(self.ids))
        self.store = open_store()
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.expected: list[int] = []
        self.waiters: list[Future[str]] = []
        self.refused: list[Future[str]] = []
        self.submitted = 0

    async def connect(self) -> None:
        self.up.clear()
        self.down.clear()
        hello = decode(encode(self.outbox.hello()))
        while True:
            try:
                self.stream = await self.streams.open(hello)
            except StorageFull:
                self.store.now_ms.ms += limits.FULL_RETRY_MS
            else:
                break
        self.outbox.welcome(decode(encode(self.streams.welcome(self.stream))))

    async def start(self) -> None:
        self.commits = Commits(self.store)
        self.streams = Streams(self.store, self.commits)
        await self.connect()

    def submit(self, number_of_writes: int) -> None:
        for _ in range(number_of_writes):
            self.submitted += 1
            fields = {"register": self.submitted, "counter": increment()}
            waiter: Future[str] | None = Future() if self.submitted % 2 else None
            if waiter is not None:
                self.waiters.append(waiter)
            entry = pack_write("ann", "crm", fields, None, tell=waiter is not None)
            self.outbox.add(entry, waiter)
            self.expected.append(self.submitted)

    def submit_refused(self) -> None:
        waiter: Future[str] = Future()
        fields = {"counter": "no counter"}
        if not self.expected:
            self.submit(1)
        self.outbox.add(pack_write("ann", "crm", fields, None, tell=True), waiter)
        self.refused.append(waiter)

    async def step(self, name: str, *arguments: int) -> None:
        """Do one step; a stream that the store's failure ends is opened again."""
        try:
            await self.do(name, *arguments)
        except StorageFull:
            self.store.now_ms.ms += limits.FULL_RETRY_MS
            await self.connect()

    async def do(self, name: str, *arguments: int) -> None:
        match name:
            case "submit":
                self.submit(*arguments)
            case "refused":
                self.submit_refused()
            case "send":
                if message := self.outbox.take():
                    self.up.append(message)
            case "deliver":
                if self.up:
                    data = self.up.popleft()
                    self.stream.receive(decode(data), len(data))
            case "push":
                await self.do("send")
                await self.do("deliver")
            case "commit":
                self.commits.commit()
            case "full":
                fail(self.store, StorageFull("full"))
                self.commits.commit()
                self.store.now_ms.ms += limits.FULL_RETRY_MS
            case "tell":
                await self.tell()
            case "hear":
                if self.down:
                    message = decode(self.down.popleft())
                    assert isinstance(message, Results)
                    self.outbox.results(message)
            case "lose":
                await self.connect()
            case "crash":
                self.store = reopened(self.store)
                await self.start()

    async def tell(self) -> None:
        """Send the results that are durable."""
        while self.stream._pending:
            future = self.stream._pending[0][0]
            if future is not None and not future.done():
                return
            self.down.append(encode(await self.stream.results()))

    async def finish(self) -> None:
        await self.step("lose")
        for _ in range(200):
            for name in ("send", "deliver", "commit", "tell", "hear"):
                await self.step(name)
        assert self.outbox.is_empty

    def written(self) -> list[int]:
        """Return what was written into the register, by the journal, in its order."""
        tag = space_tag("default")
        return [
            cell[2]
            for raw in frames(reopened(self.store))
            for _, _, cells in decode_body(parse(raw, tag))[1]
            for key, cell in cells.items()
            if key.startswith("rregister")
        ]


def steps_of(names: str) -> list[tuple[Any, ...]]:
    return [("submit", 2) if name == "submit" else (name,) for name in names.split()]


@given(STEPS)
@settings(max_examples=500)
@example(steps_of("submit push submit send full deliver"))
@example(steps_of("submit push commit crash"))
@example(steps_of("refused push commit tell lose"))
def test_every_write_has_its_effect_once_and_in_order(steps: list[Any]) -> None:
    async def play() -> None:
        world = World()
        await world.start()
        for step in steps:
            event(step[0])
            await world.step(*step)
        await world.finish()
        assert world.written() == world.expected
        if world.expected:
            profile = reopened(world.store).read("ann")
            assert profile["counter"] == len(world.expected)
        assert all(waiter.result().startswith("0-") for waiter in world.waiters)
        assert all(isinstance(waiter.exception(), KindConflict) for waiter in world.refused)
        assert world.outbox.unanswered() == []

    asyncio.run(play())


def test_a_register_that_was_overwritten_meanwhile_is_not_written_again() -> None:
    async def play() -> None:
        world = World()
        await world.start()
        world.submit(1)
        for name in ("send", "deliver", "commit"):
            await world.step(name)
        world.store.write("ann", {"register": "newer"}, source="crm")
        world.store.commit()
        await world.step("crash")
        assert world.outbox.take() is None, "the replica has it: nothing is sent again"
        await world.finish()
        assert world.store.read("ann")["register"] == "newer"

    asyncio.run(play())


def test_refusals_that_nobody_waits_for_are_told_by_the_flush_even_after_a_crash() -> None:
    async def play() -> None:
        world = World()
        await world.start()
        world.submit(1)
        world.outbox.add(pack_write("bob", "crm", {"x": 2**63}, None, tell=False))
        for name in ("send", "deliver", "commit", "crash"):
            await world.step(name)
        flushed: Future[None] = Future()
        world.outbox.add_flush(flushed)
        await world.finish()
        with pytest.raises(WritesRefused, match="64") as caught:
            flushed.result()
        assert [(each[0], type(each[1]).__name__) for each in caught.value.refusals] == [
            ("bob", "InvalidValue")
        ]
        again: Future[None] = Future()
        world.outbox.add_flush(again)
        assert again.result() is None, "they are told once"

    asyncio.run(play())


def test_a_client_that_sends_again_what_was_handled_is_passed_over() -> None:
    async def play() -> None:
        world = World()
        await world.start()
        world.submit(2)
        message = world.outbox.take()
        assert message is not None
        for _ in range(3):
            world.stream.receive(decode(message), len(message))
        entries = [pack_write("ann", "crm", {"register": n}, None, tell=False) for n in (2, 3)]
        longer = encode_writes(2, 0, entries)
        world.stream.receive(decode(longer), len(longer))
        world.commits.commit()
        assert world.written() == [1, 2, 3]
        with pytest.raises(MessageInvalid, match="came after"):
            world.stream.receive(Writes(5, 0, []), 1)

    asyncio.run(play())


def test_writes_that_take_several_turns_go_on_where_the_last_one_ended() -> None:
    async def play() -> None:
        world = World()
        await world.start()
        world.submit(3)
        message = world.outbox.take()
        assert message is not None
        turns = [world.stream.receive(decode(message), len(message), 0.0) for _ in range(3)]
        assert turns == [False, False, True]
        assert world.stream.receive(decode(message), len(message), 0.0), "nothing is left"
        world.commits.commit()
        assert world.written() == [1, 2, 3]
        results = await world.stream.results()
        assert results.handled == 3, "what one commit made durable is told at once"
        assert [item[0] for item in results.items] == [1, 3]

    asyncio.run(play())


def test_results_are_dropped_when_the_client_knows_them() -> None:
    async def play() -> None:
        world = World()
        await world.start()
        for _ in range(3):
            world.submit(3)
            for name in ("send", "deliver", "commit", "tell", "hear"):
                await world.step(name)
        (kept,) = [name for name in world.store.storage.metas("stream/") if name.count("/") == 2]
        assert kept.endswith(f"{9:016x}"), "only those of the last batch are not confirmed yet"
        await world.step("crash")
        assert world.outbox.is_empty

    asyncio.run(play())
