"""Texts of running replicas: Yjs clients' updates are scanned, tried in a worker, and followed."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pycrdt
import pytest

from crdtstore import Field, Replica, Schema, insert_text
from crdtstore.collaboration.trials import TrialsBusy, UpdateRefused
from crdtstore.errors import InvalidOperation, InvalidValue, ProfileErased
from crdtstore.model.texts import client_of
from tests.patience import PATIENCE_S

SCHEMA = Schema(fields={"notes": Field("text"), "tasks": Field("list")})


@asynccontextmanager
async def opened(directory: Path):
    async with Replica.open(directory / "eu", name="eu", schema=SCHEMA) as replica:
        await replica.write("ann", {"notes": insert_text(0, "Hello")}, source="crm")
        yield replica


class YjsClient:
    """A Yjs client of one text, with a document of its own."""

    def __init__(self, replica, client_id):
        self.replica = replica
        self.document = pycrdt.Doc(client_id=client_id)
        self.text = self.document.get("text", type=pycrdt.Text)

    async def push(self):
        vector = self.replica.texts.state_vector("ann", "notes")
        update = self.document.get_update(vector)
        await self.replica.texts.apply_update("ann", "notes", update, source="web")

    def pull(self):
        vector = self.document.get_state()
        self.document.apply_update(self.replica.texts.missing("ann", "notes", vector))


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def test_yjs_clients_and_typed_edits_meet_in_one_text(tmp_path):
    async def scenario():
        async with opened(tmp_path) as replica:
            one, two = YjsClient(replica, 7), YjsClient(replica, 8)
            one.pull()
            two.pull()
            one.text.insert(5, " one")
            two.text.insert(0, "two ")
            await one.push()
            await two.push()
            await replica.write("ann", {"notes": insert_text(0, "> ")}, source="crm")
            one.pull()
            two.pull()
            assert str(one.text) == str(two.text) == replica.texts.read("ann", "notes")
            assert replica.read("ann")["notes"] == "> two Hello one"
            writes = replica.status().counters["writes"]
            await one.push()
            assert replica.status().counters["writes"] == writes, "nothing was news"

    run(scenario())


def test_followers_are_told_durable_updates_of_everybody_until_the_profile_is_erased(tmp_path):
    async def scenario():
        async with opened(tmp_path) as replica:
            client = YjsClient(replica, 7)
            client.pull()
            heard = []
            async with replica.texts.follow("ann", "notes") as news:
                await replica.write("ann", {"notes": insert_text(5, "!")}, source="crm")
                updates, is_behind = await anext(news)
                assert not is_behind
                for update in updates:
                    client.document.apply_update(update)
                heard.append(str(client.text))
                await replica.erase("ann")
                with pytest.raises(StopAsyncIteration):
                    await anext(news)
            assert heard == ["Hello!"]
            with pytest.raises(ProfileErased):
                await client.push()
            await replica.revive("ann")
            update = client.document.get_update()
            with pytest.raises(ProfileErased):
                await replica.texts.apply_update("ann", "notes", update, source="w", epoch=0)

    run(scenario())


def test_a_follower_that_lags_is_told_so(tmp_path, monkeypatch):
    async def scenario():
        async with (
            opened(tmp_path) as replica,
            replica.texts.follow("ann", "notes") as news,
        ):
            for _ in range(4):
                await replica.write("ann", {"notes": insert_text(0, "x" * 400)}, source="crm")
            assert await anext(news) == ([], True)
            await replica.write("ann", {"notes": insert_text(0, "y")}, source="crm")
            updates, is_behind = await anext(news)
            assert (len(updates), is_behind) == (1, False)

    monkeypatch.setattr("crdtstore.limits.TEXT_WATCH_BYTES_MAX", 1_000)
    run(scenario())


def test_what_the_scan_refuses_never_reaches_the_worker(tmp_path):
    async def scenario():
        async with opened(tmp_path) as replica:
            for update in (b"", b"\x00", bytes.fromhex("01010a01000000"), b"\x00\x00\x00"):
                with pytest.raises(InvalidValue):
                    await replica.texts.apply_update("ann", "notes", update, source="web")
            own = client_of(int(replica.origin, 16), 0)
            document = pycrdt.Doc(client_id=own)
            document.apply_update(replica.texts.missing("ann", "notes", b"\x00"))
            document.get("text", type=pycrdt.Text).insert(0, "forged")
            update = document.get_update()
            with pytest.raises(InvalidOperation, match="replica"):
                await replica.texts.apply_update("ann", "notes", update, source="web")
            with pytest.raises(InvalidValue):
                replica.texts.missing("ann", "notes", b"\x01\x01")
            assert replica.texts.trials.counters["starts"] == 0
            assert replica.texts.read("ann", "notes") == "Hello"

    run(scenario())


def test_a_worker_that_dies_or_hangs_costs_one_update(tmp_path, monkeypatch):
    async def scenario():
        async with opened(tmp_path) as replica:
            client = YjsClient(replica, 7)
            client.pull()
            client.text.insert(0, "1")
            await client.push()
            trials = replica.texts.trials
            first = trials._process.pid
            os.kill(first, signal.SIGSTOP)
            client.text.insert(0, "2")
            with monkeypatch.context() as patch:
                patch.setattr("crdtstore.limits.TRIAL_TIMEOUT_S", 0.5)
                with pytest.raises(UpdateRefused, match="did not come to an end"):
                    await client.push()
            with pytest.raises(TrialsBusy):
                await client.push()
            trials._not_before_s = 0.0  # the pause is over
            await client.push()
            assert replica.texts.read("ann", "notes") == "21Hello"
            os.kill(trials._process.pid, signal.SIGKILL)
            await trials._process.wait()
            client.text.insert(0, "3")
            await client.push()
            assert replica.texts.read("ann", "notes") == "321Hello"
            assert trials.counters["hangs"] == 1
            assert trials.counters["starts"] == 3
        assert trials._process is None
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    monkeypatch.setattr("crdtstore.limits.TRIAL_PAUSE_S_MIN", 60)
    run(scenario())


def test_a_crash_in_the_middle_of_a_trial_refuses_that_update(tmp_path):
    async def scenario():
        async with opened(tmp_path) as replica:
            client = YjsClient(replica, 7)
            client.pull()
            client.text.insert(0, "1")
            await client.push()
            trials = replica.texts.trials
            os.kill(trials._process.pid, signal.SIGSTOP)
            client.text.insert(0, "2")
            pushing = asyncio.create_task(client.push())
            await asyncio.sleep(0.1)
            os.kill(trials._process.pid, signal.SIGKILL)
            with pytest.raises(UpdateRefused, match="crashed"):
                await pushing
            assert replica.texts.read("ann", "notes") == "1Hello"
            trials._not_before_s = 0.0
            await client.push()
            assert replica.texts.read("ann", "notes") == "21Hello"

    run(scenario())
