"""The projection to PostgreSQL: exactly its two tables, rows that agree, each event once."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.projections.event_stream import EventStream
from replicas.cdp.projections.postgresql import Database, PostgresqlTarget, jsonb_of, row_id
from replicas.cdp.projections.projection import Projection
from tests.patience import PATIENCE_S
from tests.replicas.cdp.projections.agreement import (
    change_something,
    expected_in_postgresql,
    held_by_postgresql,
    work,
)
from tests.replicas.cdp.projections.servers import PostgresqlServer
from tests.replicas.cdp.segments.running import SCHEMA

TABLES = "customer_profiles, event_stream, cdp_position, cdp_erased"


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def asked(server: PostgresqlServer, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(server.url)
    rows = [tuple(row) for row in await connection.fetch(query)]
    await connection.close()
    return rows


@pytest.fixture(autouse=True)
def emptied(postgresql: PostgresqlServer) -> None:
    run(lambda: _emptied(postgresql))


async def _emptied(server: PostgresqlServer) -> None:
    await asked(server, f"drop table if exists {TABLES}")


@asynccontextmanager
async def opened(
    tmp_path: Path, server: PostgresqlServer, name: str = "eu"
) -> AsyncIterator[tuple[Replica, Projection]]:
    async with Replica.open(tmp_path / name, name=name, schema=SCHEMA) as replica:
        yield replica, Projection(replica, PostgresqlTarget(Database(server.url, "public")))


def event(number: int, profile: str = "ann", **properties: Any) -> Event:
    return Event(
        kind="track" if number % 2 else "page",
        message_id=f"m{number}",
        profile_id=profile,
        name="Order Completed" if number % 2 else "Home",
        properties={"number": number, **properties},
        received_at_ms=1_790_000_000_000 + number,
    )


async def streamed(stream: EventStream, until: Callable[[], bool] | None = None) -> None:
    """Let a stream write until it has nothing left to do, or something is so."""
    deadline = time.monotonic() + PATIENCE_S
    task = asyncio.create_task(stream.run())
    at_rest = 0
    try:
        while at_rest < 3:
            is_at_end = stream.position is not None and not stream.behind and not stream.trouble
            at_rest = at_rest + 1 if (until() if until else is_at_end) else 0
            assert time.monotonic() < deadline, stream.trouble
            assert not task.done(), task
            await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_tables_are_those_that_were_asked_for(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    async def main() -> None:
        async with opened(tmp_path, postgresql) as (replica, projection):
            await work(replica, projection)
        columns = await asked(
            postgresql,
            "select table_name, column_name, data_type, column_default from "
            "information_schema.columns where table_schema = 'public' and "
            "table_name not like 'cdp%' order by table_name, ordinal_position",
        )
        assert [row[:3] for row in columns] == [
            ("customer_profiles", "id", "uuid"),
            ("customer_profiles", "identity_graph", "jsonb"),
            ("customer_profiles", "computed_traits", "jsonb"),
            ("customer_profiles", "timestamp", "timestamp with time zone"),
            ("event_stream", "event_id", "bigint"),
            ("event_stream", "profile_id", "uuid"),
            ("event_stream", "event_type", "character varying"),
            ("event_stream", "properties", "jsonb"),
            ("event_stream", "ingested_at", "timestamp with time zone"),
        ]
        assert columns[4][3].startswith("nextval("), "it is a bigserial"

    run(main)


def test_rows_follow_whatever_happens(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    async def main() -> None:
        chance = random.Random(11)
        async with opened(tmp_path, postgresql) as (replica, projection):
            for _ in range(60):
                await change_something(replica, chance)
            for _ in range(5):
                await work(replica, projection)
                assert await held_by_postgresql(postgresql.url) == expected_in_postgresql(replica)
                for _ in range(40):
                    await change_something(replica, chance)
            await replica.write("nul", {"text": "a\0b", "plain": "\\u0000"}, source="crm")
            await work(replica, projection)
            (row,) = await asked(
                postgresql,
                f"select computed_traits::text from customer_profiles where id = '{row_id('nul')}'",
            )
            assert json.loads(row[0]) == {"text": "a\ufffdb", "plain": "\\u0000"}
            await replica.erase("nul")
            await work(replica, projection)
            assert await held_by_postgresql(postgresql.url) == expected_in_postgresql(replica)
            assert projection.counters["rebuilds"] == 1
            assert projection.counters["rows_gone"] > 0

    run(main)


def test_lost_tables_are_found_and_filled_again(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    async def main() -> None:
        async with opened(tmp_path, postgresql) as (replica, projection):
            for number in range(30):
                await replica.write(f"p{number}", {"n": number}, source="crm")
            await work(replica, projection)
            await _emptied(postgresql)
            await work(replica, projection, until=lambda: projection.counters["rebuilds"] == 2)
            await work(replica, projection)
            assert await held_by_postgresql(postgresql.url) == expected_in_postgresql(replica)
        async with opened(tmp_path, postgresql, name="us") as (replica, projection):
            await work(replica, projection, until=lambda: "by replica 'eu'" in projection.trouble)

    run(main)


def test_every_event_once_and_none_of_the_erased(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    async def main() -> None:
        log = EventLog(tmp_path / "events")
        async with opened(tmp_path, postgresql) as (replica, _):
            stream = EventStream(replica, log, Database(postgresql.url, "public"))
            await replica.write("bob", {"name": "Bob"}, source="crm")
            log.append([event(n, ("ann", "bob")[n % 3 == 0]) for n in range(100)])
            await streamed(stream)
            rows = await asked(
                postgresql,
                "select event_id, profile_id, event_type, properties ->> 'number', "
                "extract(epoch from ingested_at) * 1000 from event_stream order by event_id",
            )
            assert [int(row[3]) for row in rows] == list(range(100))
            assert {row[2] for row in rows} == {"Order Completed", "page"}
            assert rows[0][1] == row_id("bob")
            assert int(rows[7][4]) == 1_790_000_000_007
            await replica.persons.erase("bob")
            # Events that were on their way when the person was erased come behind it.
            log.append([event(n, ("ann", "bob")[n % 3 == 0]) for n in range(100, 130)])
            await streamed(stream)
            rows = await asked(
                postgresql, "select profile_id, count(*) from event_stream group by 1"
            )
            assert rows == [(row_id("ann"), sum(n % 3 != 0 for n in range(130)))]
            assert stream.counters["deleted"] == 34
            assert stream.counters["left_out"] == 10
            await replica.revive("bob")
            log.append([event(200, "bob")])
            await streamed(stream)
            rows = await asked(postgresql, "select count(*) from event_stream")
            assert rows == [(sum(n % 3 != 0 for n in range(130)) + 1,)]
            stream.rebuild()
            await streamed(stream, until=lambda: stream.counters["rebuilds"] == 2)
            await streamed(stream)
            assert stream.sequence == log.last_sequence
        log.close()

    run(main)


def test_nul_is_replaced_and_nothing_else() -> None:
    for text in ("a\0b", "\\u0000", "\\\0", "\\\\u0000\0", "plain", "\\\\\0\0"):
        assert json.loads(jsonb_of({"t": text}))["t"] == text.replace("\0", "\ufffd")
