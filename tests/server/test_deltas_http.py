"""Rich texts over HTTP for clients without a CRDT: a delta against a revision."""

from typing import Any

import pytest

from crdtstore.schema import Field, Schema
from tests.server.conftest import Api

SCHEMA = Schema(fields={"note": Field("text"), "name": Field("register")})
PATH = "/v1/profiles/ann/texts/note/delta"


async def edit(api: Api, revision: str, *delta: dict[str, Any]) -> Any:
    body = {"source": "crm", "revision": revision, "delta": list(delta)}
    return await api.json("POST", PATH, json=body)


def test_an_edit_is_answered_by_what_others_changed(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        first = await edit(api, "", {"insert": "brown fox"})
        assert first["meanwhile"] == []
        await edit(api, first["revision"], {"insert": "The ", "attributes": {"bold": True}})
        late = await edit(api, first["revision"], {"retain": 5}, {"insert": " quick"})
        assert late["meanwhile"] == [{"insert": "The ", "attributes": {"bold": True}}]
        assert await api.json("GET", PATH) == {
            "revision": late["revision"],
            "delta": [
                {"insert": "The ", "attributes": {"bold": True}},
                {"insert": "brown quick fox"},
            ],
        }
        profile = await api.json("GET", "/v1/profiles/ann")
        assert profile["fields"]["note"] == "The brown quick fox"
        assert profile["version"] == late["version"]
        nothing = await edit(api, late["revision"])
        assert nothing == {**late, "meanwhile": []}

    serve(scenario, schema=SCHEMA)


def test_an_edit_that_is_sent_again_under_its_id_is_made_once(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        base = (await edit(api, "", {"insert": "text"}))["revision"]
        body = {"source": "crm", "revision": base, "delta": [{"insert": "a "}], "id": "e-1"}
        answers = [await api.json("POST", PATH, json=body) for _ in range(2)]
        assert answers[0] == answers[1]
        assert (await api.json("GET", PATH))["delta"] == [{"insert": "a text"}]
        await api.problem(422, "invalid-input", "POST", PATH, json={**body, "id": 5})

    serve(scenario, schema=SCHEMA)


def test_an_unknown_revision_is_answered_by_the_text(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        made = await edit(api, "", {"insert": "text"})
        body = {"source": "crm", "revision": "0" * 24, "delta": [{"delete": 1}]}
        problem = await api.problem(410, "revision-unknown", "POST", PATH, json=body)
        assert problem["revision"] == made["revision"]
        assert problem["delta"] == [{"insert": "text"}]
        assert problem["kept"] is False

    serve(scenario, schema=SCHEMA)


def test_what_is_not_there_is_not_found(serve: Any) -> None:
    async def scenario(api: Api) -> None:
        await api.problem(404, "profile-not-found", "GET", PATH)
        await api.write("ann", name="Ann")
        assert (await api.json("GET", PATH))["delta"] == []
        await api.problem(409, "kind-conflict", "GET", "/v1/profiles/ann/texts/name/delta")
        await api.json("DELETE", "/v1/profiles/ann")
        await api.problem(410, "profile-erased", "GET", PATH)

    serve(scenario, schema=SCHEMA)


@pytest.mark.parametrize(
    "body",
    [
        {"revision": "", "delta": []},
        {"source": "crm", "delta": []},
        {"source": "crm", "revision": 5, "delta": []},
        {"source": "crm", "revision": "", "delta": {}},
        {"source": "crm", "revision": "", "delta": [1]},
        {"source": "crm", "revision": "", "delta": [{}]},
        {"source": "crm", "revision": "", "delta": [{"insert": ""}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "\ud83d"}]},
        {"source": "crm", "revision": "", "delta": [{"insert": 5}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "a", "delete": 1}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "a", "retain": 1}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "a", "attributes": []}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "a", "attributes": {"": 1}}]},
        {"source": "crm", "revision": "", "delta": [{"insert": "a", "colour": 1}]},
        {"source": "crm", "revision": "", "delta": [{"delete": 0}]},
        {"source": "crm", "revision": "", "delta": [{"delete": True}]},
        {"source": "crm", "revision": "", "delta": [{"delete": 1, "attributes": {}}]},
        {"source": "crm", "revision": "", "delta": [{"retain": 1.5}]},
        {"source": "crm", "revision": "", "delta": [{"retain": 2**31}]},
        {"source": "crm", "revision": "", "delta": [{"delete": 1}]},
        {"source": "", "revision": "", "delta": []},
        {"source": "crm", "revision": "", "delta": [{"retain": 1}] * 10_001},
        {"source": "crm", "revision": "", "delta": [{"insert": "x" * 250_000}]},
        {"source": "crm", "revision": "", "delta": [
            {"insert": "a", "attributes": {f"a{n}": 1 for n in range(33)}}]},
    ],
)  # fmt: skip
def test_what_is_no_edit_is_refused_with_nothing_changed(serve: Any, body: Any) -> None:
    async def scenario(api: Api) -> None:
        before = api.replica.digest()
        response = await api.call("POST", PATH, json=body)
        assert response.status == 422, await response.text()
        assert api.replica.digest() == before

    serve(scenario, schema=SCHEMA)
