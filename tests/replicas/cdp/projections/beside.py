"""A process with a replica that changes all the time, and everything that follows it.

Its arguments are a directory, the addresses of a Redis and of a PostgreSQL, and a seed. It says a
line when it has begun, and one for each hundred events, and works until it is killed.
"""

import asyncio
import random
import sys
from pathlib import Path

from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.projections.event_stream import EventStream
from replicas.cdp.projections.postgresql import Database, PostgresqlTarget
from replicas.cdp.projections.projection import Projection
from replicas.cdp.projections.redis import RedisTarget
from replicas.cdp.segments.definitions import SegmentDefinitions
from replicas.cdp.segments.segments import Segments
from tests.replicas.cdp.projections.agreement import PREFIX, change_something
from tests.replicas.cdp.segments.running import SCHEMA

MANY = '[segments.many]\nall = [{ field = "orders", ge = 2 }]'


_TOLD = 100


async def _change_for_ever(replica: Replica, log: EventLog, seed: int) -> None:
    chance = random.Random(seed)
    number = 0
    while True:
        for _ in range(5):
            await change_something(replica, chance)
        events = [_event(f"{seed}/{number + each}", chance) for each in range(20)]
        await asyncio.to_thread(log.append, events)
        number += len(events)
        if number % _TOLD == 0:
            print(number, flush=True)


def _event(message_id: str, chance: random.Random) -> Event:
    return Event(
        kind="track",
        message_id=message_id,
        profile_id=f"anonymous {chance.randrange(10)}",
        name="Order Completed",
        properties={"message": message_id},
        received_at_ms=1,
    )


async def main(directory: Path, redis: str, postgresql: str, seed: int) -> None:
    """Work until killed."""
    log = EventLog(directory / "events")
    async with Replica.open(directory / "eu", name="eu", schema=SCHEMA) as replica:
        followers = (
            Segments(replica, SegmentDefinitions.parse(MANY)),
            Projection(replica, RedisTarget(redis, PREFIX)),
            Projection(replica, PostgresqlTarget(Database(postgresql, "public"))),
            EventStream(replica, log, Database(postgresql, "public")),
        )
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.run())
            group.create_task(_change_for_ever(replica, log, seed))
            print("working", flush=True)


if __name__ == "__main__":
    place, redis_url, postgresql_url, drawn = sys.argv[1:]
    asyncio.run(main(Path(place), redis_url, postgresql_url, int(drawn)))
