"""Links over real sockets: secrets, silent and stalled peers, garbage, closing, mounting."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from benchmarks.ports import free_port
from crdtstore import Replica, Write, limits
from crdtstore.server import application
from crdtstore.sync.frame import space_tag
from crdtstore.sync.messages import Hello, Refuse, Want, decode, encode
from tests.patience import PATIENCE_S, until

SECRET = "a-link-secret-of-decent-length"
TAG = space_tag("default")


@asynccontextmanager
async def served(
    directory: Path, name: str, *, peers: tuple[str, ...] = (), prefix: str = "", **options: Any
) -> AsyncIterator[tuple[Replica, str]]:
    """Open a replica and serve it on a loopback port."""
    secret = options.pop("secret", None)
    port = options.pop("port", 0)
    shown = options.pop("shown", secret)
    async with Replica.open(
        directory / name, name=name, peers=peers, link_secret=shown, **options
    ) as replica:
        app = application(replica, link_secret=secret)
        if prefix:
            outer = web.Application()
            outer.add_subapp(prefix, app)
            app = outer
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        try:
            yield replica, f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        finally:
            await runner.cleanup()


def hello(**changes: Any) -> bytes:
    said: dict[str, Any] = {
        "space": "default", "name": "stranger", "origin": 77, "nonce": 5, "schema": "",
        "clock_ms": time.time_ns() // 1_000_000, "profiles": 0, "heads": {}, "floor": {},
        "names": {},
    }  # fmt: skip
    return encode(Hello(**{**said, **changes}), TAG)


async def first_refusal(url: str, *messages: bytes) -> Refuse:
    """Say some messages on a new link and return the reason for which it is closed."""
    async with aiohttp.ClientSession() as client, client.ws_connect(url + "/v1/link") as websocket:
        for message in messages:
            await websocket.send_bytes(message)
        async for received in websocket:
            message_in = decode(received.data, TAG)
            if isinstance(message_in, Refuse):
                return message_in
    raise AssertionError("the link ended without a reason")


def test_two_replicas_link_with_the_right_secret(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu", secret=SECRET) as (eu, url),
            served(tmp_path, "us", peers=(url,), secret=SECRET) as (us, _),
        ):
            version = await eu.write("ann", {"email": "ann@example.com"}, source="crm")
            await until(lambda: us.digest().digest == eu.digest().digest, "convergence")
            assert us.read("ann").version == version
            assert [peer.state for peer in us.status().peers] == ["live"]

    asyncio.run(scenario())


def test_a_wrong_secret_is_refused_and_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu", secret=SECRET) as (_, url),
            served(tmp_path, "us", peers=(url,), secret=SECRET, shown="another-secret") as (us, _),
        ):
            await until(lambda: us.status().peers[0].state == "refused", "the refusal")
            reason = us.status().peers[0].reason
            assert "401" in reason
            assert "link secret" in reason
            assert SECRET not in reason

    asyncio.run(scenario())


def test_a_replica_mounted_under_a_prefix_is_linked_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu", prefix="/crdt") as (eu, url),
            served(tmp_path, "us", peers=(url,)) as (us, _),
        ):
            await us.write("ann", {"name": "Ann"}, source="crm")
            await until(lambda: eu.digest().digest == us.digest().digest, "convergence")

    asyncio.run(scenario())


def test_two_replicas_that_call_each_other_keep_one_link(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        eu_url = f"http://127.0.0.1:{port}"
        async with (
            served(tmp_path, "us", peers=(eu_url,)) as (us, us_url),
            served(tmp_path, "eu", peers=(us_url,), port=port) as (eu, _),
        ):
            for number in range(5):
                await eu.write("ann", {"name": f"Ann {number}"}, source="crm")
                await us.write("bob", {"name": f"Bob {number}"}, source="cdp")
            await until(lambda: eu.digest() == us.digest(), "convergence")

            def states() -> list[list[str]]:
                return [[peer.state for peer in each.status().peers] for each in (eu, us)]

            await until(lambda: states() == [["live"], ["live"]], "one link")
            await asyncio.sleep(1)
            for replica in (eu, us):
                assert [peer.state for peer in replica.status().peers] == ["live"]
                assert replica.status().counters["frames_duplicate"] == 0

    asyncio.run(scenario())


def test_a_full_mesh_sends_no_frame_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, us_url),
            served(tmp_path, "ap", peers=(us_url, eu_url)) as (ap, _),
        ):
            replicas = (eu, us, ap)
            live = ["live", "live"]
            await until(
                lambda: all(
                    [peer.state for peer in replica.status().peers] == live for replica in replicas
                ),
                "the links",
            )
            for number in range(30):
                for replica in replicas:
                    await replica.write("ann", {replica.name: number}, source="crm")
            await until(lambda: eu.digest() == us.digest() == ap.digest(), "convergence")
            for replica in replicas:
                assert replica.status().counters["frames_duplicate"] == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (lambda: [b"\xff garbage"], "message-invalid"),
        (lambda: [hello(version=99)], "wrong-protocol-version"),
        (lambda: [hello(space="another")], "wrong-space"),
        (lambda: [hello(clock_ms=4_070_908_800_000)], "clock-skew"),
        (lambda: [hello(), hello()], "message-invalid"),
        (lambda: [hello(), b"\x02CF damaged, and long enough to have a header"], "frame-corrupt"),
    ],
)
def test_what_cannot_be_accepted_closes_the_link_with_its_reason(
    tmp_path: Path, messages: Callable[[], list[bytes]], code: str
) -> None:
    async def scenario() -> None:
        async with served(tmp_path, "eu") as (eu, url):
            before = eu.digest()
            refusal = await first_refusal(url, *messages())
            assert refusal.code == code
            assert refusal.reason
            assert eu.digest() == before
            await eu.write("ann", {"name": "Ann"}, source="crm")

    asyncio.run(scenario())


async def seconds_of_writes(replica: Replica, number: int) -> float:
    """Write 200 kB at once; return how long that takes."""
    started = time.monotonic()
    fields = {"text": "x" * 20_000}
    await replica.write_many([Write(f"p{number}-{index}", "crm", fields) for index in range(10)])
    return time.monotonic() - started


@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_peer_that_never_reads_is_cut_and_slows_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_blocked: bool
) -> None:
    """With its credit used up it is silent; without credit it blocks our sender. Both end."""
    monkeypatch.setattr(limits, "SEND_TIMEOUT_S", 0.5)
    if is_blocked:
        monkeypatch.setattr(limits, "CREDIT_BYTES", 1 << 30)
    else:
        monkeypatch.setattr(limits, "LINK_IDLE_MS_MAX", 3_000)

    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, url),
            Replica.open(tmp_path / "alone", name="alone") as alone,
            aiohttp.ClientSession() as client,
        ):
            websocket = await client.ws_connect(url + "/v1/link")
            await websocket.send_bytes(hello())
            await websocket.send_bytes(encode(Want({int(eu.origin, 16): 0}), TAG))
            slowest_s, alone_s, sent_bytes = 0.0, 0.0, 0
            for number in range(120):
                slowest_s = max(slowest_s, await seconds_of_writes(eu, number))
                if number % 4 == 0:
                    alone_s = max(alone_s, await seconds_of_writes(alone, number))
                sent_bytes = max([sent_bytes, *(peer.sent_bytes for peer in eu.status().peers)])
            assert slowest_s < 2 + 5 * alone_s, "the machine may be slow, the peer costs nothing"
            assert sent_bytes > 1_000_000, "the peer was served at all"
            await until(lambda: not eu.status().peers, "the stalled link to be cut")
            if not is_blocked:
                assert sent_bytes < limits.CREDIT_BYTES + limits.MESSAGE_BYTES_MAX
            await websocket.close()

    asyncio.run(scenario())


def test_a_silent_peer_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual_s = limits.LINK_IDLE_MS_MAX / 1000
    monkeypatch.setattr(limits, "LINK_IDLE_MS_MAX", 1_500)

    async def scenario() -> None:
        async with served(tmp_path, "eu") as (eu, url):
            started = time.monotonic()
            refusal = await first_refusal(url, hello())
            assert refusal.code == "idle"
            assert 1 < time.monotonic() - started < usual_s
            await until(lambda: not eu.status().peers, "the link to be forgotten")

    asyncio.run(scenario())


def test_closing_does_not_wait_for_a_silent_open_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as client:
            async with served(tmp_path, "eu") as (eu, url):
                await client.ws_connect(url + "/v1/link", autoclose=False)
                await eu.write("ann", {"name": "Ann"}, source="crm")
                started = time.monotonic()
                await eu.close()
            assert time.monotonic() - started < limits.LINK_IDLE_MS_MAX / 1000

    asyncio.run(scenario())


def test_a_replica_that_was_away_catches_up_and_none_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, "eu") as (eu, url):
            async with served(tmp_path, "us", peers=(url,)) as (us, _):
                await us.write("ann", {"name": "Ann"}, source="cdp")
                await until(lambda: eu.digest() == us.digest(), "the first meeting")
            for number in range(500):
                await eu.write(f"p{number % 50}", {"number": number}, source="crm")
            async with served(tmp_path, "us", peers=(url,)) as (us, _):
                await until(lambda: eu.digest() == us.digest(), "catching up")
                assert us.read("p49")["number"] == 499
                await us.write("mark", {"number": 0}, source="cdp")
                seen = [change.id async for change in us.changes(follow=False)]
                assert len(seen) == 502

    asyncio.run(scenario())


def test_no_more_is_read_while_too_many_documents_are_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer's backlog waits at the peer while what came of it is brought to rest."""
    monkeypatch.setattr(limits, "MESSAGE_FRAMES_BYTES", 1_000)
    monkeypatch.setattr(limits, "CHECKPOINT_DOCUMENTS", 40)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS", 20)
    monkeypatch.setattr(limits, "HURRIED_SLICE_DOCUMENTS_MAX", 30)
    monkeypatch.setattr(limits, "DIRTY_DOCUMENTS_MAX", 60)
    count, of_a_message = 900, 40

    async def run() -> None:
        async with served(tmp_path, "a") as (a, url):
            for start in range(0, count, 10):
                writes = [Write(f"p{start + n:03d}", "crm", {"x": n}) for n in range(10)]
                assert all(not isinstance(r, Exception) for r in await a.write_many(writes))
            async with served(tmp_path, "b", peers=(url,)) as (b, _):
                dirty, most = b._store.documents.dirty, 0

                def has_all() -> bool:
                    nonlocal most
                    most = max(most, len(dirty))
                    return a.digest() == b.digest()

                async with asyncio.timeout(PATIENCE_S):
                    while not has_all():
                        await asyncio.sleep(0)
                assert 40 < most <= 60 + of_a_message

    asyncio.run(run())


def test_messages_that_bring_no_documents_are_read_whatever_is_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot or a repair that is given goes on by them, while local writers dirty documents."""

    monkeypatch.setattr(limits, "DIRTY_DOCUMENTS_MAX", 10)
    monkeypatch.setattr(limits, "REST_PATIENCE_S", 2 * PATIENCE_S)

    async def run() -> None:
        async with served(tmp_path, "a") as (a, url):
            await a.write_many([Write(f"p{number}", "crm", {"x": number}) for number in range(50)])
            async with served(tmp_path, "b", peers=(url,)) as (b, _):
                await until(lambda: a.digest() == b.digest(), "what the peer wants of one frame")
            assert len(a._store.documents.dirty) > 10

    asyncio.run(run())
