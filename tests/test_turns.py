"""Long work takes turns, and a read over HTTP waits for one piece of it at the most."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from crdtstore import limits
from crdtstore.turns import in_turn, is_asked, note_read

_WORKERS = 5


@pytest.fixture(autouse=True)
def every_piece_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHORT_WORK_S", 0.0)
    monkeypatch.setattr(limits, "ASKED_S", 1_000.0)


class Work:
    """Workers that have long work without end, and what they did, in order."""

    def __init__(self, workers: int = _WORKERS) -> None:
        self.done: list[int] = []
        self.tasks = [asyncio.create_task(self._go_on(number)) for number in range(workers)]

    async def _go_on(self, number: int) -> None:
        while True:
            await in_turn(self.done.append, number)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def pieces_during_a_read(work: Work) -> int:
    """Let a request come in, its connection wake, its handler run; return what was done beside."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[int] = loop.create_future()
    before = len(work.done)

    def handle() -> None:
        answered.set_result(len(work.done) - before)

    loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(handle)))
    return await answered


def test_a_read_waits_for_one_piece_of_long_work_whenever_it_comes() -> None:
    async def scenario() -> None:
        work = Work()
        await turns_of_the_loop(20)
        assert not is_asked()
        waited = await pieces_during_a_read(work)
        assert waited >= 2 * _WORKERS, "nobody reads: all go on in each turn of the loop"
        note_read()
        await turns_of_the_loop(20)
        for phase in range(12):
            await turns_of_the_loop(phase)
            assert await pieces_during_a_read(work) <= 1
        await work.end()

    run(scenario)


def test_turns_are_taken_in_order_and_nobody_is_left_out() -> None:
    async def scenario() -> None:
        note_read()
        work = Work()
        await turns_of_the_loop(200)
        await work.end()
        came, done = work.done[0], work.done[1:]  # the first one found the gate open
        assert came == 0
        assert len(done) >= 5 * _WORKERS
        assert all(number == place % _WORKERS for place, number in enumerate(done))

    run(scenario)


@pytest.mark.parametrize("turns", range(12))
def test_who_gives_up_hands_his_turn_on(turns: int) -> None:
    async def scenario() -> None:
        note_read()
        work = Work(3)
        await turns_of_the_loop(20 + turns)
        work.tasks[1].cancel()
        await asyncio.wait([work.tasks[1]])
        before = len(work.done)
        await turns_of_the_loop(60)
        assert {0, 2} == set(work.done[before:])
        await work.end()
        assert await in_turn(lambda: "still open") == "still open"

    run(scenario)


def test_short_work_shares_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHORT_WORK_S", 1_000.0)

    async def scenario() -> None:
        note_read()
        done: list[int] = []
        for number in range(10):
            await in_turn(done.append, number)
        turned = asyncio.create_task(asyncio.sleep(0))
        await in_turn(done.append, 10)
        assert not turned.done()
        assert done == list(range(11))

    run(scenario)


def test_errors_are_those_of_the_work_and_leave_the_gate_in_order() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await in_turn(fail)
            assert await in_turn(int, "7") == 7
            note_read()

    run(scenario)


def test_after_a_while_without_reads_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        assert not is_asked()
        note_read()
        assert is_asked()
        monkeypatch.setattr(limits, "ASKED_S", 0.0)
        assert not is_asked()

    run(scenario)


def test_a_loop_that_has_ended_is_kept_by_nobody() -> None:
    async def scenario() -> None:
        note_read()
        work = Work()
        await turns_of_the_loop(10)
        done = len(work.done)
        while len(work.done) == done:
            await asyncio.sleep(0)
        await work.end()  # while the gate is closed

    loop = asyncio.new_event_loop()
    loop.run_until_complete(scenario())
    loop.close()
    ended = weakref.ref(loop)
    del loop
    gc.collect()
    assert ended() is None
