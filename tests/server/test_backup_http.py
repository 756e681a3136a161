"""The backup over HTTP: protected, one at a time, and whole."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Store
from crdtstore.replica.backups import check_backup, restore_backup
from tests.patience import PATIENCE_S
from tests.server.conftest import Api

TOKEN = "t" * 32


def test_a_backup_is_sent_whole(serve: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.write("ann", email="ann@example.com")
        response = await api.call("GET", "/v1/backup")
        assert response.status == 200
        assert response.content_type == "application/octet-stream"
        content = await response.read()
        assert len(content) == response.content_length
        (tmp_path / "eu.backup").write_bytes(content)
        digest = api.replica.digest()
        assert check_backup(tmp_path / "eu.backup").manifest.digest == digest.digest
        await api.write("ann", email="later@example.com")

    serve(scenario)
    restore_backup(tmp_path / "eu.backup", tmp_path / "new", alone=True)
    with Store.open(tmp_path / "new", name="eu") as store:
        assert store.read("ann")["email"] == "ann@example.com"


def test_it_needs_the_token(serve: Callable[..., None]) -> None:
    async def scenario(api: Api) -> None:
        await api.problem(401, "unauthorised", "GET", "/v1/backup")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await api.call("GET", "/v1/backup", headers=headers)).status == 200

    serve(scenario, token=TOKEN)


def test_it_takes_no_parameters(serve: Callable[..., None]) -> None:
    async def scenario(api: Api) -> None:
        await api.problem(422, "invalid-input", "GET", "/v1/backup?path=x")
        headers = {"Accept": "application/json"}
        await api.problem(406, "not-acceptable", "GET", "/v1/backup", headers=headers)
        await api.problem(405, "method-not-allowed", "POST", "/v1/backup")

    serve(scenario)


def test_one_is_taken_at_a_time(serve: Callable[..., None]) -> None:
    async def scenario(api: Api) -> None:
        await api.write("ann", email="ann@example.com")
        calls = [asyncio.create_task(api.call("GET", "/v1/backup")) for _ in range(8)]
        statuses = sorted([(await call).status for call in calls])
        assert statuses[0] == 200
        assert set(statuses) <= {200, 503}
        assert 503 in statuses
        async with asyncio.timeout(PATIENCE_S):
            while (await api.call("GET", "/v1/backup")).status != 200:
                await asyncio.sleep(0.01)

    serve(scenario)


def test_a_disk_without_room_is_told(
    serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(api: Api) -> None:
        monkeypatch.setattr("crdtstore.limits.BACKUP_RESERVE_BYTES", 1 << 60)
        await api.problem(507, "storage-full", "GET", "/v1/backup")
        answer: Any = await api.write("ann", email="ann@example.com")
        assert answer["changed"] == ["email"]

    serve(scenario)
