"""The server is held to its OpenAPI document, by generated requests against a real port."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from crdtstore.replica.replica import Replica
from crdtstore.server import application, openapi
from crdtstore.server.application import _ROUTES
from crdtstore.server.forms import encode_msgpack
from tests.patience import PATIENCE_S

CHECKS = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
SCHEMA = schemathesis.openapi.from_dict(
    openapi.document(), config=schemathesis.Config.from_dict(CHECKS)
)


@schemathesis.serializer("application/msgpack")
def msgpack_body(ctx: Any, value: Any) -> bytes:
    """Serialise a generated body; what msgpack cannot carry is sent as no msgpack at all."""
    try:
        return encode_msgpack(value)
    except (TypeError, ValueError, OverflowError):
        return b"\xc1"


TESTED = SCHEMA.exclude(path=["/v1/link", "/v1/stream"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a replica on a loopback port from a thread of its own."""
    loop = asyncio.new_event_loop()
    directory: Path = tmp_path_factory.mktemp("openapi")
    stopping = asyncio.Event()
    started = threading.Event()
    addresses: list[str] = []

    async def serve() -> None:
        async with Replica.open(directory / "eu", name="eu") as replica:
            await replica.write("ann", {"email": "ann@example.com"}, source="crm")
            runner = web.AppRunner(application(replica), shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            started.set()
            await stopping.wait()
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_S)
    yield addresses[0]
    loop.call_soon_threadsafe(stopping.set)
    thread.join(PATIENCE_S)
    loop.close()


def is_endless(case: Any) -> bool:
    """Say whether a request asks the change feed to go on for ever."""
    if case.operation.path != "/v1/changes":
        return False
    accept = str((case.headers or {}).get("Accept", ""))
    return "event-stream" in accept or "follow" in (case.query or {})


@TESTED.parametrize()
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(case: Any, url: str) -> None:
    if is_endless(case):
        return
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        unsupported_method,
    ]
    if case.operation.path != "/v1/writes":  # there a wrong item is told in a 200
        checks.append(negative_data_rejection)
    case.call_and_validate(base_url=url, checks=checks)


def test_the_document_names_every_route_and_no_other() -> None:
    documented = {
        (method.upper(), path)
        for path, item in openapi.document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    served = {(method, path.replace(":[^/]+", "")) for method, path, _ in _ROUTES}
    assert documented == served


def test_every_reference_and_example_holds() -> None:
    import jsonschema_rs

    document = openapi.document()
    components = document["components"]["schemas"]
    for name in components:
        root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}
        jsonschema_rs.validator_for(root)
    for path, method in (("/v1/profiles/{id}", "patch"), ("/v1/writes", "post")):
        content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
        root = {**content["schema"], "components": {"schemas": components}}
        example = content["examples"]["example"]["value"]
        assert jsonschema_rs.validator_for(root).is_valid(example)
