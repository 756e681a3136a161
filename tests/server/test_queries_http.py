"""Queries over HTTP: pages, orders, counts, plans, and what is wrong with a filter."""

import json
from collections.abc import Callable
from urllib.parse import urlencode

import msgpack
import pytest

from crdtstore import Field, Schema
from tests.server.conftest import Api

Serve = Callable[..., None]
SCHEMA = Schema(fields={"age": Field(indexed=True), "tags": Field("set", indexed=True)})


async def fill(api: Api) -> None:
    for number in range(12):
        tags = {"add": ["vip" if number % 3 == 0 else "lead"]}
        await api.write(f"p{number:02}", age=20 + number % 4, name=f"N{number}", tags=tags)


async def ask(api: Api, path: str, **query: object) -> dict[str, object]:
    document: dict[str, object] = await api.json("GET", f"{path}?{urlencode(query)}")
    return document


def ids(page: dict[str, object]) -> list[str]:
    profiles = page["profiles"]
    assert isinstance(profiles, list)
    return [profile["id"] for profile in profiles]


def test_a_filter_an_order_and_pages(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await fill(api)
        found = await ask(api, "/v1/profiles", where='tags eq "vip" and age ge 21')
        assert ids(found) == ["p03", "p06", "p09"]
        assert found["next"] is None
        page = await ask(api, "/v1/profiles", where="age lt 22", order="-age", limit=4)
        assert ids(page) == ["p09", "p05", "p01", "p08"]
        rest = await ask(
            api, "/v1/profiles", where="age lt 22", order="-age", limit=4, after=page["next"]
        )
        assert ids(rest) == ["p04", "p00"]
        by_id = await ask(api, "/v1/profiles", where="age eq 20", after="p00", limit=1)
        assert (ids(by_id), by_id["next"]) == (["p04"], "p04")

    serve(scenario, schema=SCHEMA)


def test_counts_and_plans(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await fill(api)
        assert await ask(api, "/v1/count") == {"count": 12}
        assert await ask(api, "/v1/count", where="age eq 20") == {"count": 3}
        counted = await ask(api, "/v1/count", where='name eq "N5"', explain="true")
        assert counted == {
            "count": 1,
            "plan": {"way": "scan", "indexes": [], "keys_read": 0, "profiles_read": 12},
        }
        page = await ask(api, "/v1/profiles", where="age eq 20", explain="true")
        assert page["plan"] == {
            "way": "index", "indexes": ["age"], "keys_read": 3, "profiles_read": 3,
        }  # fmt: skip
        response = await api.call(
            "GET",
            "/v1/profiles?where=age+eq+20&explain=true&limit=2",
            headers={"Accept": "application/msgpack"},
        )
        packed = msgpack.unpackb(await response.read())
        assert ids(packed) == ["p00", "p04"]
        assert (packed["next"], packed["plan"]["way"]) == ("p04", "index")

    serve(scenario, schema=SCHEMA)


def test_what_is_wrong_is_told_with_its_place(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        problem = await api.problem(422, "invalid-filter", "GET", "/v1/profiles?where=age+equals+3")
        assert problem["position"] == 4
        assert "'equals'" in problem["detail"]
        await api.problem(422, "invalid-filter", "GET", "/v1/count?where=age")
        await api.problem(422, "invalid-filter", "GET", "/v1/profiles?order=age&after=x")
        await api.problem(422, "invalid-filter", "GET", "/v1/profiles?order=-")
        await api.problem(422, "invalid-input", "GET", "/v1/profiles?where=age+pr&explain=yes")
        await api.problem(422, "invalid-input", "GET", "/v1/profiles?where=age+pr&limit=1001")
        await api.problem(422, "invalid-name", "GET", "/v1/profiles?where=age+pr&after=%0A")

    serve(scenario)


def test_an_export_is_one_whole_file(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await fill(api)
        response = await api.call("GET", "/v1/export?format=jsonl")
        text = await response.text()
        assert int(response.headers["Content-Length"]) == len(text.encode())
        assert 'filename="profiles.jsonl"' in response.headers["Content-Disposition"]
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["age"] for row in rows] == [20 + number % 4 for number in range(12)]
        response = await api.call("GET", "/v1/export")
        assert (await response.read())[:4] == b"PAR1"
        await api.problem(422, "invalid-input", "GET", "/v1/export?format=csv")

    serve(scenario, schema=SCHEMA)


def test_a_server_without_pyarrow_says_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(api: Api) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        await api.problem(501, "analytics-not-installed", "GET", "/v1/export")
        assert (await api.call("GET", "/v1/export?format=jsonl")).status == 200

    serve(scenario)
