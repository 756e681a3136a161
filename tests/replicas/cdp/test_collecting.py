"""Collecting over HTTP: what is taken, what is refused and why, and what becomes of it."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from replicas.cdp.errors import LogInUse
from tests.replicas.cdp.service import (
    AUTH,
    KEY,
    beside,
    events_of,
    profile_of,
    track,
    until,
    until_learned,
    write_config,
)


def test_each_kind_of_event_is_taken_at_its_address(tmp_path: Path) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            for kind, more in (
                ("identify", {"traits": {"email": "Ann@Example.com", "firstName": "Ann", "x": 1}}),
                ("track", {"event": "Signed Up", "properties": {"plan": "pro"}}),
                ("page", {"name": "Home", "properties": {"path": "/"}}),
                ("screen", {"name": "Start"}),
                ("group", {"groupId": "acme", "traits": {"name": "Acme"}}),
                ("alias", {"previousId": "old"}),
            ):
                for path in (f"/v1/{kind}", f"/v1/{kind[0]}"):
                    assert await sender.post(path, {"userId": "7", **more}) == (
                        200,
                        {"success": True},
                    )
            events = events_of(service)
            assert [event.kind for event in events[::2]] == [
                "identify", "track", "page", "screen", "group", "alias",
            ]  # fmt: skip
            assert len({event.profile_id for event in events}) == 1
            assert len({event.message_id for event in events}) == 12, "one is made up for each"
            assert events[2].name == "Signed Up"
            assert events[2].properties == {"plan": "pro"}
            assert events[2].write_key == "web"
            await until_learned(service)
            record = profile_of(service, "email", "ann@example.com")
            assert record["email"] == "Ann@Example.com"
            assert record["first_name"] == "Ann"
            assert record["x"] == 1
            assert record["groups"] == ["acme"]
            assert record["identifiers"] == [
                "anonymous_id:old", "email:ann@example.com", "user_id:7",
            ]  # fmt: skip

    asyncio.run(show())


def test_every_item_that_is_refused_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    items: list[tuple[dict[str, Any], str]] = [
        (track(1), ""),
        ({"type": "jump", "userId": "u"}, "invalid-type"),
        ({"userId": "u"}, "invalid-type"),
        ({"type": "track", "event": "x"}, "no-identity"),
        ({"type": "track", "event": "x", "userId": "undefined"}, "invalid-identity"),
        ({"type": "track", "event": "x", "userId": "null", "anonymousId": "a"}, ""),
        ({"type": "track", "userId": "u"}, "no-event-name"),
        ({"type": "track", "userId": "u", "event": "x" * 1_001}, "name-too-long"),
        (track(2, messageId="m" * 101), "invalid-message-id"),
        (track(3, messageId=3), "invalid-event"),
        (track(4, properties=[]), "invalid-event"),
        (track(5, properties={"deep": deep}), "too-deep"),
        (track(6, properties={"text": "x" * 33_000}), "event-too-large"),
        (track(7, properties={"huge": 1 << 70}), "invalid-event"),
        (track(8, timestamp="yesterday"), "invalid-timestamp"),
        (track(9, context={"consent": {"categoryPreferences": {"ads": "no"}}}), "invalid-consent"),
        (track(10, context={"consent": "all"}), "invalid-consent"),
        (track(10, context={"consent": {"categoryPreferences": {"x.at_ms": True}}}),
         "invalid-consent"),
        ({"type": "group", "userId": "u"}, "invalid-group-id"),
        ({"type": "alias", "userId": "u"}, "no-identity"),
        ({"type": "identify", "userId": "u", "traits": {str(n): n for n in range(301)}},
         "too-many-traits"),
        (track(11, userId=11), ""),
    ]  # fmt: skip

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            status, answer = await sender.batch(*(item for item, _ in items))
            assert status == 200, answer
            assert answer["success"] is False
            refused = {error["index"]: error["code"] for error in answer["errors"]}
            assert refused == {at: code for at, (_, code) in enumerate(items) if code}
            assert all(error["message"] for error in answer["errors"])
            assert answer["accepted"] == 3
            assert [event.message_id for event in events_of(service)][::2] == ["m1", "m11"]
            status, answer = await sender.batch(items[1][0], items[3][0])
            assert (status, answer["code"], answer["accepted"]) == (400, "invalid-type", 0)
            shown = await sender.get("/cdp/status")
            assert shown["refused"]["invalid-type"] == 3
            assert shown["log"]["last_sequence"] == 3

    asyncio.run(show())


def test_a_request_that_is_no_request_changes_nothing(tmp_path: Path) -> None:
    good = json.dumps({"batch": [track(1)]}).encode()
    bomb = gzip.compress(b" " * 100_000_000)
    context = {"text": "x" * 20_000}
    wide = json.dumps({"batch": list(map(track, range(1_000))), "context": context}).encode()
    wrong = {"Authorization": "Basic bm9ib2R5Og=="}
    gzipped = {**AUTH, "Content-Encoding": "gzip"}
    cases: list[tuple[bytes, dict[str, str], int, str]] = [
        (b"", AUTH, 400, "body-invalid"),
        (b"{", AUTH, 400, "body-invalid"),
        (b"[]", AUTH, 400, "body-invalid"),
        (b'{"batch": 1}', AUTH, 400, "body-invalid"),
        (b'{"batch": [{"type": "track"}', AUTH, 400, "body-invalid"),
        (b'{"batch": [{"a": \xff}]}', AUTH, 400, "body-invalid"),
        (b"[" * 100_000, AUTH, 400, "body-invalid"),
        (b'{"batch": ' + b"[" * 100_000, AUTH, 400, "body-invalid"),
        (good, wrong, 401, "write-key-unknown"),
        (good, {}, 401, "write-key-unknown"),
        (good, {"Authorization": "Basic %%%"}, 401, "write-key-unknown"),
        (good, {"Authorization": "Bearer k3y"}, 401, "write-key-unknown"),
        (good, gzipped, 400, "body-invalid"),
        (gzip.compress(good)[:-3], gzipped, 400, "body-invalid"),
        (gzip.compress(good) + b"more", gzipped, 400, "body-invalid"),
        (good, {**AUTH, "Content-Encoding": "br"}, 400, "body-invalid"),
        (bomb, gzipped, 413, "body-too-large"),
        (b" " * 600_000, AUTH, 413, "body-too-large"),
        (json.dumps({"batch": [1] * 2_501}).encode(), AUTH, 413, "body-too-large"),
        (b'{"batch": [], "sentAt": "now"}', AUTH, 400, "body-invalid"),
        (good, {**AUTH, "Content-Type": "application/msgpack"}, 400, "body-invalid"),
        (wide, AUTH, 413, "body-too-large"),
        (b'{"batch": [], "context": ' + b"[" * 40 + b"]" * 40 + b"}", AUTH, 400, "body-invalid"),
        (
            b'{"batch": [], "context": {"a":' + b"[" * 40 + b"]" * 40 + b"}}",
            AUTH,
            400,
            "body-invalid",
        ),
    ]

    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            for body, headers, status, code in cases:
                found, answer = await sender.post("/v1/batch", body, headers)
                assert (found, answer["code"]) == (status, code), (body[:40], headers)
                assert answer["message"]
            assert service.log.last_sequence == 0
            assert await sender.post("/v1/batch", good) == (200, {"success": True})
            assert len(events_of(service)) == 1

    asyncio.run(show())


def test_msgpack_gzip_and_keys_in_the_body(tmp_path: Path) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            packed = msgspec.msgpack.encode({"batch": [track(1)]})
            headers = {**AUTH, "Content-Type": "application/msgpack"}
            assert (await sender.post("/v1/batch", packed, headers))[0] == 200
            body = gzip.compress(json.dumps({"batch": [track(2)], "writeKey": KEY}).encode())
            headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
            assert (await sender.post("/v1/import", body, headers))[0] == 200
            assert (await sender.post("/v1/t", {**track(3), "writeKey": KEY}, {}))[0] == 200
            assert (await sender.post("/v1/t", {**track(4), "writeKey": "x"}, {}))[0] == 401
            assert [event.message_id for event in events_of(service)] == ["m1", "m2", "m3"]
            for value in (b"bytes", msgspec.msgpack.Ext(5, b"x"), {1: 2}, [[b"x"]]):
                packed = msgspec.msgpack.encode(track(5, properties={"value": value}))
                headers = {**AUTH, "Content-Type": "application/msgpack"}
                status, answer = await sender.post("/v1/track", packed, headers)
                assert (status, answer["code"]) == (400, "invalid-event")
            url = f"{sender.collect}/v1/batch"
            async with sender.client.options(url) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == "*"

    asyncio.run(show())


def test_times_are_corrected_by_how_far_the_senders_clock_is_off(tmp_path: Path) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            times = {
                "slow": {"timestamp": "2001-01-01T00:00:00Z"},
                "own": {"timestamp": "2001-01-01T00:00:00Z", "sentAt": "2001-01-01T00:00:07Z"},
                "zone": {"originalTimestamp": "2001-01-01T03:00:00+03:00", "timestamp": ""},
                "none": {},
            }  # fmt: skip
            items = [track(1, messageId=name, **more) for name, more in times.items()]
            await sender.batch(*items, sentAt="2001-01-01T00:01:00.000Z")
            await sender.batch(track(2, messageId="bare", timestamp="2001-01-01T00:00:00"))
            found = {each.message_id: each for each in events_of(service)}
            ages = {name: each.received_at_ms - each.timestamp_ms for name, each in found.items()}
            assert ages.pop("bare") == found["bare"].received_at_ms - 978_307_200_000
            assert ages == {"slow": 60_000, "own": 7_000, "zone": 60_000, "none": 0}

    asyncio.run(show())


def test_what_is_sent_again_counts_once_even_after_a_restart(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    async def show(numbers: range, expected: int) -> None:
        async with beside(config) as (service, sender):
            for _ in range(2):
                assert await sender.batch(*map(track, numbers)) == (200, {"success": True})
            assert len(events_of(service)) == expected

    asyncio.run(show(range(50), 50))
    asyncio.run(show(range(25, 75), 75))


def test_a_service_that_is_behind_asks_to_wait(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[collect]\nwaiting_events_max = 10\nbehind_events_max = 50")

    async def show() -> None:
        async with beside(config) as (service, sender):
            with service.log._appending:
                first = asyncio.create_task(sender.batch(*map(track, range(8))))
                await until(lambda: service.appending.waiting == 8, "the first batch")
                url, body = f"{sender.collect}/v1/batch", {"batch": [track(n) for n in range(9)]}
                async with sender.client.post(url, json=body, headers=AUTH) as answer:
                    assert answer.status == 429
                    assert int(answer.headers["Retry-After"]) > 0
            assert (await first)[0] == 200
            assert (await sender.batch(*map(track, range(100, 108))))[0] == 200
            await until_learned(service)
            service.tasks[0].cancel()  # learning
            for start in range(200, 260, 10):
                assert (await sender.batch(*map(track, range(start, start + 10))))[0] == 200
            status, answer = await sender.batch(track(300))
            assert (status, answer["code"]) == (429, "too-busy")
            assert len(events_of(service)) == 76, "what was refused was not kept"

    asyncio.run(show())


def test_pages_and_metrics_tell_what_there_is(tmp_path: Path) -> None:
    async def show() -> None:
        async with beside(write_config(tmp_path)) as (service, sender):
            await sender.batch(*map(track, range(30)), {"type": "track"})
            await until_learned(service)
            assert await sender.get("/cdp/health") == {"troubles": {}}
            page = await sender.get("/cdp/events?limit=2")
            assert [event["sequence"] for event in page["events"]] == [29, 30]
            page = await sender.get("/cdp/events?after=3&limit=2")
            assert [event["message_id"] for event in page["events"]] == ["m3", "m4"]
            who = page["events"][0]["profile_id"]
            page = await sender.get(f"/cdp/profiles/{who}/events?limit=2&before=26")
            assert [event["message_id"] for event in page["events"]] == ["m24", "m17"]
            for query in ("limit=0x", "limit=9999999", "after=-1"):
                assert (await sender.get(f"/cdp/events?{query}"))["code"] == "invalid-input"
            async with sender.client.get(f"{sender.own}/cdp/metrics") as answer:
                text = await answer.text()
            assert 'cdp_events_total{kind="track"} 30.0' in text
            assert 'cdp_refused_total{rule="no-identity"} 1.0' in text
            assert 'cdp_log{what="learned"} 30.0' in text
            assert 'cdp_request_seconds_bucket{le="+Inf"} 1.0' in text
            async with sender.client.get(f"{sender.collect}/healthz") as answer:
                assert answer.status == 200
            async with sender.client.get(f"{sender.collect}/cdp/events") as answer:
                assert answer.status == 404, "what is for us is not for the world"

    asyncio.run(show())


def test_two_services_cannot_share_a_directory(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    async def show() -> None:
        async with beside(config):
            with pytest.raises(LogInUse):
                async with beside(config):
                    pass

    asyncio.run(show())
