"""Replicas that were removed for good: refused by all, while what they wrote stays."""

import pytest

from crdtstore.errors import ReplicaRemoved
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from tests.simulation.networks import network_of, read, settled, wire, write

NAMES = ["eu", "us", "ap", "old"]


def removed(network, name):
    return network.store(name).replication.removal.names


def linked(network, name):
    links = network.exchange(name).links.values()
    return {link.session.peer.name for link in links if link.session.state == "open"}


@pytest.mark.parametrize("shape", ["mesh", "chain", "ring"])
def test_a_name_that_was_removed_spreads_and_is_linked_by_nobody(shape):
    network = network_of(NAMES, shape)
    write(network, "old", "ann", n=1)
    settled(network)
    network.exchange("eu").remove_replicas({"old"})
    network.advance(60)
    for name in NAMES:
        assert removed(network, name) == {"old"}
        assert "old" not in linked(network, name)
    assert linked(network, "old") == set()
    assert any("replica-removed" in reason for reason in reasons(network))
    with pytest.raises(ReplicaRemoved):
        write(network, "old", "ann", n=2)
    network.crash("old")
    write(network, "ap", "ann", m=3)
    settled(network)
    assert read(network, "eu", "ann") == {"n": 1, "m": 3}


def reasons(network):
    return [text for each in network.wires.values() for _, text in each.reasons]


def test_what_a_removed_replica_gave_to_one_still_reaches_all():
    network = network_of(NAMES, "chain")  # eu - us - ap - old
    network.cut(wire(network, "us", "ap"))
    for number in range(5):
        write(network, "old", "ann", n=number)
        network.advance()
    network.advance(5)
    network.exchange("eu").remove_replicas({"old"})
    network.advance(5)
    write(network, "old", "bob", n="late, and given to ap")
    network.advance(5)
    assert removed(network, "ap") == set()
    network.heal(wire(network, "us", "ap"))
    network.advance(60)
    network.crash("old")
    settled(network)
    assert removed(network, "ap") == {"old"}
    assert read(network, "eu", "ann") == {"n": 4}
    assert read(network, "eu", "bob") == {"n": "late, and given to ap"}


def test_a_removed_replica_holds_no_journal_up(monkeypatch):
    monkeypatch.setattr("crdtstore.limits.CHECKPOINT_INTERVAL_MS", 300)
    settings = Settings(acknowledged_retention_ms=500)
    network = network_of(["eu", "us", "old"], settings=settings)
    network.crash("old")
    for number in range(40):
        write(network, "eu", "ann", n=number)
        network.advance(2)
    assert network.store("eu").ledger.first_position == 1
    network.exchange("us").remove_replicas({"old"})
    for number in range(40):
        write(network, "eu", "ann", n=number)
        network.advance(2)
    for name in ("eu", "us"):
        assert network.store(name).ledger.first_position > 40
        assert {known.name for known in network.store(name).retention.known.present()} == {
            "eu", "us",
        } - {name}  # fmt: skip


def test_a_removed_replica_comes_back_under_a_new_name():
    network = network_of(["eu", "old"])
    write(network, "eu", "ann", n=1)
    settled(network)
    network.cut(wire(network, "eu", "old"))
    write(network, "old", "bob", n="nobody has it")
    network.advance(3)
    network.exchange("eu").remove_replicas({"old"})
    network.heal(wire(network, "eu", "old"))
    network.advance(30)
    storage = network.machines["old"].storage
    network.crash("old")
    network.add("new", storage=storage.reopen())
    network.add("fresh", storage=MemoryStorage())
    network.wire("eu", "new")
    network.wire("eu", "fresh")
    settled(network)
    assert read(network, "fresh", "bob") == {"n": "nobody has it"}


def test_two_sides_that_remove_at_once_come_to_the_same_set():
    network = network_of(NAMES)
    network.crash("old")
    network.advance(2)
    network.exchange("eu").remove_replicas({"old"})
    network.exchange("ap").remove_replicas({"older"})
    network.advance(30)
    assert {frozenset(removed(network, name)) for name in ("eu", "us", "ap")} == {
        frozenset({"old", "older"})
    }


def test_a_removal_of_which_half_was_kept_is_whole_after_a_restart():
    network = network_of(["eu", "old"])
    network.advance(5)
    store = network.store("eu")
    store.commit(checkpoint=True)
    assert [known.name for known in store.retention.known.present()] == ["old"]
    store.replication.removal.learn(["old"])
    store.commit()
    network.crash("eu")
    network.restart("eu")
    assert network.store("eu").retention.known.present() == []
