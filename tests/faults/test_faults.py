"""The short form of the campaign: faults once each, with a new seed in every run at a desk."""

import os
import random

import pytest

from tests.faults.campaign import FAULTS, attempt
from tests.faults.ground import NotHere

IN_THE_CAMPAIGN_ONLY = {
    "bad network of proxies",
    "kill -9 in a repair, either end",
    "kill -9 of a server that sends a backup",
    "1,500 connections that never finish",
    "bodies that never end",
    "SIGSTOP longer than the real silence",
    "peers that read nothing",
    "a peer that gossips names without end",
    "3,000 requests in flight",
}
"""Faults of which one round takes long, or that stand in for another one."""

QUICK = {name: fault for name, (fault, _) in FAULTS.items() if name not in IN_THE_CAMPAIGN_ONLY}


def test_what_is_left_to_the_campaign_is_in_it() -> None:
    assert FAULTS.keys() > IN_THE_CAMPAIGN_ONLY


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost(name: str) -> None:
    seed = 1 if os.environ.get("CI") else random.randrange(10**6)
    print(f"seed {seed}; again with: python -m tests.faults --seed {seed} --only {name!r}")
    try:
        tally, _ = attempt(QUICK[name], seed, 0.0)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert tally.times > 0
