"""What happens between replicas when one thing goes wrong, one readable story at a time."""

import re

import pytest

from crdtstore.errors import ProfileErased
from crdtstore.model.operations import add, grant, increment, revoke
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing.simulation import Network, copy_storage
from tests.simulation.networks import NAMES, network_of, read, settled, wire, write

# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["mesh", "chain", "hub", "ring"])
def test_in_a_quiet_network_nobody_is_sent_a_frame_twice(shape):
    network = network_of(shape=shape)
    network.advance(30)
    for number in range(40):
        write(network, NAMES[number % 4], f"p{number % 5}", n=number, **{NAMES[number % 4]: number})
        network.advance(number % 3)
    settled(network)
    for name in NAMES:
        counters = network.store(name).counters
        assert counters["frames_duplicate"] == 0, name
        assert counters["frames_applied"] + counters["frames_sealed"] == sum(
            network.store(name).ledger.vector().values()
        )


def test_a_write_reaches_a_direct_peer_in_the_next_step():
    network = network_of(["eu", "us"])
    network.advance(30)
    write(network, "eu", "ann", x=1)
    network.advance(2)
    assert read(network, "us", "ann") == {"x": 1}


def test_nothing_is_sent_before_it_is_durable():
    network = network_of(["eu", "us"])
    network.machines["eu"].commit_ms = 150
    write(network, "eu", "ann", x=1)
    network.advance()
    network.crash("eu")
    network.restart("eu")
    settled(network)
    assert network.store("us").digest().profiles == 0


def test_a_chain_relays_and_a_relay_that_restarts_goes_on():
    network = network_of(["a", "b", "c", "d"], "chain")
    for number in range(30):
        write(network, "a", f"p{number}", n=number)
        if number == 15:
            network.crash("b")
        if number == 20:
            network.restart("b")
        network.advance()
    settled(network)
    assert network.store("d").digest().profiles == 30


def test_a_relay_that_is_gone_for_good_is_replaced_by_another_way():
    network = network_of(["a", "b", "c", "d"], "ring")
    network.advance(30)
    network.crash("b")
    write(network, "a", "ann", x=1)
    write(network, "c", "bob", x=1)
    settled(network)
    assert read(network, "c", "ann") == read(network, "a", "bob") == {"x": 1}


def test_a_relay_that_is_linked_but_sends_nothing_is_replaced():
    network = network_of(["a", "b", "c"], "mesh")
    network.advance(30)
    network.cut(wire(network, "a", "c"))
    network.advance(30)
    session = next(
        link.session for link in network.exchange("b").links.values()
        if link.session.peer.name == "c"
    )  # fmt: skip
    write(network, "a", "ann", x=1)
    session.subscriptions.clear()
    settled(network)


# --- erasing --------------------------------------------------------------------------------------


def test_a_late_replica_cannot_bring_an_erased_person_back():
    network = network_of(["eu", "us"])
    write(network, "eu", "ann", email="ann@example.com")
    settled(network)
    network.cut(wire(network, "eu", "us"))
    network.store("eu").erase("ann")
    network.advance(20)
    network.clock.now_ms += 3_600_000
    network.store("us").write(
        "ann", {"email": "new@example.com", "tags": add("vip"), "n": increment()}, source="cdp"
    )
    network.advance(20)
    network.heal(wire(network, "eu", "us"))
    settled(network)
    for name in ("eu", "us"):
        with pytest.raises(ProfileErased):
            network.store(name).read("ann")
        assert network.store(name).documents.get("ann").cells == {}
    network.store("us").revive("ann")
    settled(network)
    assert read(network, "eu", "ann") == {}


def test_a_revival_wins_over_the_erasure_that_it_had_seen_and_over_no_later_one():
    network = network_of(["eu", "us"])
    network.store("eu").erase("ann")
    settled(network)
    network.cut(wire(network, "eu", "us"))
    network.store("us").revive("ann")
    write(network, "us", "ann", x=1)
    network.store("eu").revive("ann")
    network.store("eu").erase("ann")
    network.advance(5)
    network.heal(wire(network, "eu", "us"))
    settled(network)
    with pytest.raises(ProfileErased):
        network.store("us").read("ann")


def test_a_revocation_on_one_side_of_a_cut_wins_over_a_grant_on_the_other():
    network = network_of(["eu", "us"])
    write(network, "eu", "ann", mail=grant())
    settled(network)
    network.cut(wire(network, "eu", "us"))
    write(network, "eu", "ann", mail=revoke())
    network.clock.now_ms += 1_000
    write(network, "us", "ann", mail=grant())
    network.advance()
    network.heal(wire(network, "eu", "us"))
    settled(network)
    assert read(network, "us", "ann") == {"mail": False}


# --- who may link ---------------------------------------------------------------------------------


def refused(network, one="eu", two="us"):
    """Step until the wire's link was refused; return the reasons of both ends."""
    for _ in range(20):
        network.advance()
        if wire(network, one, two).reasons:
            return dict(wire(network, one, two).reasons)
    raise AssertionError("nobody refused")


@pytest.mark.parametrize("skew_ms", [61_500, -61_500])
def test_a_clock_that_is_wrong_is_refused_at_both_ends_with_the_reason(skew_ms):
    network = Network(1)
    network.add("eu")
    network.add("us", skew_ms=skew_ms)
    network.wire("eu", "us")
    write(network, "eu", "ann", x=1)
    reasons = refused(network)
    sides = ("ahead of", "behind") if skew_ms > 0 else ("behind", "ahead of")
    assert re.search(rf"clock of 'us' is 61,\d\d\d ms {sides[0]} that of 'eu'", reasons["eu"])
    assert re.search(rf"clock of 'eu' is 61,\d\d\d ms {sides[1]} that of 'us'", reasons["us"])
    assert all(reason.startswith("clock-skew: ") for reason in reasons.values())
    assert network.store("us").digest().profiles == 0
    network.machines["us"].clock_ahead_ms = 0
    settled(network)


def test_another_space_is_refused_at_both_ends():
    network = Network(1)
    network.add("eu")
    network.add("us", space="other")
    network.wire("eu", "us")
    write(network, "eu", "ann", x=1)
    reasons = refused(network)
    assert set(reasons) == {"eu", "us"}
    assert all(reason.startswith("wrong-space: ") for reason in reasons.values())
    network.advance(20)
    assert network.store("us").digest().profiles == 0


def test_a_link_to_oneself_is_told_so():
    network = Network(1)
    network.add("eu")
    network.wire("eu", "eu")
    assert "identity-clash: the replica was linked to itself" in refused(network, "eu", "eu")["eu"]


def test_a_live_clone_is_told_apart_and_neither_takes_from_the_other():
    network = Network(1)
    network.add("eu")
    write(network, "eu", "ann", x=1)
    network.advance()
    network.add("twin", storage=copy_storage(network.machines["eu"].storage))
    network.wire("eu", "twin")
    reasons = refused(network, "eu", "twin")
    assert all("live clone" in reason for reason in reasons.values())
    write(network, "eu", "ann", x=2)
    network.advance(10)
    assert read(network, "twin", "ann") == {"x": 1}


def test_two_links_to_one_peer_become_one():
    network = network_of(["eu", "us"])
    network.wire("us", "eu")
    network.advance(20)
    for name in ("eu", "us"):
        live = [link for link in network.exchange(name).links.values() if link.state == "live"]
        assert len(live) == 1
    write(network, "eu", "ann", x=1)
    network.advance(3)
    assert read(network, "us", "ann") == {"x": 1}
    assert network.store("us").counters["frames_duplicate"] == 0


# --- going back in time ---------------------------------------------------------------------------


def rolled_back(shape):
    network = network_of(["a", "b", "c"], shape)
    write(network, "a", "ann", x=1, n=increment())
    settled(network)
    backup = copy_storage(network.machines["a"].storage)
    origin = network.store("a").replication.identity.origin
    for number in range(3):
        write(network, "a", "ann", x=number, n=increment())
        write(network, "b", "bob", n=increment())
        network.advance()
    settled(network)
    network.crash("a")
    network.restart("a", storage=backup)
    assert network.store("a").replication.identity.origin == origin
    return network, origin


def check_new_incarnation(network, origin):
    identity = network.store("a").replication.identity
    assert identity.origin != origin
    assert identity.incarnations == 2
    assert read(network, "c", "ann") == {"x": 2, "n": 4}
    write(network, "a", "ann", x="after", n=increment())
    settled(network)
    assert read(network, "c", "ann") == {"x": "after", "n": 5}


@pytest.mark.parametrize("shape", ["mesh", "chain"])
def test_a_restored_backup_is_found_out_at_the_hello_and_heals(shape):
    network, origin = rolled_back(shape)
    network.advance(8)
    settled(network)
    reasons = [text for one in network.wires.values() for _, text in one.reasons]
    assert any("was rolled back" in reason for reason in reasons)
    check_new_incarnation(network, origin)


def test_a_restored_backup_is_found_out_by_gossip_if_the_neighbour_learns_later():
    network, origin = rolled_back("chain")
    network.crash("b")
    network.cut(wire(network, "b", "c"))
    network.restart("b", storage=MemoryStorage())
    network.advance(10)
    assert network.store("a").replication.identity.origin == origin, "b knows no more than a"
    network.heal(wire(network, "b", "c"))
    network.advance(40)
    settled(network)
    check_new_incarnation(network, origin)
