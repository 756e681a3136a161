"""PostgreSQL: golden records as rows of customer_profiles.

| Column           | Holds                                                                      |
|------------------|----------------------------------------------------------------------------|
| id               | a UUIDv5 of the person's id                                                |
| identity_graph   | `person`, `profiles` (each with its UUID, as in event_stream), `identifiers` |
| computed_traits  | the golden record, without the identifiers                                 |
| timestamp        | when the row was written last                                              |

Each batch is one transaction, in which the position moves too.
"""

import re
import uuid
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from crdtstore import Person
from replicas.cdp import limits
from replicas.cdp.projections.errors import PositionMoved, TargetUnavailable
from replicas.cdp.projections.position import Position
from replicas.cdp.projections.rows import Batch, json_of

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

_IDS: Final = uuid.UUID("5b3b1f0e-6f1c-5c0e-9a57-3f6c1d9b7a42")
_IDENTIFIERS: Final = "identifiers"
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_POSITION: Final = "customer_profiles"

_TABLES: Final = """
create table if not exists customer_profiles (
    id uuid primary key,
    identity_graph jsonb not null,
    computed_traits jsonb not null,
    timestamp timestamptz not null
);
create index if not exists customer_profiles_by_profile
    on customer_profiles using gin ((identity_graph -> 'profiles'));
create table if not exists event_stream (
    event_id bigserial primary key,
    profile_id uuid not null,
    event_type varchar not null,
    properties jsonb not null,
    ingested_at timestamptz not null
);
create index if not exists event_stream_by_profile on event_stream (profile_id);
create table if not exists cdp_erased (profile_id uuid primary key);
create table if not exists cdp_position (name text primary key, position text not null);
"""
_FIND: Final = """
select identity_graph ->> 'person', array(select jsonb_object_keys(identity_graph -> 'profiles'))
from customer_profiles where identity_graph -> 'profiles' ?| $1::text[]
"""
_PUT: Final = """
insert into customer_profiles (id, identity_graph, computed_traits, timestamp)
select *, $4::timestamptz from unnest($1::uuid[], $2::jsonb[], $3::jsonb[])
on conflict (id) do update set identity_graph = excluded.identity_graph,
    computed_traits = excluded.computed_traits, timestamp = excluded.timestamp
"""
_MOVE: Final = """
insert into cdp_position (name, position) values ($1, $2)
on conflict (name) do update set position = excluded.position
"""

_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises; the last if a server vanishes while a connection is put in order."""


def row_id(profile_id: str) -> uuid.UUID:
    """Return the UUID of a profile, or of the person that is named after it."""
    return uuid.uuid5(_IDS, profile_id)


class Database:
    """A PostgreSQL, with one connection that is made when it is needed."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._connection: Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        """Begin a transaction, to be committed at the end; raises TargetUnavailable.

        A connection on which anything failed is not used again.
        """
        try:
            connection = self._connection or await self._connected()
            async with connection.transaction():
                yield connection
        except PositionMoved:
            raise
        except (*_FAILURES, OSError, TimeoutError) as error:
            await self.close()
            raise TargetUnavailable(f"PostgreSQL: {error or type(error).__name__}") from error

    async def _connected(self) -> "Connection":
        connection: Connection = await asyncpg.connect(
            self._url,
            timeout=limits.PROJECTION_CONNECT_TIMEOUT_S,
            command_timeout=limits.PROJECTION_TIMEOUT_S,
            server_settings={"search_path": self._schema, "timezone": "UTC"},
        )
        self._connection = connection
        async with connection.transaction():
            # Two that begin at once would both find no table.
            await connection.execute("select pg_advisory_xact_lock(hashtext('crdtstore tables'))")
            await connection.execute(f"create schema if not exists {self._schema}")
            await connection.execute(_TABLES)
        return connection

    async def position(self, connection: "Connection", name: str) -> str | None:
        """Return a position, which nobody else moves until the transaction ends."""
        text: str | None = await connection.fetchval(
            "select position from cdp_position where name = $1 for update", name
        )
        return text

    async def move(self, connection: "Connection", name: str, position: str) -> None:
        """Move a position."""
        await connection.execute(_MOVE, name, position)

    async def close(self) -> None:
        """Let the connection go at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


class PostgresqlTarget:
    """A PostgreSQL to keep rows in."""

    name = "postgresql"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self) -> Position | None:
        """Return what the database says of itself."""
        async with self._database.transaction() as connection:
            return Position.unpacked(await self._database.position(connection, _POSITION))

    async def clear(self, position: Position) -> None:
        """Remove all rows, and begin at a position."""
        async with self._database.transaction() as connection:
            await connection.execute("truncate customer_profiles")
            await self._database.move(connection, _POSITION, position.packed())

    async def rows_of(self, profiles: Set[str]) -> Mapping[str, Set[str]]:
        """Find the rows that hold any of some profiles."""
        async with self._database.transaction() as connection:
            found = await connection.fetch(_FIND, sorted(profiles))
        return {row[0]: set(row[1]) for row in found}

    async def apply(self, batch: Batch, before: Position, after: Position) -> None:
        """Write rows, and move the position, in one transaction; raises PositionMoved."""
        async with self._database.transaction() as connection:
            text = await self._database.position(connection, _POSITION)
            if Position.unpacked(text) != before:
                raise PositionMoved("PostgreSQL is not where it was left")
            if batch.rows_gone:
                gone = [row_id(each) for each in sorted(batch.rows_gone)]
                await connection.execute(
                    "delete from customer_profiles where id = any($1::uuid[])", gone
                )
            if batch.persons:
                rows = [row_of(person) for person in batch.persons]
                ids, graphs, traits = (list(column) for column in zip(*rows, strict=True))
                await connection.execute(_PUT, ids, graphs, traits, datetime.now(UTC))
            await self._database.move(connection, _POSITION, after.packed())

    async def close(self) -> None:
        """Let the connection go."""
        await self._database.close()


def row_of(person: Person) -> tuple[uuid.UUID, str, str]:
    """Return id, identity graph and computed traits of a person."""
    record: dict[str, Any] = dict(person.record)
    graph = {
        "person": person.id,
        "profiles": {each: str(row_id(each)) for each in person.profiles},
        "identifiers": record.pop(_IDENTIFIERS, []),
    }
    return row_id(person.id), jsonb_of(graph), jsonb_of(record)


def jsonb_of(value: Any) -> str:
    """Return a value as JSON that jsonb takes: it has no NUL, for which U+FFFD stands."""
    text = json_of(value)
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text
