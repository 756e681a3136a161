"""Conflicts over HTTP: listed, told in the change feed, and chosen from."""

import json
import random
from collections.abc import Callable

from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from tests.engine.stores import frames
from tests.server.conftest import Api

Serve = Callable[..., None]


async def concurrently(api: Api, *profile_ids: str) -> None:
    """Have another replica write the name that this one has written, without having seen it."""
    other = Store.open(
        MemoryStorage(), name="other", random_bits=random.Random(5).getrandbits,
        now_ms=lambda: api.replica._store.now_ms() + 100,
    )  # fmt: skip
    for profile_id in profile_ids:
        await api.write(profile_id, name=f"old {profile_id}")
        other.write(profile_id, {"name": f"new {profile_id}"}, source="crm")
    other.commit()
    store = api.replica._store
    store.replication.learn_names(other.replication.names)
    store.replication.receive_frames(frames(other), store.now_ms())
    await api.write("last", name="last")


def test_a_conflict_is_listed_and_told_in_the_feed(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await concurrently(api, "ann")
        page = await api.json("GET", "/v1/conflicts")
        assert page["next"] is None
        (conflict,) = page["conflicts"]
        assert (conflict["profile"], conflict["field"], conflict["source"]) == (
            "ann", "name", "crm",
        )  # fmt: skip
        assert (conflict["lost"]["value"], conflict["kept"]["value"]) == ("old ann", "new ann")
        assert conflict["lost"]["replica"] == api.replica.name
        assert conflict["kept"]["replica"] == "other"
        assert conflict["settled"] is None
        assert await api.json("GET", f"/v1/conflicts/{conflict['id']}") == conflict
        response = await api.call("GET", "/v1/changes")
        changes = [json.loads(line) for line in (await response.text()).splitlines()]
        assert [change["conflicts"] for change in changes] == [[], [conflict["id"]], []]

    serve(scenario)


def test_the_value_that_lost_is_chosen_once(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await concurrently(api, "ann")
        (conflict,) = (await api.json("GET", "/v1/conflicts"))["conflicts"]
        path = f"/v1/conflicts/{conflict['id']}/choose"
        chosen = await api.json("POST", path, json={"choice": "lost"})
        assert chosen == {**conflict, "settled": chosen["settled"]}
        assert chosen["settled"]["replica"] == api.replica.name
        assert (await api.json("GET", "/v1/profiles/ann"))["fields"]["name"] == "old ann"
        assert (await api.json("GET", "/v1/conflicts"))["conflicts"] == []
        settled = await api.json("GET", "/v1/conflicts?state=settled")
        assert settled["conflicts"] == [chosen]
        await api.problem(409, "conflict-settled", "POST", path, json={"choice": "kept"})
        response = await api.call("GET", "/v1/changes")
        change = json.loads((await response.text()).splitlines()[-1])
        assert change["settled"] == [conflict["id"]]

    serve(scenario)


def test_pages_and_profiles(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await concurrently(api, "a", "b", "c")
        first = await api.json("GET", "/v1/conflicts?limit=2")
        rest = await api.json("GET", f"/v1/conflicts?after={first['next']}")
        found = [conflict["profile"] for conflict in first["conflicts"] + rest["conflicts"]]
        assert found == ["a", "b", "c"]
        assert rest["next"] is None
        (conflict,) = (await api.json("GET", "/v1/conflicts?profile=b"))["conflicts"]
        assert conflict["profile"] == "b"

    serve(scenario)


def test_what_is_wrong_is_told(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await concurrently(api, "ann")
        await api.problem(404, "conflict-not-found", "GET", "/v1/conflicts/0123")
        (conflict,) = (await api.json("GET", "/v1/conflicts"))["conflicts"]
        path = f"/v1/conflicts/{conflict['id']}/choose"
        for body in ({}, {"choice": "both"}, {"choice": 1}, {"choice": "lost", "more": 1}):
            await api.problem(422, "invalid-input", "POST", path, json=body)
        for query in ("state=lost", "after=x", "limit=0", "profiles=a"):
            await api.problem(422, "invalid-input", "GET", f"/v1/conflicts?{query}")

    serve(scenario)


def test_persons_are_in_the_feed_if_asked_for(serve: Serve) -> None:
    async def scenario(api: Api) -> None:
        await api.write("a", identifiers={"add": ["email:ann@example.com"]})
        await api.write("b", identifiers={"add": ["email:ann@example.com"]})
        response = await api.call("GET", "/v1/changes?persons=true")
        changes = [json.loads(line) for line in (await response.text()).splitlines()]
        person = await api.json("GET", "/v1/persons/a")
        told = {name: person[name] for name in ("id", "profiles", "version")}
        assert [change["persons"] for change in changes] == [[told], [told]]
        assert all(change["persons_complete"] for change in changes)
        response = await api.call("GET", "/v1/changes")
        assert "persons" not in json.loads((await response.text()).splitlines()[0])

    serve(scenario)
