"""Erasures and the subject's access over HTTP."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.patience import until
from tests.server.conftest import Api

Serve = Callable[..., None]
PERSON = "/v1/persons?identifier=email:ann@example.com"


async def family(api: Api) -> None:
    await api.write("a1", identifiers={"add": ["email:ann@example.com"]}, name="Ann")
    await api.write("a2", identifiers={"add": ["email:ann@example.com"]}, city="Bonn")
    await api.write("b1", identifiers={"add": ["email:bob@example.com"]}, name="Bob")


async def confirmed(api: Api, erasure_id: str) -> dict[str, Any]:
    """Wait until the replica has confirmed an erasure; return it."""
    erasure: dict[str, Any] = {}

    async def is_complete() -> bool:
        erasure.update(await api.json("GET", f"/v1/erasures/{erasure_id}"))
        return bool(erasure["complete"])

    await until(is_complete, "the confirmation", erasure)
    return erasure


def test_a_person_is_erased_and_the_replica_confirms(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        erasure = await api.json("DELETE", PERSON + "&source=dpo")
        assert (erasure["kind"], erasure["source"]) == ("identifier", "dpo")
        assert erasure["profiles"] == ["a1", "a2"]
        assert [each["name"] for each in erasure["replicas"]] == ["eu"]
        after = await confirmed(api, erasure["id"])
        assert [each["state"] for each in after["replicas"]] == ["confirmed"]
        await api.problem(404, "person-not-found", "GET", PERSON)
        await api.problem(410, "profile-erased", "GET", "/v1/profiles/a1")
        body = {"source": "crm", "fields": {"identifiers": {"add": ["email:ann@example.com"]}}}
        await api.problem(409, "identifier-suppressed", "PATCH", "/v1/profiles/new", json=body)
        page = await api.json("GET", "/v1/erasures?limit=1")
        assert [each["id"] for each in page["erasures"]] == [erasure["id"]]
        assert page["next"] == erasure["id"]
        rest = await api.json("GET", f"/v1/erasures?after={erasure['id']}")
        assert rest == {"erasures": [], "next": None}
        path = f"/v1/erasures/{erasure['id']}/lift"
        assert (await api.json("POST", path, json={"source": "dpo"}))["lifted_by"] == "dpo"
        assert (await api.call("PATCH", "/v1/profiles/new", json=body)).status == 200

    serve(scenario)


def test_a_person_or_a_profile_is_erased_by_the_id_of_a_profile(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        alone = await api.json("DELETE", "/v1/persons?profile=a2&alone=true")
        assert (alone["kind"], alone["profiles"], alone["suppressed"]) == ("profile", ["a2"], 0)
        person = await api.json("DELETE", "/v1/persons?profile=a1")
        assert (person["kind"], person["profiles"], person["suppressed"]) == ("person", ["a1"], 1)

    serve(scenario)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("DELETE", "/v1/persons", 422, "invalid-input"),
        ("DELETE", "/v1/persons?identifier=ann", 422, "invalid-input"),
        ("DELETE", "/v1/persons?identifier=email:a@b.c&profile=a1", 422, "invalid-input"),
        ("DELETE", "/v1/persons?profile=nobody", 404, "profile-not-found"),
        ("DELETE", "/v1/persons?profile=a1&alone=maybe", 422, "invalid-input"),
        ("DELETE", PERSON, 409, "person-ambiguous"),
        ("GET", "/v1/persons/export", 422, "invalid-input"),
        ("GET", "/v1/persons/export?identifier=email:ann@example.com", 409, "person-ambiguous"),
        ("GET", "/v1/erasures/00", 404, "erasure-not-found"),
        ("POST", "/v1/erasures/00/lift", 404, "erasure-not-found"),
    ],
)
def test_what_is_refused(serve: Serve, method: str, path: str, status: int, code: str) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        await api.write("b1", identifiers={"add": ["email:ann@example.com"]})
        for other in ("a1", "a2"):
            await api.json("POST", "/v1/persons/not-match", json={"profiles": [other, "b1"]})
        options = {"json": {}} if method == "POST" else {}
        await api.problem(status, code, method, path, **options)

    serve(scenario)


def test_everything_held_on_a_person_is_exported(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await family(api)
        by_identifier = await api.json("GET", "/v1/persons/export?identifier=email:ann@example.com")
        assert by_identifier == await api.json("GET", "/v1/persons/export?profile=a2")
        assert by_identifier["fields"]["city"] == "Bonn"
        assert [each["id"] for each in by_identifier["profiles"]] == ["a1", "a2"]
        (name,) = [each for each in by_identifier["profiles"][0]["held"] if each["field"] == "name"]
        assert (name["value"], name["replica"]) == ("Ann", "eu")
        explained = await api.json(
            "GET", "/v1/persons/explain?identifier=email:ann@example.com&field=name"
        )
        assert explained == await api.json("GET", "/v1/persons/a1/explain?field=name")

    serve(scenario)


def test_a_number_without_the_library_is_a_clear_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(api: Api) -> None:
        monkeypatch.setitem(sys.modules, "phonenumbers", None)
        path = "/v1/persons?identifier=phone:%2B493090182077"
        problem = await api.problem(501, "library-missing", "GET", path)
        assert "pip install crdtstore[identity]" in problem["detail"]
        body = {"source": "crm", "fields": {"identifiers": {"add": ["phone:+493090182077"]}}}
        await api.problem(501, "library-missing", "PATCH", "/v1/profiles/p", json=body)

    serve(scenario)
