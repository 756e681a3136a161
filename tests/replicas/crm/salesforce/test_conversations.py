"""Conversations with Salesforce, from lists of responses."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from replicas.crm.conversation import Request, Response
from replicas.crm.crm import Edit
from replicas.crm.errors import CrmAccessDenied, CrmAnswerInvalid, CrmRefused
from replicas.crm.mapping import mapping_of
from replicas.crm.salesforce import answers, collections, login, queries
from replicas.crm.salesforce.crm import Salesforce
from replicas.crm.salesforce.settings import SalesforceSettings
from tests.replicas.crm.talking import answer, talk


def settings(**changes: Any) -> SalesforceSettings:
    objects = [
        {"name": "Contact", "key": "Key__c", "parent": "AccountId",
         "fields": {"email": {"property": "Email"}, "account": {"property": "AccountId"}}},
        {"name": "Lead", "key": "Key__c", "creates": False,
         "fields": {"email": {"property": "Email"}}},
    ]  # fmt: skip
    mapping = mapping_of(objects, identifier="salesforce_id")
    given = {"login_address": "https://login.example", "client_id": "c", "secret": "s" * 9}
    return SalesforceSettings(**{**given, **changes}, mapping=mapping)


def test_client_credentials_are_sent_as_a_form() -> None:
    said = answer({"access_token": "t", "instance_url": "https://na1.example/"})
    session, (request,) = talk(login.log_in(settings(), 0), said)
    assert isinstance(request, Request)
    assert request.is_login
    assert request.path == "https://login.example/services/oauth2/token"
    assert parse_qs(request.body.decode())["grant_type"] == ["client_credentials"]
    assert session.address == "https://na1.example"
    assert session.headers["Sforce-Call-Options"] == "client=crdtstore"
    assert "Bearer" not in repr(session)


def test_a_jwt_bearer_assertion_is_signed_and_short_lived() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    chosen = settings(flow="jwt_bearer", username="u@example.com", secret=private)
    said = answer({"access_token": "t", "instance_url": "https://na1.example"})
    _, (request,) = talk(login.log_in(chosen, 1_800_000_000), said)
    assert isinstance(request, Request)
    form = parse_qs(request.body.decode())
    options: Any = {"verify_exp": False}
    claims = jwt.decode(
        form["assertion"][0], public, algorithms=["RS256"], audience="https://login.example",
        options=options,
    )  # fmt: skip
    assert claims == {
        "iss": "c", "sub": "u@example.com", "aud": "https://login.example", "exp": 1_800_000_180,
    }  # fmt: skip
    with pytest.raises(CrmAccessDenied, match="no private key"):
        talk(login.log_in(settings(flow="jwt_bearer"), 0), said)


def test_a_refused_login_says_why_without_the_secret() -> None:
    said = answer({"error": "invalid_grant", "error_description": "user is inactive"}, 400)
    with pytest.raises(CrmAccessDenied, match="user is inactive") as caught:
        talk(login.log_in(settings(), 0), said)
    assert "sssssssss" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNABLE_TO_LOCK_ROW", "retry"), ("SERVER_UNAVAILABLE", "retry"),
        ("QUERY_TIMEOUT", "retry"), ("REQUEST_RUNNING_TOO_LONG", "retry"),
        ("REQUEST_LIMIT_EXCEEDED", "pause"), ("ConcurrentRequests", "pause"),
        ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "rolled_back"),
        ("DUPLICATES_DETECTED", "conflict"), ("DUPLICATE_VALUE", "conflict"),
        ("DUPLICATE_EXTERNAL_ID", "conflict"), ("ENTITY_IS_DELETED", "conflict"),
        ("REQUIRED_FIELD_MISSING", "permanent"), ("STRING_TOO_LONG", "permanent"),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", "permanent"), ("NEVER_HEARD_OF", "permanent"),
        ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "permanent"),
    ],
)  # fmt: skip
def test_codes_have_their_class(code: str, expected: str) -> None:
    assert answers.class_of(code) == expected


def test_whole_answers_are_judged() -> None:
    limit = answer([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": ""}], 403)
    assert answers.judge(limit).kind == "pause"
    assert answers.judge(answer([], 401)).kind == "log_in"
    assert answers.judge(answer([], 503)).kind == "retry"
    forbidden = answer([{"errorCode": "INSUFFICIENT_ACCESS", "message": ""}], 403)
    assert answers.judge(forbidden).kind == "pass"
    used = Response(200, {"sforce-limit-info": "api-usage=18/5000; per-app-api-usage=1/2(appName)"})
    assert answers.judge(used).usage == (18, 5000)


def test_results_are_read_row_by_row() -> None:
    results = [
        {"id": "003A", "success": True, "errors": [], "created": True},
        {"success": False, "errors": [{"statusCode": "DUPLICATES_DETECTED", "message": "twice",
          "fields": [], "duplicateResult": {"matchResults": [
              {"matchRecords": [{"record": {"Id": "003B"}}]}]}}]},
        {"success": False, "errors": [
            {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "", "fields": []},
            {"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Email"]}]},
    ]  # fmt: skip
    done, conflict, permanent = answers.rows_of(answer(results), 3, "x")
    assert (done.result, done.record_id) == ("done", "003A")
    assert (conflict.result, conflict.other_ids) == ("conflict", ("003B",))
    assert (permanent.result, permanent.message) == ("permanent", "too long (Email)")
    with pytest.raises(CrmAnswerInvalid, match="not as many"):
        answers.rows_of(answer(results), 2, "x")
    with pytest.raises(CrmRefused, match="DUPLICATE_EXTERNAL_ID"):
        answers.rows_of(answer(["/a", "/b"], 300), 1, "x")


def test_edits_are_sorted_by_type_and_parent_and_cut_into_requests() -> None:
    chosen = settings()
    edits = [
        Edit("Lead", "p1", "00Q1", {"Email": "a"}),
        Edit("Contact", "p2", "", {"Email": "b"}),
        Edit("Contact", "p3", "0032", {"Email": "c", "AccountId": "001B"}),
        Edit("Contact", "p4", "0031", {"Email": None, "AccountId": "001A"}),
        Edit("Contact", "p5", "0035", {}, is_deletion=True),
    ]
    ordered = collections.sorted_edits(chosen, edits)
    good = {"success": True, "errors": []}
    rows, said = talk(
        collections.send(chosen, ordered),
        answer([{**good, "id": i} for i in ("0031", "0032", "00Q1")]),
        answer([{**good, "id": "0039"}]),
        answer([{**good, "id": "0035"}]),
    )
    assert [row.record_id for row in rows] == ["0031", "0032", "00Q1", "0039", "0035"]
    update, upsert, delete = (one for one in said if isinstance(one, Request))
    body = json.loads(update.body)
    assert body["allOrNone"] is False
    assert [one["attributes"]["type"] for one in body["records"]] == ["Contact", "Contact", "Lead"]
    assert body["records"][0] == {
        "attributes": {"type": "Contact"}, "id": "0031", "Email": None, "AccountId": "001A",
    }  # fmt: skip
    assert upsert.path.endswith("/composite/sobjects/Contact/Key__c")
    assert json.loads(upsert.body)["records"][0]["Key__c"] == "p2"
    assert (delete.method, delete.query["ids"]) == ("DELETE", "0035")


def test_identifiers_are_looked_up_before_a_record_is_made() -> None:
    fields = {"email": {"property": "Email", "identifier": "email"}}
    table = {"name": "Contact", "key": "Key__c", "fields": fields}
    chosen = replace(settings(), mapping=mapping_of([table], identifier="salesforce_id"))
    edits = [
        Edit("Contact", "p1", "", {"Email": "It's@example.com"}),
        Edit("Contact", "p2", "", {"Email": "b@example.com"}),
        Edit("Contact", "p3", "", {"Email": "c@example.com"}),
        Edit("Contact", "p4", "0034", {"Email": "d@example.com"}),
    ]
    records = [
        {"Id": "0031", "Key__c": None, "Email": "it's@example.com"},
        {"Id": "0032", "Key__c": "p2", "Email": "b@example.com"},
    ]
    found = answer({"done": True, "totalSize": 2, "records": records})
    good = {"success": True, "errors": []}
    outcomes, said = talk(
        Salesforce(chosen).push(edits),
        found,
        answer([{**good, "id": "0034"}]),
        answer([{**good, "id": "0032"}, {**good, "id": "0033"}]),
    )
    assert isinstance(said[0], Request)
    assert "IN ('It\\'s@example.com', 'b@example.com', 'c@example.com')" in said[0].query["q"]
    told = {one.edit.profile_id: (one.result, one.other_ids) for one in outcomes}
    assert told == {
        "p1": ("conflict", ("0031",)), "p2": ("done", ()), "p3": ("done", ()), "p4": ("done", ()),
    }  # fmt: skip


def test_a_pass_goes_page_by_page_and_the_next_one_looks_back() -> None:
    chosen = settings(page_max=2, overlap_s=60.0)
    contact = chosen.mapping.by_name["Contact"]

    def page(*rows: tuple[str, str]) -> Response:
        records = [
            {"Id": one, "SystemModstamp": at, "IsDeleted": False, "Email": "a"} for one, at in rows
        ]
        return answer({"done": True, "records": records, "totalSize": len(rows)})

    t1, t2 = "2026-11-21T08:00:00.000+0000", "2026-11-21T08:00:05.000+0000"
    counted = answer({"totalSize": 3, "done": True, "records": []})
    first, said = talk(queries.pull(chosen, contact, ""), counted, page(("1", t1), ("2", t1)))
    assert (first.total, first.is_last) == (3, False)
    assert first.cursor == "load 2026-11-21T08:00:00.000Z 2"
    assert [one.is_background for one in said if isinstance(one, Request)] == [False, True]
    second, (request,) = talk(queries.pull(chosen, contact, first.cursor), page(("3", t2)))
    assert isinstance(request, Request)
    assert "AND Id > '2')" in request.query["q"]
    assert second.cursor == "done 2026-11-21T08:00:05.000Z"
    assert second.sightings[0].span_ms == 999
    third, (request,) = talk(queries.pull(chosen, contact, second.cursor), page())
    assert isinstance(request, Request)
    assert "SystemModstamp >= 2026-11-21T07:59:05.000Z" in request.query["q"]
    assert third.cursor == second.cursor


def test_rows_that_no_list_of_a_job_names_are_sent_again() -> None:
    crm = Salesforce(settings(bulk_min=2))
    edits = [Edit("Contact", f"p{number}", "", {"Email": "a"}) for number in range(3)]
    header = "Key__c,Email"
    outcomes, said = talk(
        crm.push(edits),
        answer({"id": "750", "state": "Open"}),
        Response(201),
        answer({"state": "UploadComplete"}),
        answer({"state": "JobComplete"}),
        Response(200, {}, f"{header}\n".encode()),
        Response(
            200, {}, f"sf__Id,sf__Error,{header}\n,STRING_TOO_LONG:no:Email --,p2,a\n".encode()
        ),
        Response(200, {}, f"sf__Id,sf__Created,{header}\n0031,true,p1,a\n".encode()),
        answer([{"id": "0030", "success": True, "errors": []}]),
    )
    found = {one.edit.profile_id: (one.result, one.record_id) for one in outcomes}
    assert found == {"p0": ("done", "0030"), "p1": ("done", "0031"), "p2": ("permanent", "")}
    put = said[1]
    assert isinstance(put, Request)
    assert put.body == b"Key__c,Email\np0,a\np1,a\np2,a\n"
