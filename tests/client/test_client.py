"""The asynchronous client over real sockets: answers, order, back-pressure, reconnecting."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Client, Replica, add, grant, increment, remove, revoke, set_value
from crdtstore.client.pipeline import Pipeline
from crdtstore.errors import (
    AccessDenied,
    ClientClosed,
    ConfigurationError,
    InvalidName,
    InvalidValue,
    KindConflict,
    LimitExceeded,
    NotUnderstood,
    ProfileErased,
    ProfileNotFound,
    ReplicaUnreachable,
    SessionExpired,
    StorageFull,
    VersionMismatch,
    WritesRefused,
)
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.stream import bounds
from crdtstore.testing.simulation.disk import copy_storage
from tests.client.serving import Place, play
from tests.patience import until

TOKEN = "t" * 32


def test_every_operation_has_its_effect_and_its_answer(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica, Client(place.url) as client:
            version = await client.write("ann", {"email": "a@b", "n": increment(2)}, source="crm")
            assert replica.read("ann").version == version
            fields = {
                "tags": add("x", "y"), "ok": grant(), "map": {"add": [1]},
                "set": set_value({"a": 1}), "list": [1, [2]], "blob": b"\0", "gone": None,
            }  # fmt: skip
            await client.submit("ann", fields, source="cdp")
            await client.submit("ann", {"tags": remove("y"), "ok": revoke()}, source="cdp")
            await client.flush()
            told = await client.read("ann")
            assert told == replica.read("ann")
            assert told["tags"] == ["x"]
            assert (told["map"], told["set"], told["list"]) == ({"add": [1]}, {"a": 1}, [1, [2]])
            assert told["ok"] is False
            newer = await client.write(
                "ann", {"n": increment()}, source="crm", if_version=told.version
            )
            with pytest.raises(VersionMismatch) as mismatch:
                await client.write("ann", {"n": increment()}, source="crm", if_version=version)
            assert (mismatch.value.expected, mismatch.value.actual) == (version, newer)
            erased = await client.erase("ann")
            with pytest.raises(ProfileErased, match="revive it") as refused:
                await client.write("ann", {"n": increment()}, source="crm")
            assert refused.value.profile_id == "ann"
            with pytest.raises(ProfileErased):
                await client.read("ann")
            with pytest.raises(ProfileNotFound):
                await client.read("no/bo dy")
            assert await client.revive("ann") != erased
            assert client.unanswered == []

    play(scenario, tmp_path)


def test_what_cannot_be_sent_is_refused_at_once_and_harms_nothing(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served(), Client(place.url) as client:
            wrong: list[tuple[Any, Any, type[Exception]]] = [
                ("ann", {"x": 2**64}, InvalidValue),
                ("ann", {"x": "\ud800"}, InvalidValue),
                ("ann", {"x": object()}, InvalidValue),
                ("ann", {"x": {1: 2}}, InvalidValue),
                ("ann", {"x": (1, 2)}, InvalidValue),
                ("ann", {1: 2}, InvalidName),
                (7, {"x": 1}, InvalidName),
                ("ann", {str(n): "x" * 60_000 for n in range(5)}, LimitExceeded),
            ]
            for profile_id, fields, kind in wrong:
                with pytest.raises(kind):
                    await client.submit(profile_id, fields, source="crm")
            for fields, kind in (
                ({"x": "x" * 70_000}, LimitExceeded),
                ({"x": 2**63}, InvalidValue),
            ):
                with pytest.raises(kind):
                    await client.write("ann", fields, source="crm")
            with pytest.raises(InvalidName):
                await client.write("", {"x": 1}, source="crm")
            assert await client.write("ann", {"x": 1}, source="crm")

    play(scenario, tmp_path)


def test_refused_writes_are_told_one_by_one_and_stop_no_others(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica, Client(place.url) as client:
            for number in range(1000):
                value = increment() if number % 10 else "no counter"
                await client.submit("ann", {"n": 1 if number == 0 else value}, source="crm")
                await client.submit("bob", {"n": increment()}, source="crm")
            with pytest.raises(WritesRefused) as caught:
                await client.flush()
            assert caught.value.count == 900
            assert {(name, type(error)) for name, error in caught.value.refusals} == {
                ("ann", KindConflict)
            }
            assert replica.read("bob")["n"] == 1000
            await client.flush()

    play(scenario, tmp_path)


def test_leaving_the_context_tells_of_refused_writes(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            with pytest.raises(WritesRefused):
                async with Client(place.url) as client:
                    await client.submit("ann", {"n": 2**63}, source="crm")
            client = Client(place.url)

            async def break_off() -> None:
                async with client:
                    await client.submit("ann", {"n": 2**63}, source="crm")
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await break_off()
            with pytest.raises(ClientClosed):
                await client.submit("ann", {"n": 1}, source="crm")
            with pytest.raises(ClientClosed):
                async with client:
                    pass

    play(scenario, tmp_path)


def test_writes_of_many_tasks_keep_the_order_of_each(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica, Client(place.url) as client:

            async def writer(name: str) -> None:
                for number in range(300):
                    if number % 7:
                        await client.submit(name, {"x": number}, source="crm")
                    else:
                        await client.write(name, {"x": number}, source="crm")

            names = [f"p{number}" for number in range(20)]
            await asyncio.gather(*(writer(name) for name in names))
            await client.flush()
            seen: dict[str, int] = {}
            for name in names:
                seen[name] = replica.read(name)["x"]  # type: ignore[assignment]
            assert set(seen.values()) == {299}

    play(scenario, tmp_path)


def test_two_clients_write_at_a_time_and_sessions_end_with_them(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served() as replica:
            async with Client(place.url) as one, Client(place.url) as other:
                for _ in range(2000):
                    await one.submit("ann", {"n": increment()}, source="crm")
                    await other.submit("ann", {"n": increment()}, source="cdp")
                await asyncio.gather(one.flush(), other.flush())
                assert replica.read("ann")["n"] == 4000
                assert replica.status().write_sessions == 2
            await until(lambda: replica.status().write_sessions == 0, "the sessions to end")

    play(scenario, tmp_path)


def test_submit_waits_while_the_replica_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "STREAM_WINDOW_WRITES", 200)

    async def scenario(place: Place) -> None:
        async with place.served() as replica, Client(place.url) as client:
            gate = asyncio.Event()
            persist = replica._commits._persist

            async def slow(commit: Any, worker: Any) -> Any:
                await gate.wait()
                return await persist(commit, worker)

            monkeypatch.setattr(replica._commits, "_persist", slow)
            submitted = 0

            async def submit() -> None:
                nonlocal submitted
                for number in range(1000):
                    await client.submit(f"p{number}", {"x": 1}, source="crm")
                    submitted += 1

            task = asyncio.create_task(submit())
            await until(
                lambda: submitted == 200 and all(write.was_sent for write in client.unanswered),
                "a full window",
            )
            await asyncio.sleep(0.1)
            assert submitted == 200
            assert len(client.unanswered) == 200
            gate.set()
            await task
            await client.flush()
            assert replica.status().profiles == 1000

    play(scenario, tmp_path)


def test_a_client_goes_on_after_the_replica_came_back(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            client = Client(place.url)
            await client.__aenter__()
            await client.write("ann", {"n": increment()}, source="crm")
        for _ in range(1500):
            await client.submit("ann", {"n": increment()}, source="crm")
        assert len(client.unanswered) == 1500
        async with place.served() as replica:
            await client.flush()
            assert replica.read("ann")["n"] == 1501
            await client.close()

    play(scenario, tmp_path)


def test_patience_ends_and_what_is_not_answered_is_told(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            client = Client(place.url)
            await client.__aenter__()
            await client.write("ann", {"x": 1}, source="crm")
            client._pipeline._patience_s = 0.5
        await asyncio.sleep(1)
        assert client._pipeline.failure is None, "a client with nothing to send waits for ever"
        await client.submit("ann", {"n": increment(3)}, source="crm", if_version="0-0")
        writing = asyncio.create_task(client.erase("bob"))
        for call in (client.flush(), writing, client.read("ann"), client.close()):
            with pytest.raises(ReplicaUnreachable, match=r"2 writes are not answered|out of reach"):
                await call
        update, erasure = client.unanswered
        assert update[:5] == ("write", "ann", "crm", {"n": increment(3)}, "0-0")
        assert erasure[:2] == ("erase", "bob")
        assert not update.was_sent

    play(scenario, tmp_path)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        storage = MemoryStorage()
        async with place.served(storage) as replica, Client(place.url) as client:
            await client.write("ann", {"n": increment()}, source="crm")
            storage.fail_next_commit(StorageFull("full"))
            for _ in range(1200):
                await client.submit("ann", {"n": increment()}, source="crm")
            await client.flush()
            assert replica.status().counters["commits_failed"] == 1
            assert replica.read("ann")["n"] == 1201

    play(scenario, tmp_path)


def test_a_replica_with_older_data_refuses_writes_in_doubt(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        storage = MemoryStorage()
        async with place.served(storage) as replica:
            client = Client(place.url)
            await client.__aenter__()
            await client.write("ann", {"n": increment()}, source="crm")
            older = copy_storage(storage)
            await client.write("ann", {"n": increment()}, source="crm")
            hold(replica)
            for _ in range(5):
                await client.submit("ann", {"n": increment()}, source="crm")
            await until(lambda: all(write.was_sent for write in client.unanswered), "sending")
        async with place.served(older) as replica:
            for call in (client.flush, client.close):
                with pytest.raises(SessionExpired, match="rolled back"):
                    await call()
            assert len(client.unanswered) == 5
            assert replica.read("ann")["n"] == 1, "nothing was applied twice, or at all"

    play(scenario, tmp_path)


def test_a_client_with_nothing_in_doubt_begins_a_new_session(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served(MemoryStorage()):
            client = Client(place.url)
            await client.__aenter__()
            await client.write("ann", {"n": increment()}, source="crm")
        await client.submit("ann", {"n": increment()}, source="crm")
        async with place.served(MemoryStorage(fingerprint="another")) as replica:
            await client.write("ann", {"n": increment()}, source="crm")
            assert replica.read("ann")["n"] == 2
            await client.close()

    play(scenario, tmp_path)


def hold(replica: Replica) -> None:
    """Let a replica persist no more."""

    async def never(commit: Any) -> Any:
        return StorageFull("held back by the test")

    replica._commits._persist = never  # type: ignore[method-assign]


def test_nobody_gets_in_without_the_token(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            for token in (None, "wrong" * 5):
                with pytest.raises(AccessDenied):
                    async with Client(place.url, token=token):
                        pass
            async with Client(place.url, token=TOKEN) as client:
                assert await client.write("ann", {"x": 1}, source="crm")
                assert (await client.read("ann"))["x"] == 1

    play(scenario, tmp_path, token=TOKEN)


def test_a_place_that_is_no_replica_is_told(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with place.served():
            with pytest.raises(NotUnderstood, match="404"):
                async with Client(place.url + "/elsewhere"):
                    pass
        with pytest.raises(ReplicaUnreachable):
            async with Client(place.url, patience_s=0.3):
                pass
        for url in ("127.0.0.1:8401", "ftp://x", ""):
            with pytest.raises(ConfigurationError):
                Client(url)
        with pytest.raises(ConfigurationError):
            Client(place.url, patience_s=0)
        with pytest.raises(ClientClosed):
            await Client(place.url).write("ann", {"x": 1}, source="crm")
        assert isinstance(Pipeline(place.url, None, 1).failure, ClientClosed)

    play(scenario, tmp_path)
