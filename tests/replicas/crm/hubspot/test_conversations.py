"""Conversations with HubSpot, from lists of responses, and what its events mean."""

import json
from typing import Any

import pytest

from replicas.crm.conversation import Request, Response
from replicas.crm.crm import Edit
from replicas.crm.errors import WebhookRefused
from replicas.crm.hubspot import answers, objects
from replicas.crm.hubspot.crm import HubSpot
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.hubspot.webhooks import sightings_of
from replicas.crm.mapping import mapping_of
from tests.replicas.crm.talking import answer, talk


def settings(**changes: Any) -> HubSpotSettings:
    table = {"name": "contacts", "key": "key",
             "fields": {"email": {"property": "email"}, "vip": {"property": "vip",
                                                               "form": "boolean"}}}  # fmt: skip
    mapping = mapping_of([table], identifier="hubspot_id")
    return HubSpotSettings(token="t" * 9, app_id="54321", mapping=mapping, **changes)


def body_of(step: object) -> Any:
    assert isinstance(step, Request)
    return json.loads(step.body)


def test_rows_of_a_207_are_known_by_their_trace_ids() -> None:
    crm = HubSpot(settings())
    edits = [Edit("contacts", f"p{n}", f"10{n}", {"email": "a", "vip": True}) for n in range(4)]
    steps = crm.push(edits)
    request = next(steps)
    inputs = body_of(request)["inputs"]
    assert inputs[0]["properties"] == {"email": "a", "vip": "true"}
    traces = [one["objectWriteTraceId"] for one in inputs]
    assert len(set(traces)) == 4
    errors = [
        {"category": "VALIDATION_ERROR", "message": "no",
         "context": {"objectWriteTraceId": [traces[1]]}},
        {"category": "CONFLICT", "message": "taken",
         "context": {"ids": ["102"], "existingObjectId": ["7"]}},
    ]  # fmt: skip
    results = [{"id": "100", "objectWriteTraceId": traces[0], "properties": {}}]
    steps.send(answer({"status": "COMPLETE", "results": results, "errors": errors}, 207))
    again = steps.send(Response(0))
    assert [one["id"] for one in body_of(again)["inputs"]] == ["103"]
    results = [{"id": "103", "properties": {}}]
    with pytest.raises(StopIteration) as end:
        steps.send(answer({"status": "COMPLETE", "results": results}))
    found = {one.edit.profile_id: one for one in end.value.value}
    assert {name: one.result for name, one in found.items()} == {
        "p0": "done", "p1": "permanent", "p2": "conflict", "p3": "done",
    }  # fmt: skip
    assert found["p2"].other_ids == ("7",)


def test_new_records_are_upserted_by_the_key_and_empty_is_the_empty_text() -> None:
    edit = Edit("contacts", "p1", "", {"email": None})
    rows, (request,) = talk(
        objects.send(settings(), [edit]),
        answer({"results": [{"id": "5", "new": True, "objectWriteTraceId": objects._trace(edit)}]}),
    )
    (one,) = body_of(request)["inputs"]
    assert (one["id"], one["idProperty"]) == ("p1", "key")
    assert one["properties"] == {"email": "", "key": "p1"}
    assert rows[0].record_id == "5"
    assert isinstance(request, Request)
    assert request.path == "/crm/objects/2026-03/contacts/batch/upsert"
    assert settings(api_version="v3").path("contacts") == "/crm/v3/objects/contacts"


def test_a_read_tells_the_history_then_the_state_and_what_is_gone() -> None:
    history = [
        {"value": "new", "timestamp": "2026-11-21T08:00:02Z", "sourceType": "INTEGRATION",
         "sourceId": "54321"},
        {"value": "old", "timestamp": "2026-11-21T08:00:01Z", "sourceType": "CRM_UI",
         "sourceId": "u"},
    ]  # fmt: skip
    result = {
        "id": "5", "properties": {"email": "new", "vip": None}, "archived": False,
        "updatedAt": "2026-11-21T08:00:03Z", "propertiesWithHistory": {"email": history},
    }  # fmt: skip
    contact = settings().mapping.by_name["contacts"]
    archived = {**result, "id": "6", "archived": True, "archivedAt": "2026-11-21T08:00:04Z"}
    seen, asked = talk(
        objects.read(settings(), contact, ["5", "6", "7"]),
        answer({"results": [result]}, 207),
        answer({"results": [archived]}, 207),
    )
    assert [(one.kind, one.is_own) for one in seen] == [
        ("change", False), ("change", True), ("state", False), ("deleted", False),
        ("vanished", False),
    ]  # fmt: skip
    assert seen[2].times_ms["email"] == seen[1].at_ms
    assert [one.key.id for one in seen[3:]] == ["6", "7"]
    assert isinstance(asked[1], Request)
    assert asked[1].path.endswith("/contacts/batch/read?archived=true")
    assert [one["id"] for one in json.loads(asked[1].body)["inputs"]] == ["6", "7"]


def test_a_search_of_many_records_of_one_moment_gets_through() -> None:
    chosen = settings(batch_max=2, search_max=4)
    contact = chosen.mapping.by_name["contacts"]
    moment = "2026-11-21T08:00:00.000Z"
    page = answer({"total": 9, "results": [
        {"id": str(n), "properties": {"lastmodifieddate": moment}} for n in (1, 2)]})  # fmt: skip
    read = answer({"results": []})
    cursor, cursors = "pass 1795248000000 0", []
    for _ in range(3):
        got, _ = talk(objects.pull(chosen, contact, cursor), page, read, read)
        cursor = got.cursor
        cursors.append(cursor)
    assert cursors == ["pass 1795248000000 2", "pass 1795248000001 0", "pass 1795248000001 2"]


def test_limits_and_failures_are_judged() -> None:
    limited = answer({"policyName": "DAILY", "errorType": "RATE_LIMIT"}, 429)
    assert (answers.judge(limited).kind, answers.judge(limited).wait_s) == ("pause", 600.0)
    rolling = answer({"policyName": "TEN_SECONDLY_ROLLING"}, 429)
    rolling.headers.update({"x-hubspot-ratelimit-interval-milliseconds": "10000"})  # type: ignore[attr-defined]
    assert answers.judge(rolling).wait_s == 10.0
    assert answers.judge(answer({}, 401)).kind == "log_in"
    assert answers.judge(answer({}, 502)).kind == "retry"
    told = {"x-hubspot-ratelimit-daily": "1000", "x-hubspot-ratelimit-daily-remaining": "990"}
    assert answers.judge(Response(200, told)).usage == (10, 1000)


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"subscriptionType": kind, "objectId": 5, "occurredAt": 17, **more}


def test_events_mean_what_they_say_oldest_first() -> None:
    events = [
        event("contact.deletion", occurredAt=30),
        event("contact.propertyChange", propertyName="email", propertyValue="x",
              changeSource="INTEGRATION", sourceId="54321", occurredAt=20),
        event("object.propertyChange", objectTypeId="0-1", propertyName="email",
              propertyValue="y", changeSource="CRM_UI", sourceId="54321", occurredAt=10),
        event("contact.privacyDeletion", occurredAt=40),
        event("contact.restore", occurredAt=50),
        event("contact.merge", primaryObjectId=1, mergedObjectIds=[1, 2], newObjectId=3,
              occurredAt=60),
        event("contact.associationChange"), event("deal.creation"), event("nonsense"),
        {"subscriptionType": "contact.deletion"},
    ]  # fmt: skip
    seen = sightings_of(settings(), json.dumps(events).encode())
    assert [(one.kind, one.key.id, one.is_own, one.into) for one in seen] == [
        ("change", "5", False, ""), ("change", "5", True, ""), ("deleted", "5", False, ""),
        ("erased", "5", False, ""), ("unclear", "5", False, ""), ("deleted", "1", False, "3"),
        ("deleted", "2", False, "3"), ("unclear", "3", False, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"{", b"{}", b"[1]", json.dumps([{}] * 101).encode()])
def test_what_hubspot_would_not_send_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        sightings_of(settings(), body)
