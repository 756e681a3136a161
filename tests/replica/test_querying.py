"""Queries of a running replica: the same answers, with the event loop going on between slices."""

import asyncio
from pathlib import Path

import pytest

from crdtstore import Field, InvalidFilter, Replica, Schema, Write
from crdtstore.errors import ReplicaClosed
from crdtstore.query import bounds

SCHEMA = Schema(fields={"age": Field(indexed=True), "name": Field()})


def test_a_replica_answers_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SLICE_PROFILES", 50)

    async def scenario() -> None:
        async with Replica.open(tmp_path / "eu", name="eu", schema=SCHEMA) as replica:
            writes = [
                Write(f"p{n:04}", "crm", {"age": n % 90, "name": f"N{n}"}) for n in range(900)
            ]
            await replica.write_many(writes)
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.create_task(others())
            queries = replica.queries
            assert (await queries.count("age lt 45")).count == 450
            turns = 0
            assert (await queries.count('name ew "7"')).count == 90
            assert turns >= 900 // 50
            page = await queries.page("age ge 80", order="-age", limit=3)
            assert [profile["age"] for profile in page.profiles] == [89, 89, 89]
            assert len([profile async for profile in queries.all("age ge 80")]) == 100
            with pytest.raises(InvalidFilter):
                await queries.page("age equals 3")
            task.cancel()
        with pytest.raises(ReplicaClosed):
            _ = replica.queries

    asyncio.run(scenario())


def test_a_replica_reads_what_was_just_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Replica.open(tmp_path / "eu", name="eu", schema=SCHEMA) as replica:
            for age in (1, 2):
                kept = asyncio.create_task(replica.write("ann", {"age": age}, source="crm"))
                await asyncio.sleep(0)
                assert (await replica.queries.count(f"age eq {age}")).count == 1
                await kept
                assert (await replica.queries.count(f"age eq {age}")).count == 1

    asyncio.run(scenario())
