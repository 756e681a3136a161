"""Peers that come late, and peers that misbehave."""

import pytest

from crdtstore import limits
from crdtstore.settings import Settings
from crdtstore.sync.messages import Frames, SnapshotRequest, Want, encode
from crdtstore.testing.simulation import Network
from tests.simulation.networks import network_of, read, settled, wire, write

# --- snapshots ------------------------------------------------------------------------------------


@pytest.fixture
def snapshots_of_one(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_FRESH_PROFILES_MIN", 5)
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 1)
    monkeypatch.setattr(limits, "CREDIT_BYTES", 1_000)


def full_network(names, shape="mesh", count=20):
    network = network_of(names, shape)
    for number in range(count):
        write(network, names[0], f"p{number:02d}", n=number)
        network.advance()
    settled(network)
    for name in names:
        network.store(name).commit(checkpoint=True)
    return network


def received(network, name):
    return network.store(name).counters["snapshot_documents"]


@pytest.mark.usefixtures("snapshots_of_one")
def test_a_late_joiner_takes_a_snapshot_and_then_frames():
    network = full_network(["a", "b"])
    network.add("late")
    network.wire("a", "late")
    settled(network)
    assert received(network, "late") == 20
    assert network.store("late").counters["frames_applied"] == 0
    write(network, "b", "p00", n="after")
    settled(network)
    assert read(network, "late", "p00") == {"n": "after"}


@pytest.mark.usefixtures("snapshots_of_one")
def test_a_late_joiner_of_a_late_joiner_takes_one_snapshot_too():
    network = full_network(["a"])
    for before, name in (("a", "b"), ("b", "c"), ("c", "d")):
        network.add(name)
        network.wire(before, name)
        settled(network)
        assert received(network, name) == 20
    write(network, "a", "p00", n="after")
    settled(network)
    assert read(network, "d", "p00") == {"n": "after"}


@pytest.mark.usefixtures("snapshots_of_one")
@pytest.mark.parametrize("how", ["drop", "crash", "another peer"])
def test_a_snapshot_that_is_broken_off_goes_on_where_it_was(how):
    network = full_network(["a", "b"])
    network.add("late")
    first = network.wire("a", "late")
    while received(network, "late") < 7:
        network.happen()
    assert network.store("late").replication.progress is not None
    kept = network.store("late").replication.progress.after
    if how == "drop":
        network.drop(first)
    elif how == "crash":
        network.crash("late")
        network.restart("late")
        kept = network.store("late").replication.progress.after
    else:
        network.cut(first)
        network.wire("b", "late")
    settled(network)
    total = received(network, "late") + (int(kept[1:]) + 1 if how == "crash" else 0)
    assert total <= 20 + 2
    assert network.store("late").digest().digest == network.store("a").digest().digest


@pytest.mark.usefixtures("snapshots_of_one")
def test_a_snapshot_whose_giver_was_refused_goes_on_with_another_open_link():
    network = full_network(["a", "b"])
    network.add("late")
    giver = network.wire("a", "late")
    network.wire("b", "late")
    while received(network, "late") < 5:
        network.happen()
    exchange = network.exchange("late")
    exchange.receive(giver.dialled.numbers[1], b"garbage")
    network.cut(giver)
    network.advance()
    settled(network)
    assert received(network, "late") <= 22


def test_a_peer_that_fell_behind_a_trimmed_journal_takes_a_snapshot(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    network = network_of(["a", "b"], settings=Settings(journal_bytes_max=600))
    write(network, "b", "own", x=1)
    settled(network)
    network.cut(wire(network, "a", "b"))
    for number in range(20):
        write(network, "a", f"p{number % 4}", n=number)
        network.advance()
        while network.machines["a"].has_work:
            network.happen()
        network.store("a").commit(checkpoint=True)
    write(network, "b", "own", x=2)
    network.advance()
    network.heal(wire(network, "a", "b"))
    settled(network)
    assert received(network, "b") > 0
    assert read(network, "a", "own") == {"x": 2}


def test_many_small_documents_under_way_fit_into_one_commit(monkeypatch):
    """A receiver whose disk is slow gets no more documents than one batch may hold."""
    monkeypatch.setattr(limits, "BATCH_DOCUMENTS_MAX", 50)
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 2)
    monkeypatch.setattr(limits, "SNAPSHOT_FRESH_PROFILES_MIN", 5)
    network = Network(1)
    network.add("a")
    for number in range(400):
        write(network, "a", f"p{number:03d}", n=1)
    network.store("a").commit(checkpoint=True)
    network.advance(40)
    network.add("late")
    network.wire("a", "late")
    network.machines["late"].commit_ms = 150
    settled(network)
    assert received(network, "late") == 400


# --- peers that misbehave -------------------------------------------------------------------------


def hostile(network, message, tag):
    link = network.wires["eu", "us"].dialled.numbers[1]
    data = message if isinstance(message, bytes) else encode(message, tag)
    network.exchange("us").receive(link, data)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"\x02garbage",
        b"\x01\x90",
        b"\x07\x91\xd9\xff" + b"x" * 255,
        encode(SnapshotRequest("x" * 600), bytes(16)),
        b"\x09" + bytes(40),
        Frames((b"CF" + bytes(62),)),
        b"\x02" * (limits.MESSAGE_BYTES_MAX + 1),
    ],
)
def test_a_peer_that_talks_nonsense_is_refused_and_may_come_again(message):
    network = network_of(["eu", "us"])
    write(network, "us", "ann", x=1)
    settled(network)
    before = network.store("us").digest()
    hostile(network, message, network.store("us").replication._tag)
    network.advance(2)
    if network.wires["eu", "us"].reasons:
        assert dict(network.wires["eu", "us"].reasons)["us"].startswith(("message", "frame"))
    assert network.store("us").digest() == before
    write(network, "eu", "bob", x=1)
    settled(network)
    assert read(network, "us", "bob") == {"x": 1}


def test_a_peer_that_wants_everything_of_everybody_gets_what_there_is():
    network = network_of(["eu", "us"])
    write(network, "us", "ann", x=1)
    settled(network)
    hostile(network, Want(dict.fromkeys(range(1, 5000), 0)), b"")
    write(network, "us", "ann", x=2)
    settled(network)
    assert read(network, "eu", "ann") == {"x": 2}


def test_a_silent_peer_is_given_up():
    network = network_of(["eu", "us"])
    wire(network, "eu", "us").delay_ms = 1_000_000 * 100
    network.advance(limits.LINK_IDLE_MS_MAX // 100 + 3)
    assert dict(wire(network, "eu", "us").reasons)["eu"].startswith("idle: ")
