"""Origins that retired leave the vectors: nothing is lost by it, and who comes late has no gap."""

from dataclasses import replace

import pytest

from crdtstore import limits
from crdtstore.engine.identity import RESTORED
from crdtstore.links.greeting import hello_of
from crdtstore.model.operations import increment
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.sync.frame import space_tag
from crdtstore.sync.messages import Resting, SnapshotRequest, decode, encode
from crdtstore.testing.simulation import copy_storage
from tests.simulation.networks import network_of, read, settled, wire

SETTINGS = Settings(acknowledged_retention_ms=300, journal_retention_ms=5_000)
TAG = space_tag("default")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 200)
    monkeypatch.setattr(limits, "RESTING_LOOK_MS", 200)


def count(network, name, times=1, *, steps=1):
    """Increment a counter at a replica, one commit each; return how often."""
    for _ in range(times):
        network.store(name).write("ann", {"logins": increment()}, source="crm")
        network.advance(steps)
    return times


def renew(network, name):
    """Let a replica begin another life, as after a restore."""
    network.crash(name, persists=True)
    node = network.machines[name]
    node.storage.commit(Batch(meta={RESTORED: b"1"}))
    network.restart(name)


def logins(network):
    return {read(network, name, "ann")["logins"] for name in network.running()}


def active(network, name):
    return len(network.store(name).ledger.heads)


def resting(network, name):
    return len(network.store(name).ledger.resting)


def taken(network, name):
    return network.store(name).counters["snapshot_documents"]


def lives(network, names, rounds, total=0):
    """Let each replica live so many lives, and write in each of them."""
    for _ in range(rounds):
        for name in names:
            renew(network, name)
            network.advance(4)
            total += count(network, name)
            network.advance(4)
    return total


def test_hundreds_of_incarnations_leave_vectors_small():
    names = ["eu", "us", "ap"]
    network = network_of(names, settings=SETTINGS)
    total = lives(network, names, 100)
    total += count(network, "eu", 20, steps=2)
    settled(network)
    assert logins(network) == {total}
    for name in names:
        store = network.store(name)
        assert active(network, name) < 20
        assert resting(network, name) > 280
        assert len(store.digest().vector) == len(store.ledger.vector()) >= 300
        assert len(encode(hello_of(store, 1), TAG)) < 2_000
        assert all(len(waypoint.vector) < 30 for waypoint in store.ledger._waypoints)
        assert store.counters["frames_refused"] == 0
        assert taken(network, name) == 0
        store.commit(checkpoint=True)
        assert store.verify().is_sound
    assert len({frozenset(network.store(name).digest().vector) for name in names}) == 1


@pytest.mark.parametrize("shape", ["mesh", "chain"])
def test_a_replica_from_before_comes_back_by_a_snapshot(shape):
    names = ["eu", "us", "ap"]
    network = network_of(names, shape, settings=SETTINGS)
    total = lives(network, names, 3)
    settled(network)
    network.crash("ap")
    total += lives(network, ["eu", "us"], 30)
    total += count(network, "eu", 60, steps=2)
    assert resting(network, "eu") > 50
    network.restart("ap")
    total += count(network, "ap", 3)
    settled(network)
    assert logins(network) == {total}
    assert taken(network, "ap") == 1
    network.advance(20)
    assert active(network, "ap") < 20
    assert resting(network, "ap") > 50


def test_a_fresh_replica_has_at_rest_what_rests_elsewhere_and_tells_the_next(monkeypatch):
    monkeypatch.setattr(limits, "RESTING_CHUNK", 7)
    network = network_of(["eu", "us"], settings=SETTINGS)
    total = lives(network, ["eu", "us"], 30)
    for before, name in (("us", "ap"), ("ap", "sa")):
        network.add(name)
        network.wire(before, name)
        total += count(network, name, 2)
        settled(network)
        assert logins(network) == {total}
        assert active(network, name) < 20
        assert resting(network, name) > 40
        assert taken(network, name) == 1
    for name in ("eu", "sa"):
        network.crash(name)
        network.restart(name)
        settled(network)
        assert resting(network, name) > 40
        assert taken(network, name) == 0
    assert logins(network) == {total}


def test_an_origin_at_rest_that_writes_again_wakes_up_everywhere():
    """Two replicas share a name, against all advice: one of them counts as retired."""
    network = network_of(["ap", "eu", "us"], "chain", settings=SETTINGS)
    network.advance(5)
    network.add("twin")
    network.machines["twin"].name = "us"
    network.crash("twin")
    network.restart("twin")
    network.wire("eu", "twin")
    total = count(network, "us", 3) + count(network, "twin", 3)
    for _ in range(10):
        total += count(network, "eu", 30)
        network.advance(10)
        assert resting(network, "ap") == 1
        total += count(network, "us", 2) + count(network, "twin", 2)
        settled(network)
        assert logins(network) == {total}
        network.crash("ap", persists=total % 2 == 0)
        network.restart("ap")
    assert taken(network, "ap") == 0


def test_a_removed_replica_s_origin_rests_and_wakes_for_what_was_on_its_way():
    network = network_of(["eu", "us", "ap", "old"], "chain", settings=SETTINGS)
    total = count(network, "old", 5)
    settled(network)
    network.cut(wire(network, "us", "ap"))
    network.exchange("eu").remove_replicas({"old"})
    total += count(network, "eu", 40, steps=2)
    assert resting(network, "eu") == 1
    total += count(network, "old", 5)
    network.advance(3)
    network.crash("old")
    network.heal(wire(network, "us", "ap"))
    settled(network)
    assert logins(network) == {total}
    total += count(network, "eu", 80, steps=2)
    settled(network)
    for name in ("eu", "us", "ap"):
        assert resting(network, name) == 1
    assert logins(network) == {total}


def test_a_live_clone_of_an_old_state_is_found_though_its_origin_rests():
    """A rollback of which only an origin at rest tells: the replica takes a new origin."""
    network = network_of(["eu", "us"], settings=SETTINGS)
    total = count(network, "us", 2)
    settled(network)
    ours = network.store("us").replication.identity.origin
    network.crash("us")
    old = copy_storage(network.machines["us"].storage)
    network.restart("us")
    total += count(network, "us", 4)
    renew(network, "us")
    total += count(network, "eu", 60, steps=2)
    assert network.store("eu").ledger.resting.sequence(ours) == 6
    network.crash("us")
    network.machines["us"].storage = old
    network.restart("us")
    settled(network)
    assert network.store("us").replication.identity.origin != ours
    assert logins(network) == {total}


def test_no_frames_are_asked_for_before_the_peer_has_told_its_origins_at_rest():
    network = network_of(["eu", "us"], settings=SETTINGS)
    count(network, "us", 3)
    settled(network)
    exchange = network.exchange("eu")
    network.cut(wire(network, "eu", "us"))
    count(network, "us", 2)
    number = exchange.open_link(outbound=True)
    exchange.take_outgoing(number)
    said = hello_of(network.store("us"), 5)
    exchange.receive(number, encode(replace(said, resting=1), TAG))
    kinds = [type(decode(data, TAG)) for data in exchange.take_outgoing(number)]
    assert kinds == [Resting]
    exchange.receive(number, encode(Resting({99: (2, bytes(16))}, {99: ("old", 1)}, True), TAG))
    (asked,) = [decode(data, TAG) for data in exchange.take_outgoing(number)]
    assert asked == SnapshotRequest("")
    assert network.store("eu").replication.names[99] == "old"


def test_a_peer_with_another_history_of_ours_at_rest_is_refused():
    network = network_of(["eu", "us"], settings=SETTINGS)
    count(network, "eu", 3)
    settled(network)
    store = network.store("eu")
    ours = store.replication.identity.origin
    network.cut(wire(network, "eu", "us"))
    for head, code in (((4, b"x" * 16), "new-incarnation"), ((3, b"x" * 16), "identity-clash")):
        exchange = network.exchange("eu")
        number = exchange.open_link(outbound=True)
        said = replace(hello_of(network.store("us"), 5), heads={}, resting=1)
        exchange.receive(number, encode(said, TAG))
        exchange.receive(number, encode(Resting({ours: head}, {}, True), TAG))
        assert exchange.links[number].reason_code == code
        if code == "new-incarnation":
            assert store.replication.identity.origin != ours
            ours = store.replication.identity.origin
            count(network, "eu", 3)
    assert store.replication.fence.reason
