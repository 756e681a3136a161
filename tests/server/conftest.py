"""A replica and its HTTP API on a loopback port, for one test each."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from crdtstore.replica.replica import Replica
from crdtstore.schema import Schema
from crdtstore.server import application

Scenario = Callable[["Api"], Awaitable[None]]


@dataclass
class Api:
    """A client of one server, and the replica behind it."""

    client: TestClient[web.Request, web.Application]
    replica: Replica
    prefix: str = ""

    async def call(self, method: str, path: str, **options: Any) -> ClientResponse:
        return await self.client.request(method, self.prefix + path, **options)

    async def json(self, method: str, path: str, **options: Any) -> Any:
        response = await self.call(method, path, **options)
        assert response.status == 200, await response.text()
        return await response.json()

    async def problem(
        self, status: int, code: str, method: str, path: str, **options: Any
    ) -> dict[str, Any]:
        """Make a request that must be refused so, with nothing changed; return the problem."""
        before = self.replica.digest()
        response = await self.call(method, path, **options)
        assert response.status == status, await response.text()
        assert response.content_type == "application/problem+json"
        document: dict[str, Any] = await response.json()
        assert document["type"] == f"urn:crdtstore:error:{code}"
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        assert self.replica.digest() == before
        return document

    async def write(self, profile_id: str, **fields: Any) -> Any:
        body = {"source": "crm", "fields": fields}
        return await self.json("PATCH", f"/v1/profiles/{profile_id}", json=body)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., None]:
    """Return a function that runs a scenario against a fresh replica and its server."""

    def run(
        scenario: Scenario,
        *,
        schema: Schema | None = None,
        mounted_at: str = "",
        token: str | None = None,
        link_secret: str | None = None,
    ) -> None:
        async def main() -> None:
            async with Replica.open(tmp_path / "eu", name="eu", schema=schema) as replica:
                app = application(replica, token=token, link_secret=link_secret)
                if mounted_at:
                    outer = web.Application()
                    outer.add_subapp(mounted_at, app)
                    app = outer
                async with TestClient(TestServer(app)) as client:
                    assert isinstance(client.session, ClientSession)
                    await scenario(Api(client, replica, mounted_at))

        asyncio.run(main())

    return run
