"""Networks for the scenarios: how they are made, written to, and found equal."""

from crdtstore.testing.simulation import Network, topology

NAMES = ["ap", "eu", "sa", "us"]


def network_of(names=NAMES, shape="mesh", seed=1, **options):
    network = Network(seed, **options)
    for name in names:
        network.add(name)
    for one, two in topology(shape, list(names)):
        network.wire(one, two)
    network.advance(3)
    return network


def write(network, name, profile_id, **fields):
    network.store(name).write(profile_id, fields, source="crm")


def read(network, name, profile_id):
    return dict(network.store(name).read(profile_id))


def wire(network, one, two):
    return network.wires[one, two]


def settled(network):
    network.advance()
    network.settle()
    digests = {network.store(name).digest().digest for name in network.running()}
    assert len(digests) == 1, network.describe()
