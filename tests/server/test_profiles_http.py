"""Profiles over HTTP: what is written comes back, by any id, in both forms, under conditions."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgpack
import pytest

JSON = "application/json"
MSGPACK = "application/msgpack"


def test_a_write_is_answered_with_its_version_and_read_back(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        body = {
            "source": "salesforce",
            "fields": {
                "email": "ann@example.com",
                "tags": {"add": ["vip", "lead"]},
                "logins": {"increment": 2},
                "marketing": {"grant": True},
                "phone": None,
                "like_an_operation": {"set": {"add": [1]}},
            },
        }
        response = await api.call("PATCH", "/v1/profiles/ann", json=body)
        result = await response.json()
        assert result["id"] == "ann"
        assert sorted(result["changed"]) == [
            "email", "like_an_operation", "logins", "marketing", "tags",
        ]  # fmt: skip
        assert response.headers["ETag"] == f'"{result["version"]}"'
        profile = await api.json("GET", "/v1/profiles/ann")
        assert profile == {
            "id": "ann",
            "version": result["version"],
            "fields": {
                "email": "ann@example.com",
                "like_an_operation": {"add": [1]},
                "logins": 2,
                "marketing": True,
                "tags": ["lead", "vip"],
            },
        }
        again = await api.json(
            "PATCH",
            "/v1/profiles/ann",
            json={"source": "salesforce", "fields": {"email": "ann@example.com"}},
        )
        assert again == {"id": "ann", "version": result["version"], "changed": []}
        removal = {"source": "cdp", "fields": {"tags": {"remove": ["lead"]}}}
        await api.json("PATCH", "/v1/profiles/ann", json=removal)
        assert api.replica.read("ann")["tags"] == ["vip"]

    serve(scenario)


@pytest.mark.parametrize("prefix", ["", "/crdt"])
@pytest.mark.parametrize(
    "profile_id", ["a/b", "a b", "💚", "100%", "%41", "a+b", "a?b#c", "{x}", "explain", "..", "ü"]
)
def test_every_id_works_in_a_path(serve: Any, profile_id: str, prefix: str) -> None:
    async def scenario(api: Any) -> None:
        base = api.client.make_url(prefix + "/v1/profiles/")
        from yarl import URL

        raw = "".join(f"%{byte:02X}" for byte in profile_id.encode())
        url = URL(f"{base}{raw}", encoded=True)
        body = {"source": "crm", "fields": {"x": 1}}
        async with api.client.session.patch(url, json=body) as response:
            assert response.status == 200, await response.text()
        assert api.replica.read(profile_id)["x"] == 1
        async with api.client.session.get(url) as response:
            assert (await response.json())["id"] == profile_id
        async with api.client.session.get(URL(f"{url}/explain", encoded=True)) as response:
            assert (await response.json())["id"] == profile_id
        if profile_id != "..":  # clients and servers drop dot segments that are not escaped
            plain = URL(f"{base}{quote(profile_id, safe='')}", encoded=True)
            async with api.client.session.get(plain) as response:
                assert (await response.json())["id"] == profile_id

    serve(scenario, mounted_at=prefix)


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 2**63 - 1, -(2**63), 1.5, -0.0, 1.0, True, False, "", "💚", [], {}, [[], {}],
        {"a": [1, {"b": None}]}, {"$bytes": "x"}, {"$datetime": 1}, {"$$bytes": [1]},
        {"$bytes": 1, "b": 2}, {"$other": 1}, b"", b"\x00\xff", [b"x", {"y": b"z"}],
        datetime(2026, 11, 20, 10, 0, 0, 123456, UTC), [datetime(1, 1, 1, tzinfo=UTC)],
        {"$bytes": b"raw"},
    ],
)  # fmt: skip
def test_a_value_comes_back_as_it_went_in(serve: Any, value: Any) -> None:
    from crdtstore.server.forms import JSON as JSON_FORM
    from crdtstore.server.forms import MSGPACK as MSGPACK_FORM

    async def scenario(api: Any) -> None:
        for form in (JSON_FORM, MSGPACK_FORM):
            body = {"source": form.media_type, "fields": {"x": {"set": form.value_out(value)}}}
            headers = {"Content-Type": form.media_type, "Accept": form.media_type}
            response = await api.call(
                "PATCH", "/v1/profiles/ann", data=form.encode(body), headers=headers
            )
            assert response.status == 200, await response.text()
            assert response.content_type == form.media_type
            stored = api.replica.read("ann")["x"]
            assert repr(stored) == repr(value)
            response = await api.call("GET", "/v1/profiles/ann", headers=headers)
            fields = form.parse(await response.read())["fields"]
            assert repr(form.value_in(fields["x"])) == repr(value)

    serve(scenario)


def test_conditions_guard_reads_and_writes(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        version = (await api.write("ann", x=1))["version"]
        path = "/v1/profiles/ann"
        for tag, status in (
            (f'"{version}"', 304), (f'W/"{version}"', 304), ("*", 304),
            (f'"other", "{version}"', 304), ('"other"', 200),
        ):  # fmt: skip
            response = await api.call("GET", path, headers={"If-None-Match": tag})
            assert response.status == status, tag
            assert response.headers["ETag"] == f'"{version}"'
        body = {"source": "crm", "fields": {"x": 2}}
        for tag in ('"other"', '"other", "another"', f'W/"{version}"'):
            stale = await api.problem(
                412, "version-mismatch", "PATCH", path, json=body, headers={"If-Match": tag}
            )
            assert stale["actual"] == version
        headers = {"If-Match": "*"}
        nobody = "/v1/profiles/nobody"
        await api.problem(412, "version-mismatch", "PATCH", nobody, json=body, headers=headers)
        await api.problem(
            400, "malformed-header", "PATCH", path, json=body, headers={"If-Match": "bare"}
        )
        for tag in (f'"{version}"', "*"):
            await api.json("PATCH", path, json=body, headers={"If-Match": tag})
        newer = api.replica.read("ann").version
        await api.problem(
            412, "version-mismatch", "DELETE", path, headers={"If-Match": f'"{version}"'}
        )
        headers = {"If-Match": f'"{version}", "{newer}"'}
        await api.json("PATCH", path, json={"source": "crm", "fields": {"x": 3}}, headers=headers)
        assert api.replica.read("ann")["x"] == 3

    serve(scenario)


def test_a_write_may_ask_that_the_profile_is_new(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        body = {"source": "crm", "fields": {"x": 1}}
        path, headers = "/v1/profiles/ann", {"If-None-Match": "*"}
        version = (await api.json("PATCH", path, json=body, headers=headers))["version"]
        for tag in ("*", f'"{version}"'):
            await api.problem(
                412, "version-mismatch", "PATCH", path, json=body, headers={"If-None-Match": tag}
            )
        await api.json("PATCH", path, json=body, headers={"If-None-Match": '"other"'})

    serve(scenario)


def test_an_erased_profile_is_gone_until_it_is_revived(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("ann", x=1)
        path = "/v1/profiles/ann"
        erased = await api.json("DELETE", path)
        assert (await api.json("DELETE", path)) == erased
        await api.problem(410, "profile-erased", "GET", path)
        await api.problem(410, "profile-erased", "GET", path + "/explain")
        body = {"source": "crm", "fields": {"x": 1}}
        await api.problem(410, "profile-erased", "PATCH", path, json=body)
        revived = await api.json("POST", path + "/revive")
        assert revived["version"] != erased["version"]
        await api.json("PATCH", path, json=body)
        assert (await api.json("GET", path))["fields"] == {"x": 1}

    serve(scenario)


def test_explain_tells_every_candidate(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("ann", email="a@example.com", n=b"".decode())
        body = {"source": "cdp", "fields": {"email": "b@example.com", "key": {"$bytes": "aGk="}}}
        await api.json("PATCH", "/v1/profiles/ann", json=body)
        answer = await api.json("GET", "/v1/profiles/ann/explain?field=email")
        assert answer["version"] == api.replica.read("ann").version
        assert [
            (c["source"], c["value"], c["survives"], c["replica"]) for c in answer["candidates"]
        ] == [("cdp", "b@example.com", True, "eu"), ("crm", "a@example.com", False, "eu")]
        assert all(c["origin"] == api.replica.origin for c in answer["candidates"])
        assert datetime.fromisoformat(answer["candidates"][0]["at"]).tzinfo is not None
        everything = await api.json("GET", "/v1/profiles/ann/explain")
        assert {c["field"] for c in everything["candidates"]} == {"email", "key", "n"}
        assert {"$bytes": "aGk="} in [c["value"] for c in everything["candidates"]]
        await api.problem(404, "profile-not-found", "GET", "/v1/profiles/bob/explain")

    serve(scenario)


@pytest.mark.parametrize("accept", [JSON, MSGPACK])
def test_pages_go_through_all_profiles_in_order(serve: Any, accept: str) -> None:
    async def scenario(api: Any) -> None:
        ids = [f"p{number:03}" for number in range(130)]
        for start in range(0, 130, 65):
            batch = [
                {"id": i, "source": "crm", "fields": {"x": i}} for i in ids[start : start + 65]
            ]
            await api.json("POST", "/v1/writes", json={"writes": batch})
        await api.json("DELETE", "/v1/profiles/p005")
        seen, after, pages = [], "", 0
        while after is not None:
            response = await api.call(
                "GET", "/v1/profiles", params={"after": after, "limit": 60},
                headers={"Accept": accept},
            )  # fmt: skip
            raw = await response.read()
            page = msgpack.unpackb(raw) if accept == MSGPACK else await response.json()
            assert len(page["profiles"]) <= 60
            seen += [(p["id"], p["fields"]) for p in page["profiles"]]
            after = page["next"]
            pages += 1
        assert seen == [(i, {"x": i}) for i in ids if i != "p005"]
        assert pages == 3
        default = await api.json("GET", "/v1/profiles")
        assert len(default["profiles"]) == 100
        assert default["next"] == "p100"

    serve(scenario)


def test_a_page_ends_early_before_it_grows_too_large(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        large = {f"f{number}": "x" * 60_000 for number in range(3)}
        for number in range(60):
            await api.write(f"p{number:02}", **large)
        page = await api.json("GET", "/v1/profiles?limit=1000")
        assert 40 < len(page["profiles"]) < 60
        rest = await api.json("GET", f"/v1/profiles?limit=1000&after={page['next']}")
        ids = [profile["id"] for profile in page["profiles"] + rest["profiles"]]
        assert ids == [f"p{number:02}" for number in range(60)]
        assert rest["next"] is None

    serve(scenario)
