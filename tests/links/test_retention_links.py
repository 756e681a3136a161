"""Journals that are kept no longer than peers need, over real sockets."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from crdtstore import Replica, Settings, limits
from crdtstore.engine.identity import RESTORED
from crdtstore.model.operations import increment
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from tests.links.test_links import served
from tests.patience import PATIENCE_S, until


async def count(replica: Replica, times: int) -> int:
    """Increment a counter so many times, one commit each."""
    for _ in range(times):
        await replica.write("ann", {"logins": increment()}, source="crm")
    return times


async def count_until(replica: Replica, condition: Callable[[], bool]) -> int:
    """Increment a counter until a condition holds; return how often."""
    times, deadline_s = 0, time.monotonic() + PATIENCE_S
    while not condition():
        times += await count(replica, 1)
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.1)
    return times


def test_acknowledged_frames_go_and_a_replica_away_for_too_long_comes_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 100)
    settings = Settings(acknowledged_retention_ms=200, journal_retention_ms=40_000)

    async def scenario() -> None:
        async with served(tmp_path, "eu", settings=settings) as (eu, url):
            async with served(tmp_path, "us", peers=(url,), settings=settings) as (us, _):
                total = await count(us, 3) + await count(eu, 80)
                await until(lambda: eu.digest() == us.digest(), "the first meeting")
                total += await count_until(eu, lambda: eu.status().frames < 60)
                await until(lambda: eu.digest() == us.digest(), "the last frames")
                assert us.status().counters["snapshot_documents"] == 0
            total += await count(eu, 60)
            await asyncio.sleep(1)
            total += await count(eu, 20)
            assert eu.status().frames >= 80, "us has none of this"
            now_ms = eu._store.now_ms
            monkeypatch.setattr(eu._store, "now_ms", lambda: now_ms() + 41_000)
            total += await count_until(eu, lambda: eu.status().frames < 60)
            async with served(tmp_path, "us", peers=(url,), settings=settings) as (us, _):
                total += await count(us, 4)
                await until(lambda: eu.digest() == us.digest(), "catching up")
                assert us.read("ann")["logins"] == eu.read("ann")["logins"] == total
                assert us.status().counters["snapshot_documents"] == 1

    asyncio.run(scenario())


def test_origins_of_former_lives_come_to_rest_and_a_late_replica_has_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 100)
    monkeypatch.setattr(limits, "RESTING_LOOK_MS", 100)
    settings = Settings(acknowledged_retention_ms=100)

    async def scenario() -> None:
        total = 0
        async with served(tmp_path, "eu", settings=settings) as (eu, url):
            for _ in range(6):
                async with served(tmp_path, "us", peers=(url,), settings=settings) as (us, _):
                    total += await count(us, 3)
                    await until(lambda us=us: eu.digest() == us.digest(), "the frames of a life")
                with closing(LoggedStorage.open(tmp_path / "us")) as storage:
                    storage.commit(Batch(meta={RESTORED: b"1"}))
            total += await count_until(eu, lambda: eu.status().origins_resting >= 5)
            assert eu.status().origins_active <= 2
            async with served(tmp_path, "ap", peers=(url,), settings=settings) as (ap, _):
                await until(lambda: eu.digest() == ap.digest(), "the late replica")
                assert ap.status().origins_resting >= 5
                assert ap.read("ann")["logins"] == total
        async with served(tmp_path, "ap", settings=settings) as (ap, _):
            assert ap.status().origins_resting >= 5

    asyncio.run(scenario())
