"""Exports: what analysts read is what the store holds at one moment, in typed columns."""

import asyncio
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crdtstore import (
    Field,
    Group,
    Replica,
    Schema,
    add,
    grant,
    increment,
    insert_items,
    insert_text,
)  # fmt: skip
from crdtstore.errors import ConfigurationError, LimitExceeded, StorageError, TargetExists
from crdtstore.query import bounds
from crdtstore.replica.exporting import export_directory, export_store
from crdtstore.storage.contract import CopyInterrupted
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.store import Store
from tests.engine.stores import open_store

duckdb = pytest.importorskip("duckdb")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEMA = Schema(
    fields={
        "visits": Field("counter"), "tags": Field("set"), "news": Field("consent"),
        "age": Field(indexed=True), "never": Field("counter"),
    },
    groups={"address": Group(("city", "street"))},
)  # fmt: skip


def fill(store: Store) -> None:
    store.write(
        "ann",
        {
            "name": "Änn", "age": 41, "visits": increment(3), "tags": add("vip", "new"),
            "news": grant(), "seen": NOON, "photo": b"\x00\xff", "city": "Lyon", "score": 1,
            "pets": ["cat"], "mixed": 1, "map": {"at": NOON}, "big": 2**62, "profile_id": "x",
        },
        source="crm",
    )  # fmt: skip
    store.write("bob", {"age": 30, "score": 2.5, "mixed": "two", "pets": []}, source="crm")
    store.commit(checkpoint=True)
    store.write("cleo", {"age": -1, "never": increment(2)}, source="crm")
    store.write("gone", {"age": 7}, source="crm")
    store.erase("gone")


def exported(store: Store, path: Path, form: str) -> Path:
    steps = list(export_store(store, path, form=form))
    assert steps[-1].profiles == steps[-1].of == store.profile_count
    return path


def test_duckdb_reads_what_was_written(tmp_path: Path) -> None:
    with open_store(LoggedStorage.open(tmp_path / "data"), schema=SCHEMA) as store:
        fill(store)
        path = exported(store, tmp_path / "all.parquet", "parquet")
        version = store.read("ann").version
    with duckdb.connect() as base:
        types = {row[0]: row[1] for row in base.sql(f"describe from '{path}'").fetchall()}
        assert types == {
            "profile_id": "VARCHAR", "profile_version": "VARCHAR", "age": "BIGINT",
            "big": "BIGINT", "city": "VARCHAR", "field.profile_id": "VARCHAR", "map": "VARCHAR",
            "mixed": "VARCHAR", "name": "VARCHAR", "never": "BIGINT", "news": "BOOLEAN",
            "pets": "VARCHAR[]", "photo": "BLOB", "score": "DOUBLE",
            "seen": "TIMESTAMP WITH TIME ZONE", "street": "VARCHAR", "tags": "VARCHAR[]",
            "visits": "BIGINT",
        }  # fmt: skip
        rows = base.sql(
            f"select * replace (epoch_us(seen) as seen) from '{path}' order by profile_id"
        )
        ann, bob, cleo = (dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall())
        assert base.sql(f"select avg(age) from '{path}' where age > 0").fetchall() == [(35.5,)]
    assert ann == {
        "profile_id": "ann", "profile_version": version, "age": 41, "big": 2**62, "city": "Lyon",
        "field.profile_id": "x", "map": '{"at":"2026-11-20T12:00:00Z"}', "mixed": "1",
        "name": "Änn", "never": None, "news": True, "pets": ["cat"], "photo": b"\x00\xff",
        "score": 1.0, "seen": int(NOON.timestamp()) * 1_000_000, "street": None,
        "tags": ["new", "vip"], "visits": 3,
    }  # fmt: skip
    assert (bob["score"], bob["mixed"], bob["pets"], bob["news"]) == (2.5, '"two"', [], None)
    assert (cleo["age"], cleo["never"]) == (-1, 2)


def test_arrow_and_json_lines_hold_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    store = open_store(schema=SCHEMA)
    fill(store)
    table = pyarrow.ipc.open_file(exported(store, tmp_path / "all.arrow", "arrow")).read_all()
    assert table.column("profile_id").to_pylist() == ["ann", "bob", "cleo"]
    assert table.column("visits").to_pylist() == [3, None, None]
    assert table.schema.field("visits").metadata == {
        b"crdtstore.kind": b"counter", b"crdtstore.type": b"int64",
    }  # fmt: skip
    lines = exported(store, tmp_path / "all.jsonl", "jsonl").read_text("utf-8").splitlines()
    ann, bob, cleo = map(json.loads, lines)
    assert (ann["seen"], ann["photo"], ann["visits"]) == ("2026-11-20T12:00:00Z", "AP8=", 3)
    assert bob == {
        "profile_id": "bob", "profile_version": store.read("bob").version, "age": 30,
        "mixed": "two", "pets": [], "score": 2.5,
    }  # fmt: skip
    assert cleo["never"] == 2


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_texts_and_lists_are_exported_as_they_were_at_that_moment(
    tmp_path: Path, form: str
) -> None:
    schema = Schema(fields={"notes": Field("text"), "tasks": Field("list")})
    path = tmp_path / f"all.{form}"
    with open_store(LoggedStorage.open(tmp_path / "data"), schema=schema) as store:
        for profile_id in ("ann", "bob"):
            fields = {"notes": insert_text(0, profile_id), "tasks": insert_items(0, "call", "go")}
            store.write(profile_id, fields, source="crm")
            store.commit(checkpoint=True)
        store.write("bob", {"notes": insert_text(3, " dirty")}, source="crm")
        store.write("cleo", {"name": "Cleo"}, source="crm")
        for number, _ in enumerate(export_store(store, path, form=form)):
            for profile_id in ("ann", "bob"):
                store.write(profile_id, {"notes": insert_text(0, f"{number}")}, source="crm")
            store.commit(checkpoint=True)
            store.erase("cleo")
    with duckdb.connect() as base:
        rows = base.sql(f"select profile_id, notes, tasks from '{path}' order by 1").fetchall()
    assert rows == [
        ("ann", "ann", ["call", "go"]), ("bob", "bob dirty", ["call", "go"]), ("cleo", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("is_at_rest", [True, False])
def test_an_export_is_of_one_moment(tmp_path: Path, is_at_rest: bool) -> None:
    """What is written, erased and brought to rest while it goes on is not in it."""
    with open_store(LoggedStorage.open(tmp_path / "data")) as store:
        for number in range(1_500):
            store.write(f"p{number:04}", {"n": 1}, source="crm")
        store.commit(checkpoint=is_at_rest)
        path = tmp_path / "all.jsonl"
        for count, _ in enumerate(export_store(store, path, form="jsonl")):
            for number in range(count, 1_500, 7):
                store.write(f"p{number:04}", {"n": 2}, source="crm")
            store.erase(f"p{count}")
            store.write("zz", {"n": 2}, source="crm")
            store.commit(checkpoint=True)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["profile_id"] for row in rows] == [f"p{number:04}" for number in range(1_500)]
    assert {row["n"] for row in rows} == {1}


def test_a_map_that_grows_begins_the_export_anew(tmp_path: Path) -> None:
    with open_store(LoggedStorage.open(tmp_path / "data", map_bytes_initial=1 << 20)) as store:
        for number in range(1_000):
            store.write(f"p{number:04}", {"n": 1}, source="crm")
        store.commit(checkpoint=True)
        path = tmp_path / "all.parquet"
        steps = export_store(store, path)
        next(steps)
        store.storage.grow()
        store.write("q", {"n": 1}, source="crm")
        assert list(steps)[-1].profiles == 1_001
        assert not path.with_name("all.parquet.partial").exists()


def test_a_moment_that_ends_says_so(tmp_path: Path) -> None:
    with open_store(LoggedStorage.open(tmp_path / "data")) as store:
        view = store.storage.pinned_view()
        view.close()
        view.close()
        with pytest.raises(CopyInterrupted):
            view.documents(b"", limit=1, bytes_max=1)


def test_memory_is_bounded_by_the_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "ROW_GROUP_PROFILES", 100)
    with open_store(LoggedStorage.open(tmp_path / "data")) as store:
        for number in range(4_000):
            store.write(f"p{number:04}", {"note": f"{number}" * 300}, source="crm")
        store.commit(checkpoint=True)
        store.documents._young.clear()
        tracemalloc.start()
        list(export_store(store, tmp_path / "all.jsonl", form="jsonl"))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "all.jsonl").stat().st_size > 4 * 1_000_000
    assert peak_bytes < 3_500_000, f"{peak_bytes:,}"


def test_a_replica_exports_while_it_works(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Replica.open(tmp_path / "eu", name="eu", schema=SCHEMA) as replica:
            for number in range(50):
                await replica.write(f"p{number:02}", {"age": number}, source="crm")
            path = tmp_path / "all.parquet"
            seen = [step async for step in replica.queries.export(path)]
            assert seen[-1].profiles == 50
            with duckdb.connect() as base:
                assert base.sql(f"select sum(age) from '{path}'").fetchall() == [(1225,)]
            with pytest.raises(TargetExists):
                async for _ in replica.queries.export(path):
                    pass
            broken = replica.queries.export(tmp_path / "other.jsonl", form="jsonl")
            await anext(broken)
            await broken.aclose()
            assert not (tmp_path / "other.jsonl").exists()

    asyncio.run(scenario())


def test_a_stopped_replica_is_exported_and_left_as_it_was(tmp_path: Path, caplog: Any) -> None:
    with open_store(LoggedStorage.open(tmp_path / "data"), schema=SCHEMA) as store:
        fill(store)
        expected = dict(store.read("ann"))
    for form, schema in (("jsonl", None), ("parquet", SCHEMA)):
        steps = list(export_directory(tmp_path / "data", tmp_path / f"all.{form}", form, schema))
        assert steps[-1].profiles == 3
    line = json.loads((tmp_path / "all.jsonl").read_text().splitlines()[0])
    assert line["age"] == expected["age"]
    caplog.set_level("INFO", "crdtstore.index")
    with open_store(LoggedStorage.open(tmp_path / "data"), schema=SCHEMA) as store:
        assert store.queries.page("age eq 41").plan.way == "index"
    assert "building" not in caplog.text
    with pytest.raises(StorageError):
        list(export_directory(tmp_path / "none", tmp_path / "x", "jsonl"))


def test_what_cannot_be_exported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    store.write("a", {"x": 1, "y": 2, "z": 3}, source="crm")
    with pytest.raises(ConfigurationError, match="parquet, arrow, jsonl"):
        list(export_store(store, tmp_path / "a", form="csv"))
    monkeypatch.setattr(bounds, "EXPORT_COLUMNS_MAX", 2)
    with pytest.raises(LimitExceeded):
        list(export_store(store, tmp_path / "a"))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match="analytics"):
        list(export_store(store, tmp_path / "a"))
    list(export_store(store, tmp_path / "a", form="jsonl"))
