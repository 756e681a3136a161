"""The synchronous client: many threads, one connection, the same promises."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtstore import SyncClient, increment
from crdtstore.errors import (
    ClientClosed,
    InvalidValue,
    KindConflict,
    ProfileNotFound,
    ReplicaUnreachable,
    WritesRefused,
)
from tests.client.serving import Place
from tests.patience import PATIENCE_S


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Serve a replica from a thread of its own."""
    place = Place(tmp_path)
    loop = asyncio.new_event_loop()
    started, stopping = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with place.served():
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_S)
    yield place
    loop.call_soon_threadsafe(stopping.set)
    thread.join(PATIENCE_S)
    loop.close()


def test_threads_share_a_client_and_each_keeps_its_order(place: Place) -> None:
    with SyncClient(place.url) as client:

        def writer(name: str) -> None:
            for number in range(3000):
                client.submit(name, {"x": number, "n": increment()}, source="crm")
                if number % 1000 == 0:
                    assert client.write("all", {"n": increment()}, source=name)

        names = [f"thread-{number}" for number in range(6)]
        threads = [threading.Thread(target=writer, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        client.flush()
        assert client.read("all")["n"] == 18
        for name in names:
            assert dict(client.read(name)) == {"x": 2999, "n": 3000}
    assert not [each for each in threading.enumerate() if each.name == "crdtstore-client"]


def test_errors_reach_the_thread_that_caused_them(place: Place) -> None:
    with SyncClient(place.url) as client:
        version = client.write("ann", {"x": 1}, source="crm")
        with pytest.raises(KindConflict):
            client.write("ann", {"x": increment()}, source="crm")
        with pytest.raises(InvalidValue):
            client.submit("ann", {"x": object()}, source="crm")
        client.submit("ann", {"x": increment()}, source="crm")
        with pytest.raises(WritesRefused):
            client.flush()
        with pytest.raises(ProfileNotFound):
            client.read("bob")
        assert client.erase("ann", if_version=version) != client.revive("ann")
    for call in (client.flush, lambda: client.write("ann", {"x": 1}, source="crm")):
        with pytest.raises(ClientClosed):
            call()
    with pytest.raises(ClientClosed), client:
        pass


def test_leaving_tells_of_refused_writes_and_ends_the_thread(place: Place) -> None:
    with pytest.raises(WritesRefused), SyncClient(place.url) as client:
        client.submit("ann", {"x": 2**63}, source="crm")
    assert not [each for each in threading.enumerate() if each.name == "crdtstore-client"]


def test_a_client_that_gives_up_wakes_every_thread(tmp_path: Path) -> None:
    async def serve_once() -> tuple[Place, SyncClient]:
        place = Place(tmp_path)
        async with place.served():
            client = await asyncio.to_thread(SyncClient(place.url).__enter__)
            await asyncio.to_thread(client.write, "ann", {"x": 1}, source="crm")
            client._pipeline._patience_s = 1.0
        return place, client

    _, client = asyncio.run(serve_once())
    errors: list[BaseException] = []

    def writer() -> None:
        try:
            while True:
                client.submit("ann", {"n": increment()}, source="crm")
        except ReplicaUnreachable as error:
            errors.append(error)

    threads = [threading.Thread(target=writer) for _ in range(4)]
    for thread in threads:
        thread.start()
    with pytest.raises(ReplicaUnreachable):
        client.flush()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(errors) == 4
    with pytest.raises(ReplicaUnreachable):
        client.close()
    assert len(client.unanswered) > 1000


def test_a_place_that_is_out_of_reach_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ReplicaUnreachable), SyncClient("http://127.0.0.1:9", patience_s=0.2):
        pass
    assert not [each for each in threading.enumerate() if each.name == "crdtstore-client"]
