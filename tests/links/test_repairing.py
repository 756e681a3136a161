"""Repairs between simulated replicas: both ends hold the join, whatever happens on the way."""

import itertools

import pytest

from crdtstore import limits
from crdtstore.errors import PeerNotLinked, RepairUnderWay, StorageCorrupt, StorageFull
from crdtstore.model.values import pack
from crdtstore.sync.frame import space_tag
from crdtstore.sync.messages import Message, encode
from crdtstore.sync.ranges import Fingerprint, Range
from crdtstore.sync.repair_messages import LAST, PUSHED, Compare, Differences, Documents, Fetch
from crdtstore.testing.simulation import Network

GHOST = 666
TAG = space_tag("default")
ALL = Compare(((Range("", ""), Fingerprint(0, 0)),))


def linked(*names: str, count: int = 200) -> Network:
    """Replicas in a chain with the same documents, at rest."""
    network = Network(seed=5)
    for name in names:
        network.add(name)
    for number in range(count):
        network.store(names[0]).write(f"p{number:04d}", {"n": number}, source="crm")
    for one, two in itertools.pairwise(names):
        network.wire(one, two)
    network.advance(5)
    network.settle()
    for name in names:
        network.store(name).commit(checkpoint=True)
    return network


def haunt(network: Network, name: str, *profile_ids: str, size: int = 8) -> None:
    """Give a replica cells that came by no frame: no vector will ever bring them elsewhere."""
    store = network.store(name)
    stamp = store.now_ms() << 16
    for profile_id in profile_ids:
        cells = {f"r{name}{part}\x1fghost": (stamp, GHOST, "x" * min(size - part, 60_000))
                 for part in range(0, size, 60_000)}  # fmt: skip
        for key, cell in cells.items():
            entry = pack((profile_id, 0, {key: cell}))
            store.replication.healing.join(b"\x91" + entry, stamp, store.now_ms(), None)
    store.commit()


def damage(network: Network, name: str, *profile_ids: str) -> None:
    store = network.store(name)
    documents = store.storage._tables.documents
    for profile_id in profile_ids:
        documents[profile_id.encode()] = documents[profile_id.encode()][:-1] + b"?"
        store.documents._young.pop(profile_id, None)
        store.documents._old.pop(profile_id, None)


def number_of(network: Network, name: str, peer: str) -> int:
    for number, link in network.exchange(name).links.items():
        if link.session.peer is not None and link.session.peer.name == peer:
            return number
    raise AssertionError(f"{name} has no link to {peer}")


def begin(network: Network, name: str, peer: str, *, is_quick: bool = False):
    return network.exchange(name).start_repair(number_of(network, name, peer), is_quick=is_quick)


def repaired(network: Network, name: str, peer: str, steps_max: int = 300, is_quick: bool = False):
    repair = begin(network, name, peer, is_quick=is_quick)
    for _ in range(steps_max):
        network.advance()
        if repair.state != "running":
            return repair.report
    raise AssertionError(f"it has not ended: {repair.report}")


def digests(network: Network, *names: str) -> set[str]:
    return {network.store(name).digest().digest for name in names}


def test_equal_stores_cost_one_round_and_change_nothing():
    network = linked("eu", "us", count=3_000)
    positions = [network.store(name).ledger.position for name in ("eu", "us")]
    report = repaired(network, "eu", "us")
    assert report.is_healed
    assert (report.peer, report.rounds, report.differing, report.ids) == ("us", 1, 0, ())
    assert report.sent_bytes + report.received_bytes < 700
    assert [network.store(name).ledger.position for name in ("eu", "us")] == positions


@pytest.mark.parametrize("asker", ["eu", "us"])
def test_after_a_repair_both_hold_the_join_of_every_document(asker):
    network = linked("eu", "us", count=1_500)
    haunt(network, "eu", "p0003", "p0500", "only at eu", "a")
    haunt(network, "us", "p0003", "p1400", "only at us")
    network.store("us").replication.healing.join(
        b"\x91" + pack(("p0700", 1, {})), 1 << 40, network.clock.now_ms, None
    )
    network.advance(3)
    assert len(digests(network, "eu", "us")) == 2
    report = repaired(network, asker, "us" if asker == "eu" else "eu")
    names = ("a", "only at eu", "only at us", "p0003", "p0500", "p0700", "p1400")
    assert (report.is_healed, report.differing) == (True, 7)
    assert tuple(sorted(report.ids)) == names
    assert report.rounds <= 3
    assert len(digests(network, "eu", "us")) == 1
    for name in ("eu", "us"):
        assert set(network.store(name).read("p0003")) == {"n", "eu0", "us0"}
        assert network.store(name).verify().is_sound
        network.crash(name)
        network.restart(name)
    assert len(digests(network, "eu", "us")) == 1


def test_documents_that_do_not_rest_yet_are_compared_and_exchanged():
    network = linked("eu", "us")
    (wire,) = network.wires.values()
    haunt(network, "us", "p0001")
    network.store("eu").write("p0002", {"fresh": 1}, source="crm")
    network.store("us").write("p0003", {"fresh": 1}, source="crm")
    wire.delay_ms = 2 * 100
    report = repaired(network, "eu", "us")
    assert "p0001" in report.ids
    network.settle()
    assert len(digests(network, "eu", "us")) == 1


def test_damaged_records_at_both_ends_are_healed():
    network = linked("eu", "us")
    damage(network, "eu", "p0010", "p0011")
    damage(network, "us", "p0020")
    with pytest.raises(StorageCorrupt):
        network.store("us").read("p0020")
    report = repaired(network, "us", "eu")
    assert (report.differing, report.fetched, report.pushed) == (3, 1, 2)
    assert tuple(sorted(report.ids)) == ("p0010", "p0011", "p0020")
    for name in ("eu", "us"):
        assert network.store(name).verify().is_sound
        assert network.store(name).read("p0020")["n"] == 20
    assert len(digests(network, "eu", "us")) == 1


def test_a_record_that_is_damaged_at_both_ends_stays_so():
    network = linked("eu", "us")
    damage(network, "eu", "p0010")
    damage(network, "us", "p0010")
    assert repaired(network, "us", "eu").differing == 0
    assert network.store("us").verify().damaged == ("p0010",)


def test_third_replicas_are_reached_by_repairs_of_their_own():
    network = linked("eu", "us", "ap")
    haunt(network, "eu", "p0001", "new")
    repaired(network, "us", "eu")
    network.advance(30)
    assert len(digests(network, "eu", "us")) == 1
    assert len(digests(network, "us", "ap")) == 2
    assert repaired(network, "us", "ap").is_healed
    assert len(digests(network, "eu", "us", "ap")) == 1


def test_both_ends_may_repair_at_one_time():
    network = linked("eu", "us", count=1_200)
    haunt(network, "eu", *(f"p{number:04d}" for number in range(0, 1_200, 10)))
    haunt(network, "us", *(f"p{number:04d}" for number in range(5, 1_200, 10)))
    repairs = [begin(network, "eu", "us"), begin(network, "us", "eu")]
    network.advance(100)
    assert [repair.state for repair in repairs] == ["done", "done"]
    assert len(digests(network, "eu", "us")) == 1


def test_writers_and_slow_disks_do_not_stop_a_repair():
    network = linked("eu", "us", count=800)
    for name in ("eu", "us"):
        network.machines[name].commit_ms = 150
        haunt(network, name, *(f"p{number:04d}" for number in range(len(name) * 7, 800, 31)))
    repair = begin(network, "eu", "us")
    for step in range(300):
        if repair.state != "running":
            break
        network.store("eu").write(f"p{step:04d}", {"n": step}, source="w")
        network.store("us").write(f"p{step * 2:04d}", {"n": -step}, source="v")
        network.advance()
    assert repair.report.is_healed
    network.settle()
    assert repaired(network, "us", "eu").is_healed
    assert len(digests(network, "eu", "us")) == 1


def test_a_document_larger_than_a_message_travels_in_parts():
    network = linked("eu", "us", count=40)
    haunt(network, "eu", "large", size=900_000)
    haunt(network, "us", "p0001", "larger", size=900_000)
    report = repaired(network, "eu", "us")
    assert report.is_healed
    assert report.sent_bytes > 900_000
    assert report.received_bytes > 1_800_000
    assert len(digests(network, "eu", "us")) == 1


def test_more_than_a_batch_and_more_than_are_named(monkeypatch):
    monkeypatch.setattr(limits, "HEAL_DOCUMENTS", 50)
    monkeypatch.setattr(limits, "HEAL_QUEUE_MAX", 60)
    monkeypatch.setattr(limits, "DIFFERING_PROFILES_MAX", 30)
    network = linked("eu", "us", count=400)
    haunt(network, "us", *(f"q{number:04d}" for number in range(300)))
    report = repaired(network, "eu", "us")
    assert (report.is_healed, report.differing, report.fetched, report.pushed) == (
        True,
        300,
        300,
        0,
    )
    assert len(report.ids) == 30
    assert len(digests(network, "eu", "us")) == 1


# --- what ends a repair ---------------------------------------------------------------------------


def test_one_repair_runs_at_a_time_and_over_an_open_link():
    network = linked("eu", "us", "ap")
    with pytest.raises(PeerNotLinked):
        network.exchange("us").start_repair(99)
    begin(network, "us", "eu")
    with pytest.raises(RepairUnderWay):
        begin(network, "us", "ap")
    network.advance(10)
    assert repaired(network, "us", "ap").is_healed


def test_none_runs_while_a_snapshot_is_received():
    network = linked("eu", "us")
    exchange, number = network.exchange("eu"), number_of(network, "eu", "us")
    exchange._fetch.ask(number, exchange.links[number])
    with pytest.raises(RepairUnderWay, match="snapshot"):
        begin(network, "eu", "us")


def test_a_lost_link_ends_it_with_a_reason_and_it_can_be_repeated():
    network = linked("eu", "us")
    (wire,) = network.wires.values()
    haunt(network, "us", "p0001")
    wire.delay_ms = 3 * 100
    repair = begin(network, "eu", "us")
    network.advance(2)
    network.drop(wire)
    assert (repair.state, repair.report.is_healed) == ("failed", False)
    assert "lost" in repair.report.reason
    network.advance(20)
    assert repaired(network, "eu", "us").is_healed
    assert len(digests(network, "eu", "us")) == 1


@pytest.mark.parametrize("name", ["eu", "us"])
def test_a_full_disk_ends_it_and_nothing_is_half_done(name):
    network = linked("eu", "us")
    haunt(network, "eu", "p0001")
    haunt(network, "us", "p0002")
    repair = begin(network, "eu", "us")
    network.machines[name].storage.fail_next_commit(StorageFull("full"))
    network.advance(10)
    assert repair.state == "failed"
    network.advance(40)
    assert repaired(network, "eu", "us").is_healed
    assert len(digests(network, "eu", "us")) == 1


def test_a_peer_that_does_not_answer_is_left(monkeypatch):
    monkeypatch.setattr(limits, "REPAIR_PATIENCE_MS", 2_000)
    network = linked("eu", "us")
    answering = network.exchange("us").links[number_of(network, "us", "eu")].answering
    monkeypatch.setattr(type(answering), "step", lambda self: None)
    repair = begin(network, "eu", "us")
    network.advance(15)
    assert repair.state == "running"
    network.advance(10)
    assert repair.state == "failed"
    assert "does not answer" in repair.report.reason


# --- hostile messages -----------------------------------------------------------------------------


def told(network: Network, *messages: Message) -> str:
    """Say messages to eu in the name of us; return why the link is refused, "" if it is not."""
    exchange = network.exchange("eu")
    number = number_of(network, "eu", "us")
    for message in messages:
        exchange.receive(number, encode(message, TAG))
    return exchange.links[number].reason_code


ENTRIES = b"\x91" + pack(("evil", 0, {"rx\x1fcrm": (1 << 40, GHOST, 1)}))


@pytest.mark.parametrize(
    "messages",
    [
        [Differences({}, {})],
        [Documents(LAST, 1 << 40, ENTRIES)],
        [Documents(PUSHED, 1 << 40, ENTRIES)],
        [ALL] * (limits.COMPARE_WINDOW + 1),
        [Fetch(("p0001",))] * (limits.FETCHES_MAX + 1),
    ],
)
def test_messages_out_of_place_close_the_link_and_change_nothing(messages):
    network = linked("eu", "us", count=20)
    before = network.store("eu").digest()
    assert told(network, *messages) == "message-invalid"
    assert network.store("eu").digest() == before


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Differences({}, {99: []}), "message-invalid"),
        (Differences({0: [("", Fingerprint(9, 9))]}, {}), "message-invalid"),
        (Documents(LAST, 1 << 40, ENTRIES), "message-invalid"),
    ],
)
def test_an_answer_that_does_not_fit_ends_repair_and_link(answer, code):
    network = linked("eu", "us", count=200)
    repair = begin(network, "eu", "us")
    network.exchange("eu").take_outgoing(number_of(network, "eu", "us"))
    assert told(network, answer) == code
    assert repair.state == "failed"


def test_documents_of_other_ids_than_were_fetched_are_refused():
    network = linked("eu", "us", count=20)
    repair = begin(network, "eu", "us")
    number = number_of(network, "eu", "us")
    network.exchange("eu").take_outgoing(number)
    assert told(network, Differences({}, {0: [("zzz", 5)]})) == ""
    network.exchange("eu").take_outgoing(number)
    before = network.store("eu").digest()
    assert told(network, Documents(LAST, 1 << 40, ENTRIES)) == "frame-corrupt"
    assert (repair.state, network.store("eu").digest()) == ("failed", before)


@pytest.mark.parametrize("stamp", [1 << 62, 1 << 39])
def test_pushed_documents_are_checked_as_a_snapshot_s(stamp):
    network = linked("eu", "us", count=20)
    assert told(network, ALL, Documents(PUSHED, stamp, ENTRIES)) in ("clock-skew", "frame-corrupt")
    with pytest.raises(LookupError):
        network.store("eu").read("evil")


def test_more_documents_than_credit_are_refused():
    network = linked("eu", "us", count=20)
    messages = [Documents(PUSHED, 1 << 40, ENTRIES)] * 40
    assert told(network, ALL, *messages) == "message-invalid"


def test_a_fetched_document_is_sent_when_it_is_durable_and_not_before():
    network = linked("eu", "us", count=20)
    exchange, number = network.exchange("eu"), number_of(network, "eu", "us")
    exchange.store.write("p0001", {"fresh": "not durable"}, source="crm")
    exchange.receive(number, encode(Fetch(("p0001",)), TAG))
    assert not any(data[0] == 16 for data in exchange.take_outgoing(number))
    commit = exchange.begin_commit()
    assert not any(data[0] == 16 for data in exchange.take_outgoing(number))
    commit.persist(exchange.store.storage)
    exchange.finish_commit(commit)
    (sent,) = [data for data in exchange.take_outgoing(number) if data[0] == 16]
    assert b"not durable" in sent
