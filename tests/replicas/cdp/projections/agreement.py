"""Whether a target agrees with the golden records, row by row; and changes of every sort."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
from redis.asyncio import Redis

from crdtstore import Person, Replica, add, increment
from crdtstore.errors import Refused
from replicas.cdp.feed import next_changes
from replicas.cdp.projections.postgresql import row_id
from replicas.cdp.projections.projection import Projection
from replicas.cdp.projections.redis import hash_of
from tests.patience import PATIENCE_S

PREFIX = "test*:"


def persons_of(replica: Replica) -> dict[str, Person]:
    """Return all persons of a replica by their ids."""
    found: dict[str, Person] = {}
    after = ""
    while page := replica.profiles(after=after, limit=500):
        for profile in page:
            person = replica.persons.read(profile.id)
            found[person.id] = person
        after = page[-1].id
    return found


def expected_in_redis(replica: Replica) -> dict[str, Any]:
    """Return what Redis must hold, but for the position."""
    expected: dict[str, Any] = {}
    for person in persons_of(replica).values():
        expected[f"{PREFIX}person:{person.id}"] = hash_of(person)
        for profile in person.profiles:
            expected[f"{PREFIX}profile:{profile}"] = person.id
        segments: Any = person.record.get("segments", [])
        for segment in segments:
            expected.setdefault(f"{PREFIX}segment:{segment}", set()).add(person.id)
    return expected


async def held_by_redis(url: str) -> dict[str, Any]:
    """Return all that a Redis holds, but for the position."""
    client: Any = Redis.from_url(url, decode_responses=True)
    held: dict[str, Any] = {}
    readers = {"hash": client.hgetall, "set": client.smembers, "string": client.get}
    async for key in client.scan_iter():
        if key != f"{PREFIX}position":
            held[key] = await readers[await client.type(key)](key)
    await client.aclose()
    return held


def expected_in_postgresql(replica: Replica) -> dict[Any, Any]:
    """Return the rows that customer_profiles must have: id to graph and traits."""
    rows = {}
    for person in persons_of(replica).values():
        traits = {name: value for name, value in person.record.items() if name != "identifiers"}
        graph = {
            "person": person.id,
            "profiles": {each: str(row_id(each)) for each in person.profiles},
            "identifiers": person.record.get("identifiers", []),
        }
        rows[row_id(person.id)] = (graph, traits)
    return rows


async def held_by_postgresql(url: str) -> dict[Any, Any]:
    """Return the rows of customer_profiles."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "select id, identity_graph, computed_traits from customer_profiles"
    )
    await connection.close()
    return {row[0]: (json.loads(row[1]), json.loads(row[2])) for row in rows}


async def change_something(replica: Replica, chance: random.Random) -> None:
    """Change a replica in one of all the ways that move rows."""
    profile, other = (f"p{number}" for number in chance.sample(range(25), 2))
    segment = chance.choice(("vip", "lost"))
    with suppress(Refused, LookupError):
        match chance.randrange(12):
            case 0 | 1 | 2:
                await replica.write(profile, {"n": chance.random()}, source="crm")
            case 3 | 4:
                await replica.write(profile, {"orders": increment(1)}, source="web")
            case 5 | 6:
                await replica.write(profile, {"segments": add(segment)}, source="cdp")
            case 7:
                email = f"email:a{chance.randrange(12)}@example.com"
                await replica.write(profile, {"identifiers": add(email)}, source="crm")
            case 8 | 9:
                await replica.persons.merge(profile, other)
            case 10:
                await replica.persons.unmerge(profile)
            case 11:
                await replica.persons.erase(profile, alone=chance.random() < 0.5)


async def work(
    replica: Replica, projection: Projection, *, until: Callable[[], bool] | None = None
) -> None:
    """Let a projection work until it has nothing left to do, or something is so."""
    deadline = time.monotonic() + PATIENCE_S
    task = asyncio.create_task(projection.run())
    try:
        while not (until() if until else await is_settled(replica, projection)):
            assert not task.done(), task
            assert time.monotonic() < deadline, (projection.trouble, projection.position)
            await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def is_settled(replica: Replica, projection: Projection) -> bool:
    """Say whether a projection has read the change feed to its end."""
    position = projection.position
    if position is None or position.state != "following" or projection.trouble:
        return False
    return not await next_changes(replica, position.cursor, 1)
