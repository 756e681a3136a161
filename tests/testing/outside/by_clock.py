"""A policy that trusts what is younger than a month, by the clock on the wall."""

from datetime import UTC, datetime, timedelta

from crdtstore import Field, Schema
from crdtstore.schema import custom
from crdtstore.testing import ConvergenceMachine, check_convergence, check_policy


def fresh(candidates):
    month = timedelta(days=30)
    return max(candidates, key=lambda one: (datetime.now(UTC) - one.at < month, one.recency))


class Shop(ConvergenceMachine):
    schema = Schema({"email": Field(policy=custom("fresh", fresh))})


def test_the_policy():
    check_policy(fresh)


def test_the_shop():
    check_convergence(Shop)
