"""Signatures of HubSpot's requests: the documented vectors, and what is refused."""

import pytest

from replicas.crm.errors import WebhookRefused
from replicas.crm.hubspot.signatures import (
    check_signature,
    signature_v1,
    signature_v2,
    signature_v3,
    signed_uri,
)

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
URI = "https://www.example.com/webhook_uri"
BODY = (
    b'[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,'
    b'"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,'
    b'"changeSource":"CRM","changeFlag":"NEW","appId":54321}]'
)
V1 = "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
V2 = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"
NOW_MS = 1_795_248_000_000


def check(headers: dict[str, str], *versions: str, body: bytes = BODY, uri: str = URI) -> None:
    check_signature(SECRET, "POST", uri, headers, body, now_ms=NOW_MS, versions=versions or ("v3",))


def signed(at_ms: int = NOW_MS, uri: str = URI, method: str = "POST") -> dict[str, str]:
    signature = signature_v3(SECRET, method, uri, BODY, str(at_ms))
    return {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": str(at_ms)}


def test_the_documented_vectors() -> None:
    assert signature_v1(SECRET, BODY) == V1
    assert signature_v2(SECRET, "GET", URI, b"") == V2


def test_version_3_is_taken_within_five_minutes_both_ways() -> None:
    for skew_ms in (0, -300_000, 300_000):
        check(signed(NOW_MS + skew_ms))
    for skew_ms in (-300_001, 300_001):
        with pytest.raises(WebhookRefused, match="five minutes"):
            check(signed(NOW_MS + skew_ms))


def test_anything_else_that_is_signed_is_refused() -> None:
    for headers, body, uri in (
        (signed(), BODY + b" ", URI),
        (signed(), BODY, URI + "?x=1"),
        (signed(method="PUT"), BODY, URI),
        ({**signed(), "x-hubspot-request-timestamp": str(NOW_MS + 1)}, BODY, URI),
        ({**signed(), "x-hubspot-request-timestamp": "soon"}, BODY, URI),
        ({**signed(), "x-hubspot-signature-v3": "äöü\udcff"}, BODY, URI),
        ({}, BODY, URI),
    ):
        with pytest.raises(WebhookRefused):
            check(headers, body=body, uri=uri)


def test_the_older_two_are_taken_only_if_the_settings_say_so() -> None:
    v1 = {"x-hubspot-signature": V1, "x-hubspot-signature-version": "v1"}
    v2 = {
        "x-hubspot-signature": signature_v2(SECRET, "POST", URI, BODY),
        "x-hubspot-signature-version": "v2",
    }
    check(v1, "v1")
    check(v2, "v2", "v3")
    check(signed() | v1, "v3", "v1")
    for headers, versions in ((v1, ("v3",)), (v2, ("v1",)), (v1, ("v2",))):
        with pytest.raises(WebhookRefused, match="no signature"):
            check(headers, *versions)
    with pytest.raises(WebhookRefused, match="not HubSpot's"):
        check({**v2, "x-hubspot-signature": V1}, "v2")


def test_some_escapes_of_the_query_are_decoded_and_no_others() -> None:
    assert signed_uri("https://a.example/p%3A?x=%3a%2F%40%2C%20%23#part") == (
        "https://a.example/p%3A?x=:/@,%20%23"
    )
