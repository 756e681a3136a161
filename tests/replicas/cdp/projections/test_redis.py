"""The projection to Redis: rows follow golden records, and a Redis that lost data is made whole."""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Replica, add
from crdtstore.errors import ConfigurationError
from replicas.cdp.projections.projection import Projection
from replicas.cdp.projections.redis import RedisTarget
from tests.patience import PATIENCE_S
from tests.replicas.cdp.projections.agreement import (
    PREFIX,
    change_something,
    expected_in_redis,
    held_by_redis,
    is_settled,
    work,
)
from tests.replicas.cdp.projections.servers import RedisServer
from tests.replicas.cdp.segments.running import SCHEMA


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


@pytest.fixture(autouse=True)
def flushed(redis: RedisServer) -> None:
    redis.cli("flushall")


@asynccontextmanager
async def opened(
    tmp_path: Path, url: str, name: str = "eu"
) -> AsyncIterator[tuple[Replica, Projection]]:
    async with Replica.open(tmp_path / name, name=name, schema=SCHEMA) as replica:
        yield replica, Projection(replica, RedisTarget(url, PREFIX))


async def agree(replica: Replica, url: str) -> None:
    assert await held_by_redis(url) == expected_in_redis(replica)


def test_rows_follow_whatever_happens(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        chance = random.Random(7)
        async with opened(tmp_path, redis.url) as (replica, projection):
            for _ in range(60):
                await change_something(replica, chance)
            await work(replica, projection)
            await agree(replica, redis.url)
            for _ in range(5):
                for _ in range(40):
                    await change_something(replica, chance)
                await work(replica, projection)
                await agree(replica, redis.url)
            assert projection.counters["rebuilds"] == 1
            assert projection.counters["rows_gone"] > 0
            assert projection.lag_s < 30
            held = await held_by_redis(redis.url)
            kinds = {key.removeprefix(PREFIX).partition(":")[0] for key in held}
            assert kinds == {"person", "profile", "segment"}

    run(main)


def test_keys_of_the_erased_are_gone(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with opened(tmp_path, redis.url) as (replica, projection):
            fields = {"name": "Ann", "@odd": 1, "segments": add("vip")}
            await replica.write("ann", fields, source="cdp")
            await work(replica, projection)
            held = await held_by_redis(redis.url)
            assert held[f"{PREFIX}person:ann"]["@@odd"] == "1"
            assert held[f"{PREFIX}segment:vip"] == {"ann"}
            await replica.persons.erase("ann")
            await work(replica, projection)
            assert await held_by_redis(redis.url) == {}

    run(main)


def test_a_redis_that_lost_its_data_is_found_and_filled_again(
    tmp_path: Path, redis: RedisServer
) -> None:
    async def main() -> None:
        async with opened(tmp_path, redis.url) as (replica, projection):
            for number in range(50):
                await replica.write(f"p{number}", {"n": number}, source="crm")
            await work(replica, projection)
            redis.cli("set", "others", "stays")
            redis.cli("flushall")
            # Nothing changes in the replica: that the data is gone must be noticed all the same.
            await work(replica, projection, until=lambda: projection.counters["rebuilds"] == 2)
            await work(replica, projection)
            await agree(replica, redis.url)

    run(main)


def test_a_redis_that_went_back_to_an_older_copy_goes_on_from_there(
    tmp_path: Path, redis: RedisServer
) -> None:
    async def main() -> None:
        chance = random.Random(3)
        async with opened(tmp_path, redis.url) as (replica, projection):
            for _ in range(80):
                await change_something(replica, chance)
            await work(replica, projection)
            redis.kill()
            shutil.copytree(redis.directory / "appendonlydir", tmp_path / "copy")
            redis.start()
            for _ in range(80):
                await change_something(replica, chance)
            await work(replica, projection)
            redis.kill()
            shutil.rmtree(redis.directory / "appendonlydir")
            shutil.copytree(tmp_path / "copy", redis.directory / "appendonlydir")
            redis.start()
            assert await held_by_redis(redis.url) != expected_in_redis(replica)
            await work(replica, projection, until=lambda: projection.counters["found_moved"] > 0)
            await work(replica, projection)
            await agree(replica, redis.url)
            assert projection.counters["rebuilds"] == 1, "what was there is not loaded again"

    run(main)


def test_it_is_built_from_zero_when_asked_and_keeps_away_from_others(
    tmp_path: Path, redis: RedisServer
) -> None:
    async def main() -> None:
        async with opened(tmp_path, redis.url) as (replica, projection):
            await replica.write("ann", {"name": "Ann"}, source="crm")
            await work(replica, projection)
            redis.cli("set", f"{PREFIX}person:ghost", "of another version")
            redis.cli("set", "testX:other", "not ours")
            projection.rebuild()
            await work(replica, projection, until=lambda: projection.counters["rebuilds"] == 2)
            await work(replica, projection)
            held = await held_by_redis(redis.url)
            assert held.pop("testX:other") == "not ours"
            assert held == expected_in_redis(replica)
        async with opened(tmp_path, redis.url, name="us") as (replica, projection):
            await work(
                replica, projection, until=lambda: "kept by replica 'eu'" in projection.trouble
            )
            assert f"{PREFIX}person:ann" in await held_by_redis(redis.url)
            projection.rebuild()
            await work(replica, projection)
            assert await held_by_redis(redis.url) == {"testX:other": "not ours"}

    run(main)


def test_a_redis_that_is_down_is_waited_for(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with opened(tmp_path, redis.url) as (replica, projection):
            redis.kill()
            await replica.write("ann", {"name": "Ann"}, source="crm")
            await work(replica, projection, until=lambda: projection.counters["failures"] >= 3)
            assert "Redis" in projection.trouble
            task = asyncio.create_task(projection.run())
            redis.start()
            deadline = time.monotonic() + PATIENCE_S
            while not await is_settled(replica, projection):
                assert time.monotonic() < deadline, projection.trouble
                await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await agree(replica, redis.url)

    run(main)


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="the address of the Redis is none"):
        RedisTarget("http://127.0.0.1", PREFIX)
