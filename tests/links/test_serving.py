"""Serving: a link is sent what its peer wants, from where it is, and no more than it may hold."""

import pytest

from crdtstore import limits
from crdtstore.errors import MessageInvalid
from crdtstore.links.repairing import Answering
from crdtstore.links.serving import LinkState, begin_snapshot, fill_link, subscribe
from crdtstore.sync.frame import parse_header, space_tag
from crdtstore.sync.messages import (
    Frames,
    Hello,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    Trimmed,
    decode,
    encode,
)
from crdtstore.sync.session import Session
from tests.engine.stores import open_store, send

TAG = space_tag("default")


def linked():
    """An open link to a peer that has nothing."""
    parts = {
        "space": "default", "schema": "", "clock_ms": 1, "profiles": 0, "heads": {}, "floor": {},
        "names": {},
    }  # fmt: skip
    session = Session(Hello(name="eu", origin=1, nonce=1, **parts), 1, clock_skew_ms_max=9)
    session.receive(encode(Hello(name="us", origin=2, nonce=2, **parts), TAG), 1)
    session.take_outgoing()
    answering = Answering(open_store().replication.healing, session)
    return LinkState(session, outbound=True, answering=answering)


def served(link, store):
    messages = []
    while True:
        fill_link(link, store.replication)
        taken = link.session.take_outgoing()
        if not taken:
            return messages
        messages += [decode(data, TAG) for data in taken]


def sequences(messages):
    headers = [parse_header(raw) for message in messages for raw in message.frames]
    return [(header.origin, header.sequence) for header in headers]


def two_histories():
    one, two = open_store(), open_store(name="us")
    for number in range(5):
        one.write("ann", {"x": number}, source="crm")
        one.commit()
        two.write("bob", {"x": number}, source="crm")
        two.commit()
        send(two, one)
    return one, one.replication.identity.origin, two.replication.identity.origin


def test_a_peer_that_wants_nothing_is_sent_nothing():
    store, _, _ = two_histories()
    assert served(linked(), store) == []


def test_what_is_wanted_comes_in_journal_order_once():
    store, ours, theirs = two_histories()
    link = linked()
    subscribe(link, {ours: 3}, store.replication)
    subscribe(link, {theirs: 2}, store.replication)
    expected = [(theirs, 3), (ours, 4), (theirs, 4), (ours, 5), (theirs, 5)]
    assert sequences(served(link, store)) == expected
    assert served(link, store) == []
    store.write("ann", {"x": "new"}, source="crm")
    store.commit()
    assert sequences(served(link, store)) == [(ours, 6)]


def test_a_later_want_passes_over_nothing_that_an_earlier_one_still_waits_for():
    store, ours, theirs = two_histories()
    link = linked()
    subscribe(link, {ours: 0}, store.replication)
    subscribe(link, {theirs: 5}, store.replication)
    assert sequences(served(link, store)) == [(ours, number) for number in range(1, 6)]


def test_a_want_that_goes_back_is_served_again_from_there():
    store, ours, theirs = two_histories()
    link = linked()
    subscribe(link, {ours: 0, theirs: 0}, store.replication)
    served(link, store)
    subscribe(link, {ours: 3}, store.replication)
    assert sequences(served(link, store)) == [(ours, 4), (ours, 5)]


def test_what_is_trimmed_is_said_to_be():
    store, ours, _ = two_histories()
    store.ledger.floor = {ours: 3}
    link = linked()
    subscribe(link, {ours: 2}, store.replication)
    assert served(link, store) == [Trimmed()]


def test_frames_wait_while_a_snapshot_is_served_and_a_slow_peer_holds_little(monkeypatch):
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 1)
    monkeypatch.setattr(limits, "CREDIT_BYTES", 3 * limits.FRAME_BYTES_MAX)
    store, ours, _ = two_histories()
    for number in range(6):
        store.write(f"p{number}", {"x": 1}, source="crm")
    store.commit(checkpoint=True)
    link = linked()
    subscribe(link, {ours: 0}, store.replication)
    begin_snapshot(link, "ann", store.replication)
    first = served(link, store)
    assert type(first[0]) is SnapshotBegin
    assert [chunk.last_id for chunk in first[1:]] == ["bob", "p0", "p1"]
    assert served(link, store) == [], "no credit"
    assert link.given is not None
    link.session._credit_bytes = limits.CREDIT_BYTES * 9
    rest = served(link, store)
    kinds = [type(message) for message in rest]
    assert kinds == [SnapshotChunk] * 4 + [SnapshotEnd] + [Frames]
    assert link.given is None


def test_a_peer_is_given_one_snapshot_at_a_time():
    store, _, _ = two_histories()
    link = linked()
    begin_snapshot(link, "", store.replication)
    with pytest.raises(MessageInvalid, match="before the last one has ended"):
        begin_snapshot(link, "", store.replication)
