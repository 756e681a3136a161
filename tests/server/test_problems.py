"""Problems: the status of every error, and what a replica in trouble answers."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from crdtstore import errors
from crdtstore.replica.replica import Replica
from crdtstore.server import application
from crdtstore.server.problems import Problem, document_of, status_of
from crdtstore.storage.memory_storage import MemoryStorage


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("x"), 422),
        (errors.InvalidValue("x"), 422),
        (errors.InvalidName("x"), 422),
        (errors.InvalidOperation("x"), 422),
        (errors.UnknownSource("x"), 422),
        (errors.LimitExceeded("x", 2, 1, "bytes"), 422),
        (errors.KindConflict("x"), 409),
        (errors.ProfileNotFound("x"), 404),
        (errors.ProfileErased("x"), 410),
        (errors.VersionMismatch("x", "a", None), 412),
        (errors.CursorExpired("x"), 410),
        (errors.StorageFull("x"), 507),
        (errors.StorageFailed("x"), 503),
        (errors.StorageCorrupt("x"), 503),
        (errors.ReplicaClosed("x"), 503),
        (errors.CrdtstoreError("x"), 500),
    ],
)
def test_every_error_has_its_status(error: errors.CrdtstoreError, status: int) -> None:
    assert status_of(error) == status
    document = document_of(error)
    assert document["type"] == f"urn:crdtstore:error:{error.code}"
    assert (document["status"], document["detail"]) == (status, str(error))


def test_problems_carry_what_a_program_needs() -> None:
    limit = document_of(errors.LimitExceeded("field", 9, 5, "bytes"))
    assert [limit[name] for name in ("subject", "size", "limit", "unit")] == [
        "field",
        9,
        5,
        "bytes",
    ]
    stale = document_of(errors.VersionMismatch("ann", "0-1", "0-2"))
    assert (stale["expected"], stale["actual"]) == ("0-1", "0-2")


def test_what_is_quoted_is_printable() -> None:
    problem = Problem(400, "x", "x", "a \ud800 b", members={"subject": "\udfff"})
    assert str(document_of(problem)).encode()
    assert "\\ud800" in document_of(problem)["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.StorageFull("no room"), 507, "storage-full"),
        (errors.StorageFailed("broken"), 503, "storage-failed"),
    ],
)
def test_a_disk_in_trouble_is_told_and_nothing_is_kept(
    error: errors.StorageError, status: int, code: str
) -> None:
    async def scenario() -> None:
        storage = MemoryStorage()
        async with (
            Replica.open(storage, name="eu") as replica,
            TestClient(TestServer(application(replica))) as client,
        ):
            before = replica.digest()
            one = {"source": "crm", "fields": {"x": 1}}
            batch = {"writes": [{"id": "ann", **one}]}
            requests: list[tuple[str, str, Any]] = [
                ("PATCH", "/v1/profiles/ann", one),
                ("POST", "/v1/writes", batch),
            ]
            storage.fail_next_commit(error)
            for method, path, body in requests:
                async with client.request(method, path, json=body) as response:
                    assert response.status == status
                    assert (await response.json())["type"] == f"urn:crdtstore:error:{code}"
                assert replica.digest().digest == before.digest
            async with client.get("/readyz") as response:
                assert response.status == (200 if status == 507 else 503)

    asyncio.run(scenario())


def test_headers_are_bounded(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        response = await api.call("GET", "/v1/digest", headers={"X-Long": "x" * 20_000})
        assert response.status == 400
        many = {f"X-{number}": "x" for number in range(300)}
        assert (await api.call("GET", "/v1/digest", headers=many)).status == 400

    serve(scenario)
