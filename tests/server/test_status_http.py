"""State over HTTP: digest, peers, status, verification, health, metrics; and links themselves."""

import asyncio
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from crdtstore.replica.replica import Replica
from crdtstore.replica.status import PeerStatus, ReplicaStatus
from crdtstore.server import application
from crdtstore.server.schemas import COMPONENTS
from crdtstore.server.service import SERVICE
from tests.patience import PATIENCE_S

SECRET = "s" * 32


def test_the_state_is_told(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("ann", x=1)
        digest = api.replica.digest()
        answer = await api.json("GET", "/v1/digest")
        assert answer == {
            "profiles": 1, "digest": digest.digest, "vector": {f"eu/{api.replica.origin}": 1},
        }  # fmt: skip
        status = await api.json("GET", "/v1/status")
        assert (status["name"], status["space"], status["profiles"]) == ("eu", "default", 1)
        assert status["ready"] is True
        report = await api.json("GET", "/v1/verify")
        assert report["is_sound"] is True
        assert await api.json("GET", "/v1/peers") == {"peers": []}
        assert await api.json("GET", "/healthz") == {"status": "alive"}
        assert await api.json("GET", "/readyz") == {"status": "ready"}
        api.client.app[SERVICE].closing.set()
        problem = await api.problem(503, "not-ready", "GET", "/readyz")
        assert "shutting down" in problem["detail"]

    serve(scenario)


def test_a_replica_that_closed_says_so(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        await api.write("ann", x=1)
        await api.replica.close()
        for method, path in (("GET", "/v1/profiles/ann"), ("GET", "/readyz")):
            assert (await api.call(method, path)).status == 503
        body = {"source": "crm", "fields": {"x": 2}}
        response = await api.call("PATCH", "/v1/profiles/ann", json=body)
        assert (await response.json())["type"].endswith(":replica-closed")

    serve(scenario)


def test_metrics_are_prometheus_text_without_anything_personal(serve: Any) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    async def scenario(api: Any) -> None:
        await api.write("ann-of-example", email="ann@example.com")
        await api.write("ann-of-example", email="ann@example.com")
        await api.call("GET", "/v1/profiles/nobody?secret=1")
        response = await api.call("GET", "/metrics")
        assert response.content_type == "text/plain"
        text = await response.text()
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert samples["crdtstore_profiles", ()] == 1
        assert samples["crdtstore_ready", ()] == 1
        assert samples["crdtstore_noops_total", ()] == 1
        labels = (("method", "PATCH"), ("route", "/v1/profiles/{id}"), ("status", "200"))
        assert samples["crdtstore_http_requests_total", labels] == 2
        assert all(name.startswith("crdtstore_") for name, _ in samples)
        for personal in ("ann", "nobody", "secret=1"):
            assert personal not in text

    serve(scenario)


def test_logs_name_routes_and_nothing_personal(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="crdtstore")

    async def scenario(api: Any) -> None:
        await api.write("ann-of-example", email="ann@example.com")
        await api.call("GET", "/v1/profiles/ann-of-example/explain?field=email")
        await api.call("GET", "/v1/profiles/somebody?q=ann@example.com")

    serve(scenario, token=None)
    access = [record for record in caplog.records if record.name == "crdtstore.access"]
    assert [record.context["route"] for record in access] == [  # type: ignore[attr-defined]
        "/v1/profiles/{id}", "/v1/profiles/{id}/explain", "/v1/profiles/{id}",
    ]  # fmt: skip
    assert [record.context["status"] for record in access] == [200, 200, 422]  # type: ignore[attr-defined]
    everything = " ".join(str(record.__dict__) for record in caplog.records)
    for personal in ("ann-of-example", "ann@example.com", "somebody", "field=email"):
        assert personal not in everything


@pytest.mark.parametrize(("schema", "kind"), [("Status", ReplicaStatus), (None, PeerStatus)])
def test_the_schema_has_every_field_of_a_status(schema: str | None, kind: type) -> None:
    component = (
        COMPONENTS[schema] if schema else COMPONENTS["Peers"]["properties"]["peers"]["items"]
    )
    assert list(component["properties"]) == component["required"]
    assert set(component["properties"]) == {field.name for field in fields(kind)}


def test_two_replicas_link_through_mounted_applications(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as eu:
            outer = aiohttp.web.Application()
            outer.add_subapp("/crdt", application(eu, link_secret=SECRET))
            async with TestServer(outer) as server:
                await link_and_compare(eu, str(server.make_url("/crdt")))

    async def link_and_compare(eu: Replica, url: str) -> None:
        async with Replica.open(tmp_path / "us", name="us", peers=[url], link_secret=SECRET) as us:
            await us.write("ann", {"x": 1}, source="crm")
            await eu.write("bob", {"x": 2}, source="crm")
            async with asyncio.timeout(PATIENCE_S):
                while eu.digest().digest != us.digest().digest or eu.digest().profiles < 2:
                    await asyncio.sleep(0.02)
            async with aiohttp.ClientSession() as session:
                async with session.get(url + "/v1/peers") as response:
                    (peer,) = (await response.json())["peers"]
                assert (peer["name"], peer["direction"], peer["state"]) == ("us", "in", "live")

    asyncio.run(scenario())


def test_shutting_down_waits_for_no_silent_peer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as eu:
            server = TestServer(application(eu))
            await server.start_server(shutdown_timeout=30)
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                f"GET /v1/link HTTP/1.1\r\nHost: {server.host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            assert b"101" in await reader.readline()
            _, silent = await asyncio.open_connection(server.host, server.port)
            silent.write(b"GET /v1/digest HTTP/1.1\r\n")
            await asyncio.sleep(0.1)
            started_s = asyncio.get_running_loop().time()
            await server.close()
            assert asyncio.get_running_loop().time() - started_s < 25, (
                "it does not wait for the silent"
            )
            writer.close()
            silent.close()

    asyncio.run(scenario())
