"""Two CDP services and a CRM service converge with exact counts, whatever is cut and killed.

Real processes, real HTTP, real Redis and PostgreSQL. ``make cdp-chaos`` does it for longer.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicas.cdp.chaos import endure
from tests.replicas.cdp.projections.servers import (
    PostgresqlServer,
    RedisServer,
    postgresql_server,
    redis_server,
)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


def test_all_converge_under_partitions_and_kills(
    tmp_path: Path, redis: RedisServer, postgresql: PostgresqlServer
) -> None:
    asyncio.run(endure(tmp_path, redis, postgresql, seed=1, rounds=1))
