"""A policy that takes whatever comes first."""

from crdtstore.testing import check_policy


def whatever_comes_first(candidates):
    return candidates[0]


def test_the_policy():
    check_policy(whatever_comes_first)
