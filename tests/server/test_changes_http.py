"""The change feed over HTTP: pages, streams, resuming, and how a stream ends."""

import asyncio
import json
from typing import Any

from crdtstore import limits
from crdtstore.server.service import SERVICE
from tests.patience import PATIENCE_S, until

EVENTS = {"Accept": "text/event-stream"}


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


async def next_event(response: Any) -> dict[str, str]:
    """Read the next server-sent event that is no comment."""
    event: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE_S):
        while line := (await response.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif event:
                return event
    raise AssertionError("the stream ended")


def test_pages_resume_by_cursor(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        for number in range(5):
            await api.write(f"p{number}", x=number)
        await api.json("DELETE", "/v1/profiles/p0")
        seen: list[Any] = []
        since = ""
        while True:
            response = await api.call("GET", "/v1/changes", params={"since": since, "limit": 2})
            assert response.content_type == "application/x-ndjson"
            page = lines_of(await response.text())
            if not page:
                break
            assert len(page) <= 2
            seen += page
            since = page[-1]["cursor"]
        assert [change["id"] for change in seen] == ["p0", "p1", "p2", "p3", "p4", "p0"]
        assert [change["erased"] for change in seen] == [False] * 5 + [True]
        first = seen[0]
        assert (first["fields"], first["sources"], first["replica"]) == (["x"], ["crm"], "eu")
        assert first["origin"] == api.replica.origin
        response = await api.call("GET", "/v1/changes?since=end")
        assert await response.text() == ""
        assert await (await api.call("HEAD", "/v1/status")).text() == ""

    serve(scenario)


def test_events_follow_and_resume(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("p0", x=0)
        async with api.client.get("/v1/changes", headers=EVENTS) as response:
            assert response.content_type == "text/event-stream"
            first = await next_event(response)
            assert first["event"] == "change"
            assert json.loads(first["data"])["id"] == "p0"
            await api.write("p1", x=1)
            second = await next_event(response)
            assert json.loads(second["data"])["id"] == "p1"
            assert second["id"] == json.loads(second["data"])["cursor"]
        headers = {**EVENTS, "Last-Event-ID": first["id"]}
        async with api.client.get("/v1/changes?since=end", headers=headers) as response:
            assert await next_event(response) == second

    serve(scenario)


def test_json_lines_follow_and_stay_alive(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "KEEP_ALIVE_S", 0.05)

    async def scenario(api: Any) -> None:
        async with api.client.get("/v1/changes?follow=true&since=end") as response:
            assert await response.content.readline() == b"\n"
            await api.write("p1", x=1)
            async with asyncio.timeout(PATIENCE_S):
                while (line := await response.content.readline()) == b"\n":
                    pass
            assert json.loads(line)["id"] == "p1"
            quiet = api.client.get("/v1/changes", headers=EVENTS)
            async with quiet as events:
                text = b"".join([await events.content.readline() for _ in range(8)])
                assert b": keep-alive\n" in text

    serve(scenario)


def test_many_changes_stream_in_order(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        items = [{"id": f"p{n}", "source": "crm", "fields": {"x": n}} for n in range(5_000)]
        await api.json("POST", "/v1/writes", json={"writes": items})
        async with api.client.get("/v1/changes?follow=true") as response:
            ids = [json.loads(await response.content.readline())["id"] for _ in items]
        assert ids == [item["id"] for item in items]

    serve(scenario)


def test_followers_are_counted_bounded_and_forgotten(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "FOLLOWERS_MAX", 1)
    monkeypatch.setattr(limits, "KEEP_ALIVE_S", 0.05)

    async def scenario(api: Any) -> None:
        service = api.client.app[SERVICE]
        async with api.client.get("/v1/changes", headers=EVENTS) as response:
            assert service.followers == 1
            await api.problem(503, "busy", "GET", "/v1/changes", headers=EVENTS)
            response.close()
        await until(lambda: service.followers == 0, "the reader to be forgotten")

    serve(scenario)


def test_a_reader_that_does_not_read_is_cut_off(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "SEND_TIMEOUT_S", 0.2)

    async def scenario(api: Any) -> None:
        service = api.client.app[SERVICE]
        names = {f"{n:03}" + "x" * 120: 1 for n in range(500)}
        for number in range(150):
            await api.write(f"p{number}", **names)
        reader, writer = await asyncio.open_connection(api.client.host, api.client.port, limit=1024)
        writer.write(
            f"GET /v1/changes?follow=true HTTP/1.1\r\nHost: {api.client.host}\r\n\r\n".encode()
        )
        await until(lambda: service.followers == 1, "the reader")
        await until(lambda: service.followers == 0, "the reader to be forgotten")
        writer.close()
        assert reader is not None

    serve(scenario)


def test_a_stream_ends_when_the_server_or_the_replica_closes(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        async with api.client.get("/v1/changes", headers=EVENTS) as response:
            api.client.app[SERVICE].closing.set()
            async with asyncio.timeout(PATIENCE_S):
                assert b"connected" in await response.content.read()
        api.client.app[SERVICE].closing.clear()
        async with api.client.get("/v1/changes", headers=EVENTS) as response:
            closing = asyncio.create_task(api.replica.close())
            async with asyncio.timeout(PATIENCE_S):
                await response.content.read()
            await closing

    serve(scenario)
