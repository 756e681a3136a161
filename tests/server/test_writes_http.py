"""POST /v1/writes: one result or error per item, in order."""

from typing import Any

import msgpack

from crdtstore import limits


def test_a_bad_item_stops_no_other(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("gone", x=1)
        await api.json("DELETE", "/v1/profiles/gone")
        version = (await api.write("ann", x=0))["version"]
        items = [
            {"id": "ann", "source": "crm", "fields": {"x": 1}},
            {"id": "", "source": "crm", "fields": {"x": 1}},
            {"id": "a" * 256, "source": "crm", "fields": {"x": 1}},
            {"id": "\ud800", "source": "crm", "fields": {"x": 1}},
            {"id": 7, "source": "crm", "fields": {"x": 1}},
            "no write",
            {"id": "bob", "source": "crm"},
            {"id": "bob", "source": "crm", "fields": {"x": 2**63}},
            {"id": "bob", "source": "crm", "fields": {"x": {"$bytes": "?"}}},
            {"id": "bob", "source": "crm", "fields": {"x": {"add": 1}}},
            {"id": "gone", "source": "crm", "fields": {"x": 1}},
            {"id": "ann", "source": "crm", "fields": {"x": 5}, "if_version": version},
            {"id": "eve", "source": "crm", "fields": {"x": 1}, "if_version": version},
            {"id": "bob", "source": "crm", "fields": {"x": 1}, "if_version": 1},
            {"id": "bob", "source": "crm", "fields": {"tags": {"add": ["vip"]}}},
            {"id": "ann", "source": "crm", "fields": {"x": 1}},
        ]
        answer = await api.json("POST", "/v1/writes", json={"writes": items})
        outcomes = [
            result["error"]["type"].rpartition(":")[2] if "error" in result else result["changed"]
            for result in answer["results"]
        ]
        assert outcomes == [
            ["x"], "invalid-name", "invalid-name", "invalid-name", "invalid-input",
            "invalid-input", "invalid-input", "invalid-value", "invalid-value",
            "invalid-operation", "profile-erased", "version-mismatch", "version-mismatch",
            "invalid-input", ["tags"], [],
        ]  # fmt: skip
        assert answer["results"][0]["version"] == api.replica.read("ann").version
        assert dict(api.replica.read("ann")) == {"x": 1}
        assert dict(api.replica.read("bob")) == {"tags": ["vip"]}

    serve(scenario)


def test_a_batch_may_be_empty_but_not_too_long(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        assert await api.json("POST", "/v1/writes", json={"writes": []}) == {"results": []}
        item = {"id": "ann", "source": "crm", "fields": {"x": 1}}
        body = {"writes": [item] * (limits.WRITES_PER_BATCH_MAX + 1)}
        problem = await api.problem(413, "batch-too-long", "POST", "/v1/writes", json=body)
        assert problem["limit"] == limits.WRITES_PER_BATCH_MAX
        wrongs: list[Any] = [[], {}, {"writes": {}}, {"writes": None}, {"writes": [], "more": 1}]
        for wrong in wrongs:
            await api.problem(422, "invalid-input", "POST", "/v1/writes", json=wrong)

    serve(scenario)


def test_a_full_batch_in_msgpack_is_written(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        items = [
            {"id": f"p{number}", "source": "crm", "fields": {"x": number, "b": b"\x00"}}
            for number in range(limits.WRITES_PER_BATCH_MAX)
        ]
        media_type = "application/msgpack"
        response = await api.call(
            "POST",
            "/v1/writes",
            data=msgpack.packb({"writes": items}),
            headers={"Content-Type": media_type, "Accept": media_type},
        )
        results = msgpack.unpackb(await response.read())["results"]
        assert [result["id"] for result in results] == [item["id"] for item in items]
        assert all(result["changed"] == ["x", "b"] for result in results)
        assert api.replica.digest().profiles == limits.WRITES_PER_BATCH_MAX
        assert dict(api.replica.read("p9")) == {"b": b"\x00", "x": 9}

    serve(scenario)
