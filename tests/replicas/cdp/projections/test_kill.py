"""The process, Redis and PostgreSQL are killed again and again; then all agree exactly."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import asyncpg

from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from replicas.cdp.projections.event_stream import EventStream
from replicas.cdp.projections.postgresql import Database, PostgresqlTarget
from replicas.cdp.projections.projection import Projection
from replicas.cdp.projections.redis import RedisTarget
from replicas.cdp.segments.definitions import SegmentDefinitions
from replicas.cdp.segments.segments import Segments
from tests.processes.servers import ROOT
from tests.replicas.cdp.projections.agreement import (
    PREFIX,
    expected_in_postgresql,
    expected_in_redis,
    held_by_postgresql,
    held_by_redis,
    persons_of,
    work,
)
from tests.replicas.cdp.projections.beside import MANY
from tests.replicas.cdp.projections.servers import PostgresqlServer, RedisServer
from tests.replicas.cdp.projections.test_postgresql import streamed
from tests.replicas.cdp.segments.running import SCHEMA, settle

ROUNDS = 3
SEED = 20_261_121


async def until_killed(
    directory: Path, redis: RedisServer, postgresql: PostgresqlServer, seed: int
) -> None:
    """Run the process for a while; kill each server while it works, and then the process."""
    chance = random.Random(seed)
    words = (str(directory), redis.url, postgresql.url, str(seed))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.replicas.cdp.projections.beside", *words,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"working\n"
        for _ in range(chance.randrange(1, 4)):  # so many hundred events
            assert await process.stdout.readline()
        for server in chance.sample((redis, postgresql), 2):
            server.kill()
            await asyncio.sleep(chance.uniform(0, 0.2))
            await asyncio.to_thread(server.start)
            await asyncio.sleep(chance.uniform(0.1, 0.4))
        assert process.returncode is None, "a server that fails ends nothing"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


def test_after_kills_of_everything_all_agree(
    tmp_path: Path, redis: RedisServer, postgresql: PostgresqlServer
) -> None:
    async def main() -> None:
        for number in range(ROUNDS):
            await until_killed(tmp_path, redis, postgresql, SEED + number)
        log = EventLog(tmp_path / "events")
        async with Replica.open(tmp_path / "eu", name="eu", schema=SCHEMA) as replica:
            await settle(Segments(replica, SegmentDefinitions.parse(MANY)))
            for person in persons_of(replica).values():
                stands = "many" in person.record.get("segments", [])
                assert stands == (person.record.get("orders", 0) >= 2), person
            in_redis = Projection(replica, RedisTarget(redis.url, PREFIX))
            rows = Projection(replica, PostgresqlTarget(Database(postgresql.url, "public")))
            await work(replica, in_redis)
            await work(replica, rows)
            assert await held_by_redis(redis.url) == expected_in_redis(replica)
            assert await held_by_postgresql(postgresql.url) == expected_in_postgresql(replica)
            assert in_redis.counters["rebuilds"] == rows.counters["rebuilds"] == 0
            stream = EventStream(replica, log, Database(postgresql.url, "public"))
            await streamed(stream)
            assert stream.counters["rebuilds"] == 0
            connection = await asyncpg.connect(postgresql.url)
            found = await connection.fetch("select properties ->> 'message' from event_stream")
            await connection.close()
            accepted = [each.message_id for _, each in log.read(0, 10_000_000)]
            assert len(accepted) > 100
            assert Counter(row[0] for row in found) == Counter(accepted)
        log.close()

    asyncio.run(main())
