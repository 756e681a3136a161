"""Bad input over HTTP: each has a clear problem, and changes nothing."""

import asyncio
import gzip
from typing import Any

import msgpack
import pytest

from crdtstore import limits
from crdtstore.schema import Schema
from crdtstore.server.service import SERVICE
from tests.patience import until

PATH = "/v1/profiles/ann"
AS_JSON = {"Content-Type": "application/json"}
AS_MSGPACK = {"Content-Type": "application/msgpack"}


def patch_of(value: str) -> bytes:
    return b'{"source":"crm","fields":{"x":%b}}' % value.encode()


MALFORMED = {
    "not JSON": b"{",
    "empty": b"",
    "trailing text": b"{} {}",
    "not UTF-8": b'{"source":"\xff","fields":{}}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "NaN": patch_of("NaN"),
    "Infinity": patch_of("-Infinity"),
    "key twice": patch_of('1,"x":2'),
    "nested key twice": patch_of('{"a":1,"a":1}'),
    "too deep": patch_of("[" * 100_000 + "]" * 100_000),
    "too many digits": patch_of("9" * 5000),
    "too many containers": patch_of("[" + "[]," * limits.CONTAINERS_PER_BODY_MAX + "1]"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_json_is_a_400(serve: Any, name: str) -> None:
    async def scenario(api: Any) -> None:
        for method, path in (("PATCH", PATH), ("POST", "/v1/writes")):
            await api.problem(
                400, "malformed-body", method, path, data=MALFORMED[name], headers=AS_JSON
            )

    serve(scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xc1", b"\x81\xa1a", b"\x80\x80", b"\x81\x01\x01", b"\x82\xa1a\x01\xa1a\x02",
        b"\xa1\xff", b"\xc7\x01\x05x", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000 + b"\x01",
        b"\xc7\x0c\xff" + b"\xff" * 12, b"\x81\xc4\x01a\x01",
        b"\x91" + b"\xdd\x00\x10\x00\x00" + b"\x90" * 2**20,
    ],
)  # fmt: skip
def test_malformed_msgpack_is_a_400(serve: Any, body: bytes) -> None:
    async def scenario(api: Any) -> None:
        for method, path in (("PATCH", PATH), ("POST", "/v1/writes")):
            await api.problem(400, "malformed-body", method, path, data=body, headers=AS_MSGPACK)

    serve(scenario)


REFUSED = {
    "not a map": (422, "invalid-input", b"[]"),
    "no fields": (422, "invalid-input", b'{"source":"crm"}'),
    "unknown key": (422, "invalid-input", b'{"source":"crm","fields":{},"if_version":"x"}'),
    "source is a number": (422, "invalid-input", b'{"source":1,"fields":{}}'),
    "fields are a list": (422, "invalid-input", b'{"source":"crm","fields":[]}'),
    "empty source": (422, "invalid-name", b'{"source":"","fields":{"x":1}}'),
    "empty field": (422, "invalid-name", b'{"source":"crm","fields":{"":1}}'),
    "control character": (422, "invalid-name", b'{"source":"crm","fields":{"a\\u0001":1}}'),
    "surrogate in a name": (422, "invalid-name", b'{"source":"crm","fields":{"\\ud800":1}}'),
    "long field": (422, "invalid-name", b'{"source":"crm","fields":{"%b":1}}' % (b"f" * 129)),
    "2**63": (422, "invalid-value", patch_of(str(2**63))),
    "-2**63 - 1": (422, "invalid-value", patch_of(str(-(2**63) - 1))),
    "nested 2**64": (422, "invalid-value", patch_of(f'{{"a":[{2**64}]}}')),
    "1e999": (422, "invalid-value", patch_of("1e999")),
    "lone surrogate": (422, "invalid-value", patch_of('"\\ud800"')),
    "nested surrogate": (422, "invalid-value", patch_of('[{"a":"\\udfff"}]')),
    "surrogate key": (422, "invalid-value", patch_of('[{"\\udfff":1}]')),
    "bad base64": (422, "invalid-value", patch_of('{"$bytes":"?"}')),
    "bad datetime": (422, "invalid-value", patch_of('{"$datetime":"tomorrow"}')),
    "naive datetime": (422, "invalid-value", patch_of('{"$datetime":"2026-01-01T00:00:00"}')),
    "oversize value": (422, "limit-exceeded", patch_of('"' + "x" * 70_000 + '"')),
    "oversize list": (422, "limit-exceeded", patch_of("[" + "1," * 70_000 + "1]")),
    "nested value": (422, "limit-exceeded", patch_of("[" * 60 + "]" * 60)),
    "oversize element": (422, "limit-exceeded", patch_of('{"add":["' + "x" * 600 + '"]}')),
    "two operations": (422, "invalid-operation", patch_of('{"add":[1],"increment":1}')),
    "add no list": (422, "invalid-operation", patch_of('{"add":"vip"}')),
    "increment by text": (422, "invalid-operation", patch_of('{"increment":"1"}')),
    "increment by true": (422, "invalid-operation", patch_of('{"increment":true}')),
    "decrement by 2**63 + 1": (422, "invalid-value", patch_of(f'{{"decrement":{2**63 + 1}}}')),
    "grant false": (422, "invalid-operation", patch_of('{"grant":false}')),
    "map as an element": (422, "invalid-value", patch_of('{"add":[{}]}')),
    "kind by schema": (409, "kind-conflict", b'{"source":"crm","fields":{"tags":1}}'),
    "kind by schema too": (409, "kind-conflict", b'{"source":"crm","fields":{"mail":{"add":[]}}}'),
    "unknown source": (422, "unknown-source", b'{"source":"nobody","fields":{"x":1}}'),
}  # fmt: skip

SCHEMA = Schema.from_toml(
    'sources = ["crm", "cdp"]\n[fields.tags]\nkind = "set"\n[fields.mail]\nkind = "register"\n'
)


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input_is_refused(serve: Any, name: str) -> None:
    status, code, body = REFUSED[name]

    async def scenario(api: Any) -> None:
        await api.problem(status, code, "PATCH", PATH, data=body, headers=AS_JSON)
        await api.write("ann", before=1)
        problem = await api.problem(status, code, "PATCH", PATH, data=body, headers=AS_JSON)
        if code == "limit-exceeded":
            assert problem["size"] > problem["limit"]
            assert problem["unit"] in ("bytes", "levels")

    serve(scenario, schema=SCHEMA)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("invalid-value", float("nan")),
        ("invalid-value", float("-inf")),
        ("invalid-value", 2**64 - 1),
        ("invalid-value", [2**63]),
        ("limit-exceeded", b"x" * 70_000),
    ],
)
def test_msgpack_values_that_cannot_be_stored_are_refused(
    serve: Any, code: str, value: object
) -> None:
    async def scenario(api: Any) -> None:
        body = msgpack.packb({"source": "crm", "fields": {"x": value}})
        await api.problem(422, code, "PATCH", PATH, data=body, headers=AS_MSGPACK)

    serve(scenario)


@pytest.mark.parametrize(
    ("status", "code", "segment"),
    [
        (422, "invalid-name", "a" * 256),
        (422, "invalid-name", "%F0%9F%92%9A" * 64),
        (422, "invalid-name", "%20"),
        (422, "invalid-name", "a%00b"),
        (400, "malformed-path", "a%FFb"),
        (400, "malformed-path", "a%ED%A0%80b"),
        (400, "malformed-path", "100%25%2"),
    ],
)
def test_bad_ids_in_a_path_are_refused(serve: Any, status: int, code: str, segment: str) -> None:
    from yarl import URL

    async def scenario(api: Any) -> None:
        url = URL(f"{api.client.make_url('/v1/profiles/')}{segment}", encoded=True)
        body = {"source": "crm", "fields": {"x": 1}}
        for method in ("GET", "PATCH", "DELETE"):
            options = {"json": body} if method == "PATCH" else {}
            async with api.client.session.request(method, url, **options) as response:
                assert response.status == status
                assert (await response.json())["type"] == f"urn:crdtstore:error:{code}"
        assert api.replica.digest().profiles == 0

    serve(scenario)


def test_an_oversize_document_is_refused_and_left_as_it_was(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        for number in range(5):
            await api.write("ann", **{f"f{number}{part}": "x" * 60_000 for part in "abc"})
        fields = {f"g{part}": "x" * 60_000 for part in "abc"}
        body = {"source": "crm", "fields": fields}
        await api.problem(422, "limit-exceeded", "PATCH", PATH, json=body)
        huge = {"source": "crm", "fields": {f"g{n}": "x" * 60_000 for n in range(6)}}
        await api.problem(422, "limit-exceeded", "PATCH", "/v1/profiles/bob", json=huge)

    serve(scenario)


def test_bodies_of_the_wrong_media_type_size_or_coding_are_refused(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        good = patch_of("1")
        for content_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "x",
            "multipart/form-data",
            "application/json; charset=latin-1",
        ):
            await api.problem(
                415, "unsupported-media-type", "PATCH", PATH, data=good,
                headers={"Content-Type": content_type},
            )  # fmt: skip
        await api.problem(
            415, "unsupported-media-type", "PATCH", PATH, data=gzip.compress(good),
            headers={**AS_JSON, "Content-Encoding": "gzip"},
        )  # fmt: skip
        await api.problem(
            413, "body-too-large", "PATCH", PATH,
            data=b" " * (limits.BODY_BYTES_MAX + 1), headers=AS_JSON,
        )  # fmt: skip

        async def endless() -> Any:
            for _ in range(limits.BODY_BYTES_MAX // 65_536 + 2):
                yield b" " * 65_536

        await api.problem(413, "body-too-large", "PATCH", PATH, data=endless(), headers=AS_JSON)
        await api.problem(
            406, "not-acceptable", "PATCH", PATH, data=good,
            headers={**AS_JSON, "Accept": "text/html"},
        )  # fmt: skip
        for method, path in (("DELETE", PATH), ("POST", PATH + "/revive")):
            await api.problem(400, "unexpected-body", method, path, data=b"{}", headers=AS_JSON)

    serve(scenario)


def test_a_body_just_within_the_limit_is_read(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        body = patch_of("1").ljust(limits.BODY_BYTES_MAX)
        for prefix in ("", "/crdt"):
            assert (await api.call("PATCH", PATH, data=body, headers=AS_JSON)).status == 200, prefix

    serve(scenario)
    serve(scenario, mounted_at="/crdt")


def test_too_many_bodies_at_one_time_are_refused(serve: Any) -> None:
    async def scenario(api: Any) -> None:
        host, port = api.client.host, api.client.port
        head = (
            f"PATCH {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {limits.BODY_BYTES_MAX}\r\n\r\n"
        )
        large = patch_of("1") + b" " * (limits.SMALL_BODY_BYTES + 1)
        writers = []
        room_bytes = limits.BODIES_BYTES_MAX - limits.BODIES_SMALL_BYTES
        for _ in range(room_bytes // limits.BODY_BYTES_MAX):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(head.encode())
            writers.append(writer)
        await asyncio.sleep(0.2)
        assert (await api.call("PATCH", PATH, data=large, headers=AS_JSON)).status == 200
        for writer in writers:
            writer.write(b" " * (limits.BODY_BYTES_MAX - 1))
            await writer.drain()

        # Not asked with large bodies: one of those could take the room that a slow one needs.
        assert api.client.app is not None
        admission = api.client.app[SERVICE].admission
        slow_bytes = len(writers) * (limits.BODY_BYTES_MAX - 1)
        await until(lambda: admission.held_bytes == slow_bytes, "the bodies to be held")
        problem = await api.problem(503, "busy", "PATCH", PATH, data=large, headers=AS_JSON)
        assert "try again" in problem["detail"]
        response = await api.call("PATCH", PATH, data=patch_of("2"), headers=AS_JSON)
        assert response.status == 200, "a small body finds room"
        for writer in writers:
            writer.close()

        async def is_taken() -> bool:
            response = await api.call("PATCH", PATH, data=large, headers=AS_JSON)
            return bool(response.status == 200)

        await until(is_taken, "the budget to be given back")

    serve(scenario)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/profiles?limit=0", 422, "invalid-input"),
        ("GET", "/v1/profiles?limit=1001", 422, "invalid-input"),
        ("GET", "/v1/profiles?limit=x", 422, "invalid-input"),
        ("GET", "/v1/profiles?limit=1&limit=2", 422, "invalid-input"),
        ("GET", "/v1/profiles?limt=1", 422, "invalid-input"),
        ("GET", "/v1/profiles?after=%00", 422, "invalid-name"),
        ("GET", "/v1/profiles/ann/explain?field=", 422, "invalid-name"),
        ("GET", "/v1/changes?since=tomorrow", 422, "invalid-input"),
        ("GET", "/v1/changes?since=99999.0", 422, "invalid-input"),
        ("GET", "/v1/changes?follow=maybe", 422, "invalid-input"),
        ("GET", "/v1/changes?since=tomorrow&follow=true", 422, "invalid-input"),
        ("GET", "/v1/changes?since=" + "1" * 300, 422, "invalid-input"),
        ("GET", "/v1/profiles/nobody", 404, "profile-not-found"),
        ("GET", "/nothing", 404, "path-not-found"),
        ("GET", "/v1/profiles/", 404, "path-not-found"),
        ("GET", "/v1/link", 426, "upgrade-required"),
        ("PUT", "/v1/profiles/ann", 405, "method-not-allowed"),
        ("POST", "/v1/digest", 405, "method-not-allowed"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    serve: Any, method: str, path: str, status: int, code: str
) -> None:
    async def scenario(api: Any) -> None:
        await api.problem(status, code, method, path)
        if status == 405:
            response = await api.call(method, path)
            assert "GET" in response.headers["Allow"].split(", ")

    serve(scenario)
    serve(scenario, mounted_at="/crdt")
