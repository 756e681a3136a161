"""Previews, their pages, and the command: what is not saved is evaluated, step by step."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from crdtstore import Replica, add, increment
from replicas.cdp.segments import command
from replicas.cdp.segments.audience import Preview, filter_of, preview
from replicas.cdp.segments.definitions import segment_of
from replicas.cdp.segments.segments import Segments, wall_ms
from replicas.cdp.segments.web import SegmentPages
from replicas.embedding.errors import ServiceUnreachable
from tests.replicas.cdp.segments.running import SCHEMA, VIP, opened, settle


async def previewed(replica: Replica, table: dict[str, Any]) -> list[Preview]:
    segment = segment_of("preview", table)
    return [each async for each in preview(replica, segment, sample=3, clock_ms=wall_ms)]


async def filled(replica: Replica) -> None:
    for number in range(250):
        fields = {"plan": ("gold", "tin")[number % 5 > 0], "orders": increment(number % 4)}
        await replica.write(f"p{number:03}", fields, source="crm")
    for number in range(0, 20, 2):
        email = f"email:a{number}@example.com"
        for profile in (f"p{number:03}", f"p{number + 1:03}"):
            await replica.write(profile, {"identifiers": add(email)}, source="crm")


def test_a_preview_counts_as_the_segment_would(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await filled(replica)
            await settle(segments)
            by_index = {"all": [{"field": "plan", "eq": "gold"}, {"field": "orders", "ge": 3}]}
            by_scan = {"all": [{"none": [by_index]}, {"field": "orders", "ge": 3}]}
            for table, way in ((by_index, "index"), (by_scan, "scan")):
                steps = await previewed(replica, table)
                condition = segment_of("x", table)
                persons = {replica.persons.read(f"p{n:03}").id for n in range(250)}
                members = [
                    each
                    for each in sorted(persons)
                    if condition.has(replica.persons.read(each).record, 0)
                ]
                last = steps[-1]
                assert (last.way, last.size, last.is_done) == (way, len(members), True)
                assert len(last.sample) == 3
                assert set(last.sample) <= set(members)
            assert [each.looked_at for each in steps] == [100, 200, 250, 250]
            assert steps[0].of == 250
            assert len(members) > 0

    asyncio.run(main())


def test_a_preview_that_would_remember_too_many_looks_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replicas.cdp.limits.PREVIEW_REMEMBERED_MAX", 2)

    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, _):
            await filled(replica)
            steps = await previewed(replica, {"all": [{"field": "plan", "pr": True}]})
            assert (steps[-1].way, steps[-1].size) == ("scan", 240)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"all": [{"field": "plan", "eq": "gold"}]}, '("plan" eq "gold")'),
        ({"all": [{"field": "orders", "ge": 1}]}, None),
        (
            {"all": [{"field": "orders", "ge": 1}, {"field": "plan", "in": ["a", "b"]}]},
            '("plan" eq "a" or "plan" eq "b")',
        ),
        ({"any": [{"field": "orders", "ge": 1}, {"field": "plan", "eq": "a"}]}, None),
        ({"none": [{"field": "plan", "eq": "a"}]}, None),
        ({"all": [{"field": "plan", "ne": "a"}]}, None),
        ({"all": [{"field": "plan", "gt": "2026-01-01"}]}, None),
    ],
)
def test_only_what_every_member_has_is_asked_of_an_index(
    table: dict[str, Any], expected: str | None
) -> None:
    assert filter_of(segment_of("x", table).condition, SCHEMA) == expected


@asynccontextmanager
async def pages(replica: Replica, segments: Segments) -> AsyncIterator[str]:
    app = web.Application()
    SegmentPages(replica, segments).add_to(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def served(
    tmp_path: Path, use: Callable[[str, aiohttp.ClientSession, Replica], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await filled(replica)
            await settle(segments)
            async with pages(replica, segments) as url, aiohttp.ClientSession() as client:
                await use(url, client, replica)

    asyncio.run(main())


def test_the_pages(tmp_path: Path) -> None:
    async def use(url: str, client: aiohttp.ClientSession, replica: Replica) -> None:
        async def asked(path: str, body: str | None = None) -> tuple[int, Any]:
            method = "GET" if body is None else "POST"
            async with client.request(method, url + path, data=body) as answer:
                return answer.status, await answer.json()

        status, listed = await asked("/cdp/segments")
        assert status == 200
        assert [each["name"] for each in listed["segments"]] == ["vip"]
        assert listed["scan"] == {"done": 250, "of": 250, "is_done": True}
        size = listed["segments"][0]["size"]
        assert size == (await replica.queries.count('segments eq "vip"')).count > 0
        assert (await asked("/cdp/segments/vip"))[1]["size"] == size
        _, sample = await asked("/cdp/segments/vip/sample?count=4")
        assert len(sample["persons"]) == 4
        assert (await asked("/cdp/segments/none"))[0] == 404
        assert (await asked("/cdp/segments/vip/sample?count=x"))[0] == 400
        status, told = await asked("/cdp/segments/preview", "all = [{}]")
        assert status == 400
        assert "segments.preview.all[0]" in told["detail"]
        body = 'all = [{ field = "plan", eq = "gold" }]'
        async with client.post(f"{url}/cdp/segments/preview?count=2", data=body) as answer:
            lines = [json.loads(line) async for line in answer.content]
        assert lines[-1]["is_done"]
        assert lines[-1]["way"] == "index"
        assert len(lines[-1]["sample"]) == 2
        status, told = await asked("/cdp/segments/rescan", "")
        assert told["scan"] == {"done": 0, "of": 250, "is_done": False}

    served(tmp_path, use)


@dataclass
class Address:
    host: str
    port: int
    token: str | None = None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    file = tmp_path / "new.toml"
    file.write_text('all = [{ field = "plan", eq = "gold" }]')

    async def use(url: str, client: aiohttp.ClientSession, replica: Replica) -> None:
        address = Address("127.0.0.1", int(url.rpartition(":")[2]))

        async def said(*words: str) -> str:
            arguments = parser.parse_args(["segments", *words, "--config", "cdp.toml"])
            assert await asyncio.to_thread(arguments.run, address, arguments) == 0
            return capsys.readouterr().out

        count = (await replica.queries.count('segments eq "vip"')).count
        assert (await said("list")).split() == [str(count), "vip"]
        assert await said("size", "vip") == f"{count}\n"
        assert len((await said("sample", "vip", "--count", "3")).splitlines()) == 3
        assert "48 persons, found by index" in await said("preview", str(file), "--count", "2")
        assert "250 profiles are evaluated anew" in await said("rescan")
        assert "0 of 250 profiles so far" in await said("list")
        with pytest.raises(ServiceUnreachable, match="there is no segment 'none'"):
            await said("size", "none")
        file.write_text("all = [3]")
        with pytest.raises(ServiceUnreachable, match="a condition is a table"):
            await said("preview", str(file))

    served(tmp_path, use)
