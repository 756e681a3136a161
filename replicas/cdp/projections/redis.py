"""Redis: golden records as hashes, segments as sets.

| Key                  | Is                                                                       |
|----------------------|--------------------------------------------------------------------------|
| PREFIX person:ID     | a hash: each field of the golden record as JSON, `@profiles`, `@version` |
| PREFIX profile:ID    | the id of the person of a profile                                        |
| PREFIX segment:NAME  | a set: the ids of the persons in a segment                               |
| PREFIX position      | how far all that is, as JSON                                             |

A field whose name begins with @ gets another @ before it. Each batch is one MULTI, in which the
position moves; it is watched, so two that write at once do not.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError

from crdtstore import Person
from crdtstore.errors import ConfigurationError
from replicas.cdp import limits
from replicas.cdp.projections.errors import PositionMoved, TargetUnavailable
from replicas.cdp.projections.position import Position
from replicas.cdp.projections.rows import Batch, json_of

_PROFILES = "@profiles"
_VERSION = "@version"
_SEGMENTS = "segments"


class RedisTarget:
    """A Redis to keep rows in. Raises ConfigurationError if the address is none."""

    name = "redis"

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        try:
            # The types of redis-py say that any text may be bytes; with this setting it is text.
            self._redis: Any = Redis.from_url(
                url,
                decode_responses=True,
                # With a timeout of its own it waits by asyncio.wait_for, which before Python 3.12
                # may swallow that its task was cancelled: see ``_failing``.
                socket_timeout=None,
                socket_connect_timeout=limits.PROJECTION_CONNECT_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigurationError(f"the address of the Redis is none: {error}") from None

    async def position(self) -> Position | None:
        """Return what Redis says of itself."""
        async with _failing():
            return Position.unpacked(await self._redis.get(self._key("position")))

    async def clear(self, position: Position) -> None:
        """Remove every key of ours, and begin at a position."""
        pattern = "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in self._prefix)
        async with _failing():
            await self._redis.delete(self._key("position"))
            cursor = 0
            while True:
                cursor, keys = await self._redis.scan(
                    cursor, match=f"{pattern}*", count=limits.CLEARED_KEYS_MAX
                )
                if keys:
                    await self._redis.unlink(*keys)
                if not cursor:
                    break
            await self._redis.set(self._key("position"), position.packed())

    async def rows_of(self, profiles: Set[str]) -> Mapping[str, Set[str]]:
        """Find the rows that hold any of some profiles."""
        ordered = sorted(profiles)
        if not ordered:
            return {}
        async with _failing():
            found = await self._redis.mget([self._key("profile", each) for each in ordered])
            persons = sorted({each for each in found if each is not None})
            pipeline = self._redis.pipeline(transaction=False)
            for person in persons:
                pipeline.hget(self._key("person", person), _PROFILES)
            texts = await pipeline.execute() if persons else []
        rows = {
            person: set(json.loads(text)) if text else set[str]()
            for person, text in zip(persons, texts, strict=True)
        }
        for profile, person in zip(ordered, found, strict=True):
            if person is not None:
                rows[person].add(profile)
        return rows

    async def apply(self, batch: Batch, before: Position, after: Position) -> None:
        """Write rows, and move the position, in one MULTI; raises PositionMoved."""
        async with _failing(), self._redis.pipeline(transaction=True) as pipeline:
            await pipeline.watch(self._key("position"))
            if Position.unpacked(await pipeline.get(self._key("position"))) != before:
                raise PositionMoved("Redis is not where it was left")
            ids = [*(person.id for person in batch.persons), *sorted(batch.rows_gone)]
            left = dict(zip(ids, await self._segments(ids), strict=True))
            pipeline.multi()
            for person_id in sorted(batch.rows_gone):
                self._leave(pipeline, person_id, left[person_id])
            for person in batch.persons:
                self._leave(pipeline, person.id, left[person.id])
                self._put(pipeline, person)
            if batch.profiles_gone:
                gone = sorted(batch.profiles_gone)
                pipeline.delete(*(self._key("profile", each) for each in gone))
            pipeline.set(self._key("position"), after.packed())
            try:
                await pipeline.execute()
            except WatchError:
                raise PositionMoved("somebody else writes to this Redis") from None

    async def close(self) -> None:
        """Let connections go."""
        await self._redis.aclose()

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def _segments(self, person_ids: Sequence[str]) -> list[list[str]]:
        """Return the segments in which some persons stand by now."""
        if not person_ids:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for person_id in person_ids:
            pipeline.hget(self._key("person", person_id), _SEGMENTS)
        return [_segments_of(json.loads(text or "[]")) for text in await pipeline.execute()]

    def _leave(self, pipeline: Any, person_id: str, segments: Sequence[str]) -> None:
        pipeline.delete(self._key("person", person_id))
        for segment in segments:
            pipeline.srem(self._key("segment", segment), person_id)

    def _put(self, pipeline: Any, person: Person) -> None:
        pipeline.hset(self._key("person", person.id), mapping=hash_of(person))
        for profile in person.profiles:
            pipeline.set(self._key("profile", profile), person.id)
        for segment in _segments_of(person.record.get(_SEGMENTS)):
            pipeline.sadd(self._key("segment", segment), person.id)


def hash_of(person: Person) -> dict[str, str]:
    """Return the hash of a person."""
    fields = {
        f"@{field}" if field.startswith("@") else field: json_of(value)
        for field, value in person.record.items()
    }
    return {**fields, _PROFILES: json_of(person.profiles), _VERSION: person.version}


def _segments_of(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


@asynccontextmanager
async def _failing() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.PROJECTION_TIMEOUT_S):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise TargetUnavailable(f"Redis: {error or type(error).__name__}") from error
