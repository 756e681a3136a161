"""The websocket of Yjs clients: who comes in, how it is closed, and what it costs others."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from crdtstore import limits
from crdtstore.schema import Field, Schema
from crdtstore.sync.y_protocol import Awareness, SyncStep1, Update, decode, encode
from tests.patience import PATIENCE_S
from tests.server.conftest import Api

SCHEMA = Schema(fields={"note": Field("text"), "name": Field("register")}, sources=("yjs", "web"))
ROOM = "/v1/collaboration/ann/note"
TOKEN = "0123456789abcdef-token"


async def connect(api: Api, path: str = ROOM, **headers: str) -> ClientWebSocketResponse:
    return await api.client.ws_connect(path, headers=headers)


async def close_code(websocket: ClientWebSocketResponse) -> tuple[int | None, str]:
    """Return code and reason by which the server closes a websocket."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            received = await websocket.receive()
            if received.type is WSMsgType.CLOSE:
                return received.data, received.extra or ""
            assert received.type is WSMsgType.BINARY, received


async def refused(api: Api, status: int, path: str, **headers: str) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await connect(api, path, **headers)
    assert caught.value.status == status


def test_a_client_is_greeted_by_our_question(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        websocket = await connect(api, ROOM + "?source=web")
        assert decode(await websocket.receive_bytes()) == SyncStep1(b"\x00")
        await websocket.close()

    serve(scenario, schema=SCHEMA)


def test_the_token_may_stand_in_the_query_here_and_nowhere_else(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        for websocket in (
            await connect(api, f"{ROOM}?token={TOKEN}"),
            await connect(api, ROOM, Authorization=f"Bearer {TOKEN}"),
            await connect(api, f"{ROOM}?token={TOKEN}", Origin="https://app.example.com"),
        ):
            await websocket.close()
        await refused(api, 401, ROOM)
        await refused(api, 401, ROOM + "?token=wrong")
        response = await api.call("GET", f"/v1/digest?token={TOKEN}")
        assert response.status == 401

    serve(scenario, schema=SCHEMA, token=TOKEN)


def test_without_a_token_other_sites_stay_outside(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        await refused(api, 403, ROOM, Origin="https://other.example.com")

    serve(scenario, schema=SCHEMA)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (422, ROOM + "?epoch=-1"),
        (422, ROOM + "?colour=red"),
        (400, "/v1/collaboration/%ff/note"),
    ],
)
def test_what_cannot_be_is_refused_at_once(serve: Any, status: int, path: str) -> None:
    async def scenario(api: Api) -> None:
        await refused(api, status, path)

    serve(scenario, schema=SCHEMA)


@pytest.mark.parametrize(
    ("code", "path"),
    [
        (4409, "/v1/collaboration/ann/name"),
        (4404, "/v1/collaboration/ann/unknown"),
        (4410, ROOM + "?epoch=2"),
        (4410, ROOM + f"?epoch={limits.EPOCH_MAX}"),
        (4422, ROOM + "?source=nobody"),
    ],
)
def test_a_browser_is_told_why_by_the_code_of_the_close(serve: Any, code: int, path: str) -> None:
    async def scenario(api: Api) -> None:
        assert (await close_code(await connect(api, path)))[0] == code

    serve(scenario, schema=SCHEMA)


def test_others_are_told_that_this_is_a_websocket(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        await api.problem(426, "upgrade-required", "GET", ROOM)

    serve(scenario, schema=SCHEMA)


@pytest.mark.parametrize(
    "data", [b"\x09", b"\x00\x02\x07\x01\x01\x0a\x01\x00\x00\x00", b"\x01\x01"]
)
def test_hostile_bytes_close_that_client_alone(serve: Any, data: bytes) -> None:
    async def scenario(api: Api) -> None:
        good, bad = await connect(api), await connect(api)
        await bad.send_bytes(data)
        code, reason = await close_code(bad)
        assert code == 4400
        assert reason
        await good.send_bytes(encode(Awareness(((5, 1, "{}"),))))
        while decode(await good.receive_bytes()) != Awareness(((5, 1, "{}"),)):
            pass
        await good.close()

    serve(scenario, schema=SCHEMA)


def test_text_messages_and_too_large_ones_close_the_client(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        websocket = await connect(api)
        await websocket.send_str("hello")
        assert (await close_code(websocket))[0] == 4400
        websocket = await connect(api)
        await websocket.send_bytes(bytes(limits.COLLABORATOR_MESSAGE_BYTES_MAX + 2))
        assert (await close_code(websocket))[0] == 1009

    serve(scenario, schema=SCHEMA)


def test_a_text_that_is_full_closes_the_client(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TEXT_BYTES_MAX", 10)

    async def scenario(api: Api) -> None:
        websocket = await connect(api)
        update = bytes.fromhex("01010500040104746578740b") + b"hello world" + b"\x00"
        await websocket.send_bytes(encode(Update(update)))
        code, reason = await close_code(websocket)
        assert code == 4413
        assert "limit is 10" in reason

    serve(scenario, schema=SCHEMA)


def test_an_erasure_closes_the_client_for_good(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        await api.json("PATCH", "/v1/profiles/ann", json={"source": "yjs", "fields": {"name": "A"}})
        websocket = await connect(api)
        await api.json("DELETE", "/v1/profiles/ann")
        assert (await close_code(websocket))[0] == 4410

    serve(scenario, schema=SCHEMA)


def test_a_quiet_room_is_kept_alive(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEEP_ALIVE_S", 0.05)

    async def scenario(api: Api) -> None:
        websocket = await connect(api)
        await websocket.receive_bytes()
        for _ in range(3):
            assert decode(await websocket.receive_bytes()) == Awareness(())
        await websocket.close()

    serve(scenario, schema=SCHEMA)


def test_there_is_a_last_client(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COLLABORATORS_MAX", 1)

    async def scenario(api: Api) -> None:
        websocket = await connect(api)
        await refused(api, 503, ROOM)
        await websocket.close()

    serve(scenario, schema=SCHEMA)
