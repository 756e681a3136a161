"""Membership over HTTP: the list, the removal, and what cannot be removed."""

from typing import Any

from crdtstore.errors import ReplicaRemoved


def test_replicas_are_listed_and_removed(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        assert await api.json("GET", "/v1/replicas") == {"replicas": []}
        api.replica._store.replication.learn_names({5: "us west", 6: "ap"})
        listed = (await api.json("GET", "/v1/replicas"))["replicas"]
        assert [(entry["name"], entry["state"]) for entry in listed] == [
            ("ap", "indirect"), ("us west", "indirect"),
        ]  # fmt: skip
        assert listed[0]["origin"] == f"{6:016x}"
        removed = {"name": "us west", "state": "removed"}
        for _ in range(2):
            assert await api.json("DELETE", "/v1/replicas/us%20west") == removed
        listed = (await api.json("GET", "/v1/replicas"))["replicas"]
        assert [entry["state"] for entry in listed] == ["indirect", "removed"]

    serve(scenario)


def test_what_cannot_be_removed_is_a_problem(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.problem(404, "replica-unknown", "DELETE", "/v1/replicas/us")
        await api.problem(422, "invalid-input", "DELETE", "/v1/replicas/eu")
        await api.problem(422, "invalid-name", "DELETE", "/v1/replicas/" + "x" * 65)
        await api.problem(400, "malformed-path", "DELETE", "/v1/replicas/%ff")
        await api.problem(422, "invalid-input", "DELETE", "/v1/replicas/us?force=true")
        await api.problem(405, "method-not-allowed", "PUT", "/v1/replicas/us")

    serve(scenario)


def test_a_removed_replica_refuses_writes_and_is_not_ready(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("ann", x=1)
        api.replica._exchange.remove_replicas({"eu"})
        body = {"source": "crm", "fields": {"x": 2}}
        path = "/v1/profiles/ann"
        await api.problem(409, "replica-removed", "PATCH", path, json=body)
        await api.problem(409, "replica-removed", "DELETE", path)
        problem = await api.problem(503, "not-ready", "GET", "/readyz")
        assert problem["detail"] == str(ReplicaRemoved("eu"))
        assert (await api.json("GET", path))["fields"] == {"x": 1}

    serve(scenario)
