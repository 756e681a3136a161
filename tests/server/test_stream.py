"""The stream endpoint against clients that are not ours: garbage, gaps, silence, two of a kind."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgpack
import pytest

from crdtstore.stream import bounds
from crdtstore.stream.entries import pack_write
from crdtstore.stream.messages import (
    SUBPROTOCOL,
    Bye,
    Hello,
    Message,
    Ping,
    Refuse,
    Results,
    Welcome,
    encode,
    encode_writes,
)
from tests.client.serving import Place, play

ID = b"0123456789abcdef"


def write(number: int, *, tell: bool = False) -> bytes:
    return pack_write("ann", "crm", {"x": number}, None, tell=tell)


GARBAGE: dict[str, bytes | Message] = {
    "nothing": b"",
    "unknown kind": b"\xff\x90",
    "not msgpack": b"\x03\xc1",
    "a map": b"\x03\x80",
    "too few fields": b"\x03\x91\x01",
    "trailing bytes": encode(Ping()) + b"\0",
    "no writes": encode_writes(1, 0, []),
    "number 0": encode_writes(0, 0, [write(1)]),
    "a gap": encode_writes(2, 0, [write(1)]),
    "confirmed too much": encode_writes(1, 7, [write(1)]),
    "too many": encode_writes(1, 0, [write(1)] * (bounds.STREAM_BATCH_WRITES_MAX + 1)),
    "an extension": encode_writes(1, 0, [msgpack.packb(msgpack.ExtType(7, b"x"))]),
    "keys that are numbers": encode_writes(1, 0, [msgpack.packb([0, "a", "b", {1: 2}])]),
    "hello again": Hello(ID, 0, 0),
    "a server's message": Welcome("eu", 1, 0, 1, 1),
    "nested too deep": b"\x03\x93\x01\x00" + b"\x91" * 2000,
    "a huge length": b"\x03\x93\x01\x00\xdd\xff\xff\xff\xff",
}


def test_a_long_message_is_applied_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "STREAM_TURN_S", 0.0)
    monkeypatch.setattr(bounds, "STREAM_ASKED_TURN_S", 0.0)

    async def scenario(place: Place) -> None:
        async with place.served() as replica, place.raw() as raw:
            assert isinstance(await raw.greet(ID), Welcome)
            entries = [write(number, tell=number == 0) for number in reversed(range(20))]
            await raw.say(encode_writes(1, 0, entries))
            told: list[Results] = []
            while not told or told[-1].handled < 20:
                results = await raw.hear()
                assert isinstance(results, Results)
                told.append(results)
            assert [item[0] for results in told for item in results.items] == [20]
            assert dict(replica.read("ann")) == {"x": 0}

    play(scenario, tmp_path)


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_the_stream_with_a_reason_and_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica:
            for greets in (False, True):
                async with place.raw() as raw:
                    if greets:
                        assert isinstance(await raw.greet(ID), Welcome)
                    elif name == "hello again":
                        continue
                    await raw.say(GARBAGE[name])
                    refusal = await raw.hear()
                    assert isinstance(refusal, Refuse), refusal
                    assert refusal.code == "message-invalid"
                    assert await raw.hear() is None
            assert replica.status().profiles == 0

    play(scenario, tmp_path)


def test_text_and_messages_that_are_too_long_end_the_stream(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            async with place.raw() as raw:
                await raw.greet(ID)
                await raw.websocket.send_str("hello")
                assert isinstance(await raw.hear(), Refuse)
            async with place.raw() as raw:
                await raw.greet(ID)
                await raw.say(b"\x03" + b"x" * bounds.STREAM_MESSAGE_BYTES_MAX)
                assert await raw.hear() is None

    play(scenario, tmp_path)


def test_an_entry_that_is_none_is_refused_alone(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        wrong = [7, [], [0], [9, "a"], [0, 1, "crm", {}], [0, "a", "crm", []], [0, "a", 3, {}],
                 [1, "a", 5], [0, "a", "crm", {"x": 1}, 5], ["0", "a", "crm", {}],
                 [0, "a", "crm", {"x": {"increment": "much"}}], [8, "a", "crm", {}]]  # fmt: skip
        async with place.served() as replica, place.raw() as raw:
            await raw.greet(ID)
            entries = [write(1, tell=True), *map(msgpack.packb, wrong), write(2, tell=True)]
            await raw.say(encode_writes(1, 0, entries))
            results = await raw.hear()
            assert isinstance(results, Results)
            assert results.handled == len(entries)
            kinds = [len(item) for item in results.items]
            assert kinds == [2, *[4] * len(wrong), 2]
            assert replica.read("ann")["x"] == 2

    play(scenario, tmp_path)


def test_a_newer_connection_of_a_client_ends_the_older(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica, place.raw() as older, place.raw() as newer:
            await older.greet(ID)
            await older.say(encode_writes(1, 0, [write(1)]))
            assert await older.hear() == Results(1, [])
            welcome = await newer.greet(ID, int(replica.origin, 16), 1)
            assert isinstance(welcome, Welcome)
            assert welcome.handled == 1
            refusal = await older.hear()
            assert isinstance(refusal, Refuse)
            assert refusal.code == "session-taken"
            await newer.say(encode_writes(2, 1, [write(2)]))
            assert await newer.hear() == Results(2, [])

    play(scenario, tmp_path)


def test_a_session_that_is_not_known_or_was_told_more_has_expired(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica:
            origin = int(replica.origin, 16)
            for hello in ((origin, 0), (origin, 5), (origin + 1, 0)):
                async with place.raw() as raw:
                    refusal = await raw.greet(ID, *hello)
                    assert isinstance(refusal, Refuse)
                    assert refusal.code == "session-expired"
            async with place.raw() as raw:
                await raw.greet(ID)
                await raw.say(encode_writes(1, 0, [write(1)]))
                await raw.hear()
                await raw.say(Bye(1))
                assert await raw.hear() is None
            async with place.raw() as raw:
                assert isinstance(await raw.greet(ID, origin, 1), Refuse)

    play(scenario, tmp_path)


def test_results_are_told_again_until_they_are_confirmed(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica:
            origin = int(replica.origin, 16)
            async with place.raw() as raw:
                await raw.greet(ID)
                await raw.say(encode_writes(1, 0, [write(1, tell=True), write(2**63)]))
                first = await raw.hear()
                assert isinstance(first, Results)
            for confirmed, items in ((0, first.items), (1, first.items[1:])):
                async with place.raw() as raw:
                    await raw.greet(ID, origin, confirmed)
                    assert await raw.hear() == Results(2, items)

    play(scenario, tmp_path)


def test_many_long_refusals_come_in_messages_that_are_not_too_long(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        field = "é" * 64
        entry = pack_write("ann", "crm", {field: 2**63}, None, tell=False)
        async with place.served(), place.raw() as raw:
            await raw.greet(ID)
            await raw.say(encode_writes(1, 0, [entry] * bounds.STREAM_BATCH_WRITES_MAX))
            told = 0
            while told < bounds.STREAM_BATCH_WRITES_MAX:
                results = await raw.hear()
                assert isinstance(results, Results)
                told += len(results.items)
                assert results.handled == told

    play(scenario, tmp_path)


def test_a_window_that_is_not_kept_to_ends_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "STREAM_WINDOW_WRITES", 10)

    async def scenario(place: Place) -> None:
        async with place.served(), place.raw() as raw:
            welcome = await raw.greet(ID)
            assert isinstance(welcome, Welcome)
            assert welcome.window_writes == 10
            await raw.say(encode_writes(1, 0, [write(1)] * 11))
            refusal = await raw.hear()
            assert isinstance(refusal, Refuse)
            assert "window" in refusal.text

    play(scenario, tmp_path)


def test_a_silent_client_is_cut_off_and_one_that_pings_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "STREAM_IDLE_S_MAX", 1.0)

    async def scenario(place: Place) -> None:
        async with place.served(), place.raw() as silent, place.raw() as pinging:
            await silent.greet(ID)
            await pinging.greet(ID[::-1])
            end = asyncio.create_task(silent.hear())
            while not end.done():
                await asyncio.sleep(0.01)
                await pinging.say(Ping())
                assert await pinging.hear() == Ping()
            assert end.result() is None

    play(scenario, tmp_path)


def test_too_many_streams_and_sessions_are_refused_and_idle_ones_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "STREAM_SESSIONS_MAX", 2)
    monkeypatch.setattr(bounds, "STREAMS_MAX", 3)

    async def scenario(place: Place) -> None:
        async with place.served() as replica, place.raw() as one, place.raw() as other:
            await one.greet(b"1" * 16)
            await other.greet(b"2" * 16)
            async with place.raw() as third:
                refusal = await third.greet(b"3" * 16)
                assert isinstance(refusal, Refuse)
                assert refusal.code == "replica-busy"
            async with place.raw():
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    async with place.raw():
                        pass
                assert caught.value.status == 503
            now_ms = replica._store.now_ms
            monkeypatch.setattr(
                replica._store, "now_ms", lambda: now_ms() + bounds.STREAM_SESSION_IDLE_MS_MAX
            )
            await asyncio.sleep(0.01)
            await one.say(Ping())
            assert await one.hear() == Ping()
            async with place.raw() as third:
                assert isinstance(await third.greet(b"3" * 16), Welcome)
            assert replica.status().write_sessions == 2

    play(scenario, tmp_path)


def test_the_endpoint_asks_for_its_subprotocol_and_the_token(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served(), aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {'t' * 32}"}
            for protocols in ((), ("crdtstore.stream.v0",)):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await session.ws_connect(
                        place.url + "/v1/stream", protocols=protocols, headers=headers
                    )
                assert caught.value.status == 426
            async with session.get(place.url + "/v1/stream", headers=headers) as response:
                assert response.status == 426
                assert SUBPROTOCOL in (await response.json(content_type=None))["detail"]
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with place.raw():
                    pass
            assert caught.value.status == 401

    play(scenario, tmp_path, token="t" * 32)


def test_shutting_down_tells_clients_and_does_not_wait_for_them(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with AsyncExitStack() as stack:
            async with place.served():
                raw = await stack.enter_async_context(place.raw())
                await raw.greet(ID)
                started_s = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - started_s < bounds.STREAM_IDLE_S_MAX
            refusal = await raw.hear()
            assert isinstance(refusal, Refuse)
            assert refusal.code == "replica-closed"

    play(scenario, tmp_path)
