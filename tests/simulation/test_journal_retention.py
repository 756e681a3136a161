"""A journal that is kept no longer than known replicas need: nobody ever sees a gap."""

import pytest

from crdtstore import limits
from crdtstore.model.operations import increment
from crdtstore.settings import Settings
from tests.simulation.networks import network_of, read, settled, wire, write

SETTINGS = Settings(acknowledged_retention_ms=500, journal_retention_ms=20_000)


@pytest.fixture(autouse=True)
def quick_checkpoints(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 300)


def count(network, name, times=1, *, steps=1):
    """Increment a counter at a replica, one commit each."""
    for _ in range(times):
        network.store(name).write("ann", {"logins": increment()}, source="crm")
        network.advance(steps)


def frames_kept(network, name):
    ledger = network.store(name).ledger
    return ledger.position - ledger.first_position + 1


def taken(network, name):
    return network.store(name).counters["snapshot_documents"]


def test_linked_replicas_keep_a_short_journal():
    network = network_of(settings=SETTINGS)
    for _ in range(30):
        for name in network.machines:
            count(network, name, steps=2)
    settled(network)
    for name in network.machines:
        assert frames_kept(network, name) < 60 < network.store(name).ledger.position
        assert read(network, name, "ann") == {"logins": 120}
        assert taken(network, name) == 0


def test_a_replica_that_was_away_for_a_while_is_sent_its_frames():
    network = network_of(["eu", "us", "ap"], settings=SETTINGS)
    for end in ("eu", "us"):
        network.cut(wire(network, end, "ap"))
    count(network, "ap", 5)
    count(network, "eu", 60)
    assert frames_kept(network, "eu") >= 60
    for end in ("eu", "us"):
        network.heal(wire(network, end, "ap"))
    settled(network)
    assert read(network, "ap", "ann") == {"logins": 65}
    assert taken(network, "ap") == 0
    count(network, "us", 30, steps=2)
    assert frames_kept(network, "eu") < 60


@pytest.mark.parametrize("shape", ["chain", "mesh"])
def test_a_replica_that_was_away_for_too_long_takes_a_snapshot(shape):
    network = network_of(["eu", "us", "ap"], shape, settings=SETTINGS)
    cut = [each for each in network.wires.values() if "ap" in (each.one, each.two)]
    for each in cut:
        network.cut(each)
    count(network, "ap", 7)
    count(network, "eu", 150, steps=2)
    assert frames_kept(network, "us") < 150
    for each in cut:
        network.heal(each)
    settled(network)
    assert {read(network, name, "ann")["logins"] for name in network.machines} == {157}
    assert taken(network, "ap") == 1
    write(network, "ap", "bob", city="Bonn")
    settled(network)
    assert read(network, "eu", "bob") == {"city": "Bonn"}


def test_a_replica_that_crashed_while_others_trimmed_has_no_gap():
    network = network_of(["eu", "us", "ap"], settings=SETTINGS)
    for round_number in range(12):
        name = ("eu", "us", "ap")[round_number % 3]
        network.crash(name)
        for other in network.running():
            count(network, other, 10 + 8 * (round_number % 4), steps=2)
        network.restart(name)
        network.advance(5)
    settled(network)
    written = 2 * 3 * (10 + 18 + 26 + 34)
    assert {read(network, name, "ann")["logins"] for name in network.machines} == {written}
