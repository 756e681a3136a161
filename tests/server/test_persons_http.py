"""Persons over HTTP: found, read, explained, and decided about."""

from collections.abc import Callable

from tests.server.conftest import Api

Serve = Callable[..., None]


async def family(api: Api) -> None:
    await api.write("a1", identifiers={"add": ["email: Ann@example.com", "user_id:1"]}, name="Ann")
    await api.write("a2", identifiers={"add": ["email:ann@example.com"]}, name="A.", tags=["x"])
    await api.write("b1", identifiers={"add": ["user_id:2"]}, name="Bob")


def test_a_person_is_found_and_read(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        found = await api.json("GET", "/v1/persons?identifier=email:ANN@example.com")
        read = await api.json("GET", "/v1/persons/a2")
        assert found == {**read, "others": []}
        assert read["id"] == "a1"
        assert read["profiles"] == ["a1", "a2"]
        assert read["fields"] == {
            "identifiers": ["email:ann@example.com", "user_id:1"], "name": "A.", "tags": ["x"],
        }  # fmt: skip
        assert read["dropped"] == []
        response = await api.call("GET", "/v1/persons/a1")
        tag = response.headers["ETag"]
        assert tag == f'"{read["version"]}"'
        again = await api.call("GET", "/v1/persons/a2", headers={"If-None-Match": tag})
        assert again.status == 304
        explained = await api.json("GET", "/v1/persons/a2/explain?field=name")
        assert explained["id"] == "a1"
        assert [(c["profile"], c["value"]) for c in explained["candidates"]] == [
            ("a2", "A."), ("a1", "Ann"),
        ]  # fmt: skip

    serve(scenario)


def test_who_else_holds_an_identifier_is_told(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        await api.write("b1", identifiers={"add": ["email:ann@example.com"]})
        found = await api.json("GET", "/v1/persons?identifier=email:ann@example.com")
        assert found["others"] == ["b1"]
        (link,) = found["dropped"]
        assert (link["identifier"], link["profile"]) == ("email:ann@example.com", "b1")
        assert "values of user_id" in link["reason"]

    serve(scenario)


def test_who_is_not_there(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        persons = "/v1/persons"
        unknown = f"{persons}?identifier=email:bob@example.com"
        await api.problem(404, "person-not-found", "GET", unknown)
        await api.problem(404, "person-not-found", "GET", f"{persons}?identifier=user_id:null")
        await api.problem(422, "invalid-value", "GET", f"{persons}?identifier=email:ann")
        await api.problem(422, "invalid-input", "GET", f"{persons}?identifier=ann")
        await api.problem(422, "invalid-input", "GET", persons)
        await api.problem(404, "profile-not-found", "GET", f"{persons}/nobody")
        await api.json("DELETE", "/v1/profiles/a1")
        await api.problem(410, "profile-erased", "GET", f"{persons}/a1")

    serve(scenario)


def test_stewards_merge_and_part(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        before = await api.json("GET", "/v1/persons/b1")
        pair = {"profiles": ["b1", "a2"], "source": "ann.smith"}
        merged = await api.json("POST", "/v1/persons/merge", json=pair)
        assert merged["profiles"] == ["a1", "a2", "b1"]
        edges = await api.json("GET", "/v1/persons/b1/explain?field=identity.match")
        assert {c["source"] for c in edges["candidates"]} == {"ann.smith"}
        parted = await api.json("POST", "/v1/persons/unmerge", json={"profiles": ["b1", "a1"]})
        assert {**parted, "version": before["version"]} == before
        alone = await api.json("POST", "/v1/persons/unmerge", json={"profiles": ["a1"]})
        assert alone["profiles"] == ["a1"]
        apart = await api.json("POST", "/v1/persons/not-match", json={"profiles": ["a1", "b1"]})
        assert apart["profiles"] == ["a1"]

    serve(scenario)


def test_stewards_pin_and_ignore(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        pin = {"profile": "a1", "field": "name", "value": {"$datetime": "2026-01-01T00:00:00Z"}}
        pinned = await api.json("POST", "/v1/persons/pin", json=pin)
        assert pinned["fields"]["name"] == {"$datetime": "2026-01-01T00:00:00Z"}
        read = await api.json("POST", "/v1/persons/pin", json={**pin, "value": None})
        assert read["fields"]["name"] == "A."
        chosen = {"profile": "a2", "field": "name", "of": "crm"}
        ignored = await api.json("POST", "/v1/persons/ignore", json=chosen)
        assert ignored["fields"]["name"] == "Ann"
        regarded = await api.json("POST", "/v1/persons/regard", json=chosen)
        assert regarded["fields"]["name"] == "A."

    serve(scenario)


def test_decisions_that_cannot_be(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        merge, pin = "/v1/persons/merge", "/v1/persons/pin"
        for profiles in (["a1"], ["a1", "b1", "a2"], "a1", ["a1", 2], ["a1", "a1"]):
            body = {"profiles": profiles}
            await api.problem(422, "invalid-input", "POST", merge, json=body)
        await api.problem(
            404, "profile-not-found", "POST", merge, json={"profiles": ["a1", "nobody"]}
        )
        await api.problem(
            422, "invalid-input", "POST", merge, json={"profiles": ["a1", "b1"], "source": 3}
        )
        body = {"profile": "a1", "field": "identifiers", "value": "x"}
        await api.problem(409, "kind-conflict", "POST", pin, json=body)
        body = {"profile": "a1", "field": "name", "of": "cdp"}
        await api.problem(422, "invalid-input", "POST", "/v1/persons/ignore", json=body)

    serve(scenario)
