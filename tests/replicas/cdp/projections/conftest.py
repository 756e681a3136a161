"""The servers of these tests: each starts once, and tests leave it running."""

from collections.abc import Iterator

import pytest

from tests.replicas.cdp.projections.servers import (
    PostgresqlServer,
    RedisServer,
    postgresql_server,
    redis_server,
)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server
