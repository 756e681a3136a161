"""Change events: bitmaps, nulled fields, gaps, several records, our own changes."""

from typing import Any

import pytest

from replicas.crm.crm import RecordKey
from replicas.crm.errors import CrmAnswerInvalid, PositionExpired
from replicas.crm.salesforce.changes import changed_names, sightings_of
from replicas.crm.salesforce.cometd import CHANNEL, ChangeEvents
from tests.replicas.crm.salesforce.test_conversations import settings
from tests.replicas.crm.talking import answer, talk

SCHEMA = [
    "ChangeEventHeader", "AccountId", "Email",
    ("Name", ["Salutation", "FirstName", "LastName"]), "Phone",
]  # fmt: skip


def event(kind: str, ids: tuple[str, ...] = ("003000000000001AAA",), **more: Any) -> dict[str, Any]:
    header = {
        "entityName": "Contact", "recordIds": list(ids), "changeType": kind,
        "changeOrigin": "com/salesforce/api/rest/62.0;client=SfdcUi", "commitTimestamp": 17,
        "changedFields": more.pop("changed", []), "nulledFields": more.pop("nulled", []),
    }  # fmt: skip
    header["changeOrigin"] = more.pop("origin", header["changeOrigin"])
    return {"ChangeEventHeader": header, **more}


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (["0x04"], ["Email"]),
        (["0x16"], ["AccountId", "Email", "Phone"]),
        (["3-0x06"], ["Name.FirstName", "Name.LastName"]),
        (["0x02", "3-0x01"], ["AccountId", "Name.Salutation"]),
        (["Phone", "Name.LastName"], ["Phone", "Name.LastName"]),
        ([], []),
    ],
)
def test_bitmaps_name_fields(changed: list[str], names: list[str]) -> None:
    assert changed_names(changed, SCHEMA) == names


def test_null_means_cleared_only_where_the_header_says_so() -> None:
    payload = event(
        "UPDATE", changed=["0x06"], nulled=["0x02"], AccountId=None, Email="a@b.example"
    )
    (seen,), lost = sightings_of(settings(), payload, SCHEMA)
    assert (seen.kind, seen.values) == ("change", {"AccountId": None, "Email": "a@b.example"})
    payload = event("UPDATE", changed=["0x02"], AccountId="001", Email=None)
    (seen,), lost = sightings_of(settings(), payload, SCHEMA)
    assert seen.values == {"AccountId": "001"}
    assert not lost


def test_an_event_may_be_of_several_records_or_our_own() -> None:
    ids = ("003000000000001AAA", "003000000000002AAA")
    seen, _ = sightings_of(settings(), event("UPDATE", ids, changed=["Email"], Email="x"))
    assert [one.key.id for one in seen] == list(ids)
    assert not seen[0].is_own
    own = event("UPDATE", origin="com/salesforce/api/rest/62.0;client=crdtstore")
    assert sightings_of(settings(), own)[0][0].is_own
    alike = event("UPDATE", origin="com/salesforce/api/rest/62.0;client=crdtstore2")
    assert not sightings_of(settings(), alike)[0][0].is_own


def test_a_creation_tells_all_that_was_set_and_what_was_not() -> None:
    (seen,), _ = sightings_of(settings(), event("CREATE", Email="x", Key__c="p1"))
    assert seen.kind == "created"
    assert seen.values == {"Key__c": "p1", "Email": "x", "AccountId": None}


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE",
                                  "DELETE", "UNDELETE"])  # fmt: skip
def test_what_tells_too_little_is_read_again(kind: str) -> None:
    (seen,), lost = sightings_of(settings(), event(kind))
    assert (seen.kind, seen.key, lost) == (
        "unclear",
        RecordKey("Contact", "003000000000001AAA"),
        "",
    )


@pytest.mark.parametrize("payload", [event("GAP_OVERFLOW"), event("UPDATE", ("003*",))])
def test_an_overflow_loses_the_object(payload: dict[str, Any]) -> None:
    assert sightings_of(settings(), payload) == ([], "Contact")


def test_other_objects_are_passed_over_and_nonsense_is_an_error() -> None:
    other = event("UPDATE")
    other["ChangeEventHeader"]["entityName"] = "Account"
    assert sightings_of(settings(), other) == ([], "")
    with pytest.raises(CrmAnswerInvalid, match="no header"):
        sightings_of(settings(), {})


def test_following_shakes_hands_subscribes_and_waits() -> None:
    events = ChangeEvents(settings())
    data = {"payload": event("UPDATE", changed=["Email"], Email="x"), "event": {"replayId": 9}}
    page, said = talk(
        events.follow("7"),
        answer([{"channel": "/meta/handshake", "clientId": "c", "successful": True}]),
        answer([{"channel": "/meta/subscribe", "successful": True}]),
        answer(
            [{"channel": CHANNEL, "data": data}, {"channel": "/meta/connect", "successful": True}]
        ),
    )
    assert (page.cursor, len(page.sightings)) == ("9", 1)
    assert b'"/data/ChangeEvents":7' in said[1].body  # type: ignore[union-attr]
    ended = {"channel": "/meta/connect", "successful": False, "advice": {"reconnect": "handshake"}}
    page, said = talk(events.follow("9"), answer([ended]))
    assert (page.cursor, len(said)) == ("9", 1)
    _, said = talk(
        events.follow("9"),
        answer([{"channel": "/meta/handshake", "clientId": "d", "successful": True}]),
        answer([{"channel": "/meta/subscribe", "successful": True}]),
        answer([{"channel": "/meta/connect", "successful": True}]),
    )
    assert len(said) == 3


def test_a_position_that_is_no_longer_kept_is_told() -> None:
    error = "400::The replayId {7} you provided was invalid. Please provide a valid ID"
    with pytest.raises(PositionExpired, match="no longer kept"):
        talk(
            ChangeEvents(settings()).follow("7"),
            answer([{"channel": "/meta/handshake", "clientId": "c", "successful": True}]),
            answer([{"channel": "/meta/subscribe", "successful": False, "error": error}]),
        )
