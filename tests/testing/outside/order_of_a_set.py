"""A policy that keeps the value which most sources assert, and takes it out of a set."""

from hypothesis import strategies as st

from crdtstore.testing import check_policy


def usual(candidates):
    said = {one.source: one.value for one in candidates}.values()
    value = max(set(said), key=list(said).count)
    return max((one for one in candidates if one.value == value), key=lambda one: one.recency)


def test_the_policy():
    check_policy(usual, values=st.sampled_from(["ann@a.example", "ann@b.example", "ann@c.example"]))
