"""The simulator: replicas of a space on a virtual network, with every fault, judged at the end.

It runs the real store and the real sessions over storage in memory. One seed decides everything:
times, faults, writes. An independent model of all writes (``History``) says what must stand.

    from crdtstore.testing.simulation import Plan, simulate

    report = simulate(Plan(seed=1, schema=my_schema))
    assert not report.failure, report.failure

``python -m crdtstore.testing.simulation --help`` runs many seeds. ``Network`` is for stories of
one's own: replicas by name, wires to cut and heal, time that passes when told to.
"""

from crdtstore.testing.simulation.campaign import Campaign, run_campaign
from crdtstore.testing.simulation.disk import copy_storage, restored, rolled_back
from crdtstore.testing.simulation.faults import FAULTS
from crdtstore.testing.simulation.history import Broken, History
from crdtstore.testing.simulation.network import Network
from crdtstore.testing.simulation.run import Plan, Report, simulate
from crdtstore.testing.simulation.topologies import SHAPES, topology

__all__ = [
    "FAULTS",
    "SHAPES",
    "Broken",
    "Campaign",
    "History",
    "Network",
    "Plan",
    "Report",
    "copy_storage",
    "restored",
    "rolled_back",
    "run_campaign",
    "simulate",
    "topology",
]
