"""Replicas that converge find the same persons, whatever the network and the disks did."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from crdtstore import IdentityRules, Schema, add, remove
from crdtstore.errors import InvalidInput, Refused
from crdtstore.store import Store
from crdtstore.testing.simulation import Network

NAMES = ("eu", "us", "ap")
IDS = [f"p{number}" for number in range(10)]
TEXTS = ["user_id:1", "user_id:2", "email:a@b.c", "email:d@e.f", "phone:+4930901820"]
SCHEMA = Schema(identity=IdentityRules(limit=2, profiles_max=5))


def decision(store: Store, draw: random.Random) -> Callable[[], object]:
    """Return something that a source or a steward may do."""
    one, other, text = draw.choice(IDS), draw.choice(IDS), draw.choice(TEXTS)
    return draw.choice(
        [
            lambda: store.write(one, {"identifiers": add(text), "name": text}, source="crm"),
            lambda: store.write(one, {"identifiers": add(text)}, source="cdp"),
            lambda: store.write(one, {"identifiers": remove(text)}, source="crm"),
            lambda: store.persons.merge(one, other),
            lambda: store.persons.unmerge(one, other),
            lambda: store.persons.not_match(one, other),
            lambda: store.persons.pin(one, "name", text),
            lambda: store.erase(one),
            lambda: store.revive(one),
        ]
    )


def disturb(network: Network, draw: random.Random) -> None:
    """Cut, heal, drop or delay a wire, crash and restart a replica, or rest its documents."""
    wire = draw.choice(list(network.wires.values()))
    match draw.randrange(6):
        case 0:
            network.cut(wire)
        case 1:
            network.heal(wire)
        case 2:
            network.drop(wire)
        case 3:
            wire.delay_ms = draw.choice((1, 150, 400))
        case 4:
            name = draw.choice(NAMES)
            network.crash(name, persists=draw.random() < 0.5)
            network.restart(name)
        case 5:
            network.checkpoint(draw.choice(NAMES))


@pytest.mark.parametrize("seed", range(30))
def test_replicas_that_converge_find_the_same_persons(seed: int) -> None:
    draw = random.Random(seed)
    network = Network(seed, schema=SCHEMA)
    for name in NAMES:
        network.add(name)
    network.wire("eu", "us")
    network.wire("us", "ap")
    for _ in range(60):
        name = draw.choice(NAMES)
        with suppress(Refused, InvalidInput):
            decision(network.store(name), draw)()
        network.ticket(name)
        if draw.random() < 0.2:
            disturb(network, draw)
        network.pump(name)
        network.advance(draw.randrange(3))
    for wire in network.wires.values():
        network.heal(wire)
    for name in ("eu", "ap"):
        network.store(name).write(f"new-{name}", {"identifiers": add("email:x@y.z")}, source="crm")
        network.ticket(name)
    network.settle()
    living = [profile.id for profile in network.store("eu").profiles()]
    found = [
        {profile_id: network.store(name).persons.read(profile_id) for profile_id in living}
        for name in NAMES
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["new-eu"].profiles == ("new-ap", "new-eu")
    for name in NAMES:
        network.store(name).commit(checkpoint=True)
        assert network.store(name).verify().is_sound
