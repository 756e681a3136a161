"""Sessions: what may come when, how a link opens or is refused, and how credit flows."""

import pytest

from crdtstore import limits
from crdtstore.errors import (
    ClockSkew,
    FrameCorrupt,
    IdentityClash,
    MessageInvalid,
    WrongProtocolVersion,
    WrongSpace,
)
from crdtstore.sync.frame import parse_header
from crdtstore.sync.messages import (
    Credit,
    Frames,
    Gossip,
    Hello,
    Prune,
    Refuse,
    Resting,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    Want,
    decode,
    encode,
)
from crdtstore.sync.session import ALLOWED, Session, cost_bytes
from tests.sync.examples import EU, TAG, US, first_frame, messages, second_frame, stored

NOW = 1_000_000
SKEW = 60_000


def hello(**changes):
    fields = {
        "space": "default", "name": "eu", "origin": EU, "nonce": 1, "schema": "", "clock_ms": NOW,
        "profiles": 0, "heads": {}, "floor": {}, "names": {EU: ("eu", 1)},
    }  # fmt: skip
    return Hello(**{**fields, **changes})


def opening(**changes):
    return Session(hello(**changes), NOW, clock_skew_ms_max=SKEW)


def opened(**changes):
    session = opening(**changes)
    session.receive(encode(hello(origin=US, nonce=2, name="us"), TAG), NOW)
    session.take_outgoing()
    return session


def said(session):
    return [decode(data, TAG) for data in session.take_outgoing()]


def pair():
    one, two = opening(), opening(origin=US, nonce=2, name="us")
    for data in one.take_outgoing():
        two.receive(data, NOW)
    for data in two.take_outgoing():
        one.receive(data, NOW)
    return one, two


# --- opening --------------------------------------------------------------------------------------


def test_both_ends_speak_first_and_open_on_the_other_s_hello():
    one, two = pair()
    assert (one.state, two.state) == ("open", "open")
    assert (one.peer.name, two.peer.name) == ("us", "eu")


def test_the_vector_of_a_hello_is_what_the_peer_claims():
    session = opening()
    session.receive(encode(hello(origin=US, heads={US: (3, bytes(16))}), TAG), NOW)
    assert session.claimed == {US: 3}


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"space": "other", "origin": US}, WrongSpace, "'other'.*'default'"),
        ({"version": 1, "origin": US}, WrongProtocolVersion, "version 1.*upgrade the older"),
        ({"nonce": 1}, IdentityClash, "linked to itself"),
        ({"nonce": 2, "name": "twin"}, IdentityClash, "'twin'.*live clone"),
        ({"origin": US, "clock_ms": NOW + SKEW + 1}, ClockSkew, "60,001 ms ahead of"),
        ({"origin": US, "clock_ms": NOW - SKEW - 1}, ClockSkew, "60,001 ms behind"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_a_reason(changes, error, reason):
    session = opening()
    with pytest.raises(error, match=reason):
        session.receive(encode(hello(**changes), TAG), NOW)
    assert session.state == "opening"
    assert session.peer is None


@pytest.mark.parametrize("skew_ms", [SKEW, -SKEW])
def test_a_clock_within_the_limit_is_taken(skew_ms):
    session = opening()
    session.receive(encode(hello(origin=US, clock_ms=NOW + skew_ms), TAG), NOW)
    assert session.state == "open"
    assert session.clock_skew_ms == skew_ms


# --- the state table ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(messages()))
def test_before_the_hello_nothing_else_may_come_but_a_refusal(name):
    session = opening(origin=US)
    if name in ("hello", "refuse"):
        _, message = messages()[name]
        session.receive(stored()[name], message.clock_ms if name == "hello" else NOW)
        assert session.state == {"hello": "open", "refuse": "closed"}[name]
    else:
        with pytest.raises(MessageInvalid, match="while the link is opening"):
            session.receive(stored()[name], NOW)


@pytest.mark.parametrize("name", sorted(messages()))
def test_on_an_open_link_everything_may_come_but_a_second_hello(name):
    session = opened()
    if name == "hello":
        with pytest.raises(MessageInvalid, match="while the link is open"):
            session.receive(stored()[name], NOW)
        return
    if name in ("snapshot-chunk", "snapshot-end"):
        session.receive(stored()["snapshot-begin"], NOW)
    session.receive(stored()[name], NOW)
    assert session.state == ("closed" if name == "refuse" else "open")


@pytest.mark.parametrize("name", sorted(messages()))
def test_a_closed_link_ignores_everything(name):
    session = opened()
    session.refuse("code", "reason")
    assert session.receive(stored()[name], NOW) is None
    assert session.receive(b"garbage", NOW) is None


def test_the_table_names_every_message():
    kinds = {type(message) for _, message in messages().values()}
    assert kinds == set(ALLOWED["opening"]) | set(ALLOWED["open"])


def test_a_refusal_is_the_last_thing_said():
    session = opened()
    session.refuse("idle", "silent")
    session.send(Want({US: 1}))
    session.refuse("again", "no")
    assert not session.is_due(NOW + 10_000)
    assert said(session) == [Refuse("idle", "silent")]


def test_a_frame_of_another_space_is_found_by_whoever_parses_it_and_a_chunk_here():
    session = Session(hello(space="other"), NOW, clock_skew_ms_max=SKEW)
    session.receive(encode(hello(space="other", origin=US), TAG), NOW)
    with pytest.raises(FrameCorrupt):
        session.receive(stored()["snapshot-chunk"], NOW)


# --- what is heard --------------------------------------------------------------------------------


def test_what_the_session_settles_itself_is_not_handed_on():
    session = opened()
    session.subscriptions = {EU: 1, US: 2}
    assert session.receive(encode(Prune((EU, 99)), TAG), NOW) is None
    assert session.subscriptions == {US: 2}
    assert session.receive(encode(Credit(5), TAG), NOW) is None


def test_gossip_tells_what_the_peer_has_and_how_its_clock_stands():
    session = opened()
    session.receive(encode(Gossip({US: 7}, NOW + 40), TAG), NOW)
    session.receive(encode(Gossip({5: 1}, NOW + 40), TAG), NOW)
    assert session.claimed == {US: 7, 5: 1}
    assert session.clock_skew_ms == 40
    assert session.lag_frames({US: 9, EU: 1}) == 3


# --- what is sent ---------------------------------------------------------------------------------


def test_gossip_is_due_every_second_and_names_only_what_is_new():
    session = opened()
    names = {EU: ("eu", 1), US: ("us", 2)}
    due = NOW + limits.GOSSIP_INTERVAL_MS
    assert not session.is_due(due - 1)
    assert session.is_due(due)
    session.gossip({EU: 1}, names, {"old"}, NOW, due)
    assert not session.is_due(due)
    assert said(session) == [Gossip({EU: 1}, NOW, {US: ("us", 2)}, ("old",))]
    session.gossip({EU: 1, US: 2}, names, {"old"}, NOW, due + limits.GOSSIP_INTERVAL_MS)
    assert said(session) == [Gossip({US: 2}, NOW, {})]
    session.gossip({EU: 1}, names, {"old"}, NOW, due + 2 * limits.GOSSIP_INTERVAL_MS)
    assert said(session) == [Gossip({}, NOW, {})]
    session.gossip({EU: 1, US: 3}, names, {"old"}, NOW, due + 3 * limits.GOSSIP_INTERVAL_MS)
    assert said(session) == [Gossip({US: 3}, NOW, {})]


def test_a_record_is_offered_only_if_it_is_the_next_one_that_the_peer_wants():
    session = opened()
    one, two = first_frame().raw, second_frame().raw
    assert session.offer_record(1, parse_header(one), one) is None
    session.subscriptions[EU] = 0
    assert session.offer_record(2, parse_header(two), two) is None
    assert session.offer_record(3, parse_header(one), one) == one
    assert session.offer_record(4, parse_header(one), one) is None
    assert session.offer_record(5, parse_header(two), two) == two
    assert session.position == 5
    assert session.subscriptions == {EU: 2}


def test_no_frames_are_no_message():
    session = opened()
    session.send_frames([])
    assert said(session) == []


# --- credit ---------------------------------------------------------------------------------------


def test_a_sender_stops_without_credit_and_goes_on_with_it(monkeypatch):
    raw = first_frame().raw
    monkeypatch.setattr(limits, "CREDIT_BYTES", 2 * len(raw) + 4)
    session = opened()
    for _ in range(3):
        assert session.may_send
        session.send_frames([raw])
        session.take_outgoing()
    assert not session.may_send
    session.receive(encode(Credit(len(raw)), TAG), NOW)
    assert session.may_send


def test_credit_never_grows_beyond_what_a_link_may_have_under_way():
    session = opened()
    session.receive(encode(Credit((1 << 63) - 1), TAG), NOW)
    session.send_frames([bytes(limits.CREDIT_BYTES)])
    session.take_outgoing()
    assert not session.may_send


def test_nothing_more_is_offered_while_a_message_waits_to_be_written():
    session = opened()
    session.send_frames([bytes(limits.MESSAGE_FRAMES_BYTES)])
    assert not session.may_send
    session.take_outgoing()
    assert session.may_send


def test_a_peer_that_sends_without_credit_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "CREDIT_BYTES", 1_000)
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1_000)
    session, data = opened(), encode(Frames((second_frame().raw,)), TAG)
    for _ in range(2_000 // len(data)):
        session.receive(data, NOW)
    with pytest.raises(MessageInvalid, match="credit"):
        session.receive(data, NOW)


def test_credit_is_given_back_in_quarters_and_with_gossip():
    session = opened()
    session.release(limits.CREDIT_BYTES // 4 - 1)
    assert said(session) == []
    session.release(1)
    assert said(session) == [Credit(limits.CREDIT_BYTES // 4)]
    session.release(5)
    session.gossip({}, {}, set(), NOW, NOW + limits.GOSSIP_INTERVAL_MS)
    assert said(session) == [Credit(5), Gossip({}, NOW, {})]


def chunks(count):
    """What a session sends of a snapshot with so many chunks, and the end of it."""
    giver = opened()
    giver.send(SnapshotBegin({}, {}, count))
    for number in range(count):
        giver.send_chunk(SnapshotChunk(f"p{number}", 1, b""))
    giver.send(SnapshotEnd())
    return giver.take_outgoing()


def test_the_chunks_of_a_snapshot_are_counted_anew_in_each():
    session = opened()
    for message in [*chunks(3), *chunks(0), *chunks(2)]:
        session.receive(message, NOW)
    assert session.state == "open"


@pytest.mark.parametrize("order", [(0, 2), (0, 1, 3), (1,), (3,), (0, 1, 1), (0, 3)])
def test_a_chunk_that_does_not_come_in_its_turn_is_refused(order):
    messages = chunks(2)
    session = opened()
    for place in order[:-1]:
        session.receive(messages[place], NOW)
    with pytest.raises(MessageInvalid, match="out of its turn"):
        session.receive(messages[order[-1]], NOW)


def test_a_chunk_costs_a_whole_frame_at_least():
    chunk = SnapshotChunk("a", 1, b"")
    assert cost_bytes(chunk, 10) == limits.FRAME_BYTES_MAX
    assert cost_bytes(chunk, limits.FRAME_BYTES_MAX + 9) == limits.FRAME_BYTES_MAX + 9
    assert cost_bytes(Frames(()), 10) == 10
    session = opened()
    sent = 0
    while session.may_send:
        session.send_chunk(chunk)
        session.take_outgoing()
        sent += 1
    assert sent * limits.CHUNK_DOCUMENTS_MAX < limits.BATCH_DOCUMENTS_MAX


def test_both_ends_count_the_same(monkeypatch):
    """Whatever is sent and released, a sender that keeps to its credit is never refused."""
    monkeypatch.setattr(limits, "CREDIT_BYTES", 1_500)
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 700)
    one, two = pair()
    waiting, delivered = [], 0
    for turn in range(400):
        if one.may_send:
            one.send_frames([second_frame().raw] if turn % 3 else [first_frame().raw])
        for data in one.take_outgoing():
            two.receive(data, NOW)
            waiting.append(len(data))
            delivered += 1
        if turn % 7 == 0:
            while waiting:
                two.release(waiting.pop())
            two.flush_credit()
        for data in two.take_outgoing():
            one.receive(data, NOW)
    assert delivered > 100


# --- origins at rest ------------------------------------------------------------------------------


def test_a_peer_with_the_same_origins_at_rest_has_nothing_to_tell():
    for changes, awaits in (
        ({}, False),
        ({"resting": 4}, True),
        ({"resting_digest": b"x" * 16}, True),
    ):
        session = opening(resting=3)
        session.receive(encode(hello(origin=US, **{"resting": 3, **changes}), TAG), NOW)
        assert session.awaits_resting == awaits


def test_origins_at_rest_are_told_in_parts_and_the_last_says_so(monkeypatch):
    monkeypatch.setattr(limits, "RESTING_CHUNK", 2)
    session = opened()
    heads = {origin: (origin, bytes(16)) for origin in range(1, 6)}
    session.send_resting(heads, {2: ("eu", 1)})
    parts = said(session)
    assert [(sorted(part.heads), part.names, part.is_last) for part in parts] == [
        ([1, 2], {2: ("eu", 1)}, False), ([3, 4], {}, False), ([5], {}, True),
    ]  # fmt: skip
    session.send_resting({}, {})
    assert said(session) == [Resting({}, {}, True)]
    peer = opening()
    peer.receive(encode(hello(origin=US, resting=5), TAG), NOW)
    for part in parts:
        assert peer.awaits_resting
        assert peer.receive(encode(part, TAG), NOW) == part
    assert not peer.awaits_resting


def test_a_peer_that_claims_origins_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "ORIGINS_MAX", 5)
    monkeypatch.setattr(limits, "RESTING_MAX", 0)
    session = opened()
    for origin in range(1, 6):
        session.receive(encode(Gossip({origin: 1}, NOW), TAG), NOW)
    session.receive(encode(Gossip({5: 2, 4: 0}, NOW), TAG), NOW)
    assert session.claimed == {1: 1, 2: 1, 3: 1, 4: 1, 5: 2}
    with pytest.raises(MessageInvalid, match="claims frames of 6 origins"):
        session.receive(encode(Gossip({6: 1}, NOW), TAG), NOW)


def test_a_peer_that_tells_of_origins_at_rest_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "RESTING_MAX", 3)
    session = opened()
    for _ in range(5):
        session.receive(encode(Resting({1: (1, bytes(16)), 2: (1, bytes(16))}, {}, True), TAG), NOW)
    session.receive(encode(Resting({1: (1, bytes(16)), 2: (1, bytes(16))}, {}, False), TAG), NOW)
    with pytest.raises(MessageInvalid, match="tells of 4 origins at rest"):
        session.receive(
            encode(Resting({3: (1, bytes(16)), 4: (1, bytes(16))}, {}, False), TAG), NOW
        )
