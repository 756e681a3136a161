"""Quick repairs: what two replicas keep of their documents is compared, and nothing is read."""

import pytest

from crdtstore import limits
from crdtstore.testing.simulation import Network
from tests.links.test_repairing import damage, digests, haunt, linked, repaired


def reads_of(network: Network, *names: str) -> list[int]:
    """Count the pages of documents that stores read from now on; the list holds the number."""
    pages = [0]
    for name in names:
        storage = network.store(name).storage
        read = storage.documents

        def counted(after, *, limit, bytes_max, read=read):
            pages[0] += 1
            return read(after, limit=limit, bytes_max=bytes_max)

        storage.documents = counted
    return pages


@pytest.mark.parametrize("rests", [True, False])
def test_a_quick_comparison_of_equal_stores_reads_no_record(rests, monkeypatch):
    monkeypatch.setattr(limits, "DIGEST_DOCUMENTS", 7)
    network = linked("eu", "us", count=100)
    network.store("eu").erase("p0007")
    network.advance(5)
    network.settle()
    for name in ("eu", "us") if rests else ():
        network.store(name).commit(checkpoint=True)
    pages = reads_of(network, "eu", "us")
    report = repaired(network, "eu", "us", is_quick=True)
    assert (report.is_healed, report.rounds, report.ranges, report.differing) == (True, 1, 1, 0)
    assert pages == [0]
    damage(network, "us", "p0003")
    assert repaired(network, "us", "eu", is_quick=True).differing == 0
    assert repaired(network, "us", "eu").ids == ("p0003",)


def test_a_quick_comparison_finds_all_that_the_stores_know_to_differ():
    for count in (10, 500):
        network = linked("eu", "us", count=count)
        haunt(network, "eu", "p0003", "only at eu")
        haunt(network, "us", "p0003", "only at us")
        report = repaired(network, "eu", "us", is_quick=True)
        assert (report.is_healed, report.differing, report.rounds <= 4) == (True, 3, True)
        assert len(digests(network, "eu", "us")) == 1
