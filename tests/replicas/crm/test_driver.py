"""The driver over real HTTP: repetitions, pauses, new tokens, the circuit, turns, no secrets."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from replicas.crm import limits
from replicas.crm.budget import Breaker, Budget, Window
from replicas.crm.conversation import Conversation, Pause, Request, Response, Session, Verdict
from replicas.crm.driver import Driver, Pace
from replicas.crm.errors import CrmAccessDenied, CrmAnswerInvalid, CrmUnavailable
from replicas.crm.redaction import Redaction
from tests.replicas.crm.test_third_crm import CardIndex

FAST = Pace(backoff_min_s=0.005, backoff_max_s=0.02, pause_s=0.05, attempts=4)


class Guarded(CardIndex):
    """A vendor with tokens that count up."""

    logins = 0

    def log_in(self, now_s: float) -> Conversation[Session]:
        yield from ()
        self.logins += 1
        return Session(self.address, {"Authorization": f"Bearer token-{self.logins:08}"})

    def judge(self, response: Response) -> Verdict:
        if response.status == 401:
            return Verdict("log_in")
        if response.status == 429:
            return Verdict("pause", reason="limit")
        return super().judge(response)


def ask(path: str = "/") -> Conversation[Response]:
    return (yield Request("GET", path))


def with_driver(
    answers: list[int | str],
    test: Callable[[Driver, list[str]], Awaitable[None]],
    pace: Pace = FAST,
) -> None:
    """Run a test with a driver before a server that gives these answers, then 200."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        answer = answers.pop(0) if answers else 200
        if answer == "lost":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer if isinstance(answer, int) else 200, text="{}")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as client:
            await test(Driver(Guarded(address), client, pace, Redaction()), seen)
        await runner.cleanup()

    asyncio.run(main())


def test_what_may_pass_is_repeated() -> None:
    async def test(driver: Driver, seen: list[str]) -> None:
        assert (await driver.run(ask(), "x")).status == 200
        assert len(seen) == 4
        assert driver.retries >= 2  # a lost answer on an old connection is asked for again below us
        assert driver.breaker.is_closed

    with_driver([503, "lost", 500], test)


def test_what_does_not_pass_ends() -> None:
    async def test(driver: Driver, seen: list[str]) -> None:
        with pytest.raises(CrmUnavailable, match="GET / failed 4 times, the last one"):
            await driver.run(ask(), "x")
        assert len(seen) == 4

    with_driver([503] * 9, test)


def test_a_session_that_ended_is_made_anew_once() -> None:
    async def test(driver: Driver, seen: list[str]) -> None:
        assert (await driver.run(ask(), "x")).status == 200
        assert seen == ["Bearer token-00000001", "Bearer token-00000002"]
        both = await asyncio.gather(driver.run(ask(), "x"), driver.run(ask(), "y"))
        assert [one.status for one in both] == [200, 200]
        assert driver.logins == 2

    with_driver([401], test)

    async def denied(driver: Driver, seen: list[str]) -> None:
        with pytest.raises(CrmAccessDenied):
            await driver.run(ask(), "x")
        assert len(seen) == 2

    with_driver([401, 401, 401], denied)


def test_a_pause_holds_everybody_back() -> None:
    async def test(driver: Driver, seen: list[str]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(driver.run(ask(), f"lane {number}") for number in range(3)))
        assert loop.time() - started > 0.05
        assert driver.breaker.reason == ""

    with_driver([429], test, Pace(pause_s=0.06, concurrency=1))


def test_calls_stay_within_their_window_and_lanes_take_turns() -> None:
    order: list[str] = []

    def noted(lane: str) -> Conversation[None]:
        yield Request("GET", "/")
        order.append(lane)

    async def test(driver: Driver, seen: list[str]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        load = [driver.run(noted("load"), "load") for _ in range(8)]
        await asyncio.gather(*load, driver.run(noted("push"), "push"))
        assert loop.time() - started > 0.15
        assert "push" in order[:3]

    with_driver([], test, Pace(windows=(Window(3, 0.1),), concurrency=1))


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_BYTES_MAX", 1)

    async def test(driver: Driver, seen: list[str]) -> None:
        with pytest.raises(CrmAnswerInvalid, match="too large"):
            await driver.run(ask(), "x")

    with_driver([], test)


def test_a_pause_of_a_conversation_is_waited() -> None:
    def slow() -> Conversation[int]:
        yield Pause(0.05)
        return 7

    async def test(driver: Driver, seen: list[str]) -> None:
        assert await driver.run(slow(), "x") == 7

    with_driver([], test)


def test_the_circuit_opens_and_one_request_tries() -> None:
    breaker = Breaker()
    for _ in range(limits.BREAKER_FAILURES_MAX):
        assert breaker.wait_s(0) == 0
        breaker.failed(0, "down")
    assert breaker.wait_s(1) == limits.BREAKER_OPEN_S - 1
    assert breaker.wait_s(limits.BREAKER_OPEN_S) == 0
    assert not breaker.is_closed
    breaker.succeeded()
    assert breaker.is_closed
    assert breaker.wait_s(1) == 0


def test_background_work_leaves_the_rest_of_the_day_to_edits() -> None:
    budget = Budget([Window(2, 10)])
    budget.heard((79, 100))
    assert budget.wait_s(0, is_background=True) == 0
    budget.count(0)
    assert budget.wait_s(0, is_background=True) > 0
    assert budget.wait_s(0, is_background=False) == 0
    budget.count(1)
    assert budget.wait_s(2, is_background=False) == 8
    assert budget.wait_s(10, is_background=False) == 0


def test_no_secret_reaches_a_log() -> None:
    redaction = Redaction()
    redaction.add("hunter2hunter2", "abc")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(redaction)
    log = logging.getLogger("tests.redaction")
    log.addHandler(handler)
    log.propagate = False
    try:
        raise ValueError("no hunter2hunter2 here")
    except ValueError:
        log.exception("key %s, Bearer %s, abc", "hunter2hunter2", "0123456789abcdef")
    log.error('{"access_token": "00Dxyz!", "client_secret=s3cr3t&x=1"}')
    shown = stream.getvalue()
    for secret in ("hunter2", "0123456789abcdef", "00Dxyz", "s3cr3t"):
        assert secret not in shown
    assert "abc" in shown
