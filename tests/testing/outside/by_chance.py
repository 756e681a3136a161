"""A policy that draws lots."""

import random

from crdtstore import Field, Schema
from crdtstore.schema import custom
from crdtstore.testing import ConvergenceMachine, check_convergence, check_policy


def fair(candidates):
    return random.choice(candidates)


class Shop(ConvergenceMachine):
    schema = Schema({"email": Field(policy=custom("fair", fair))})


def test_the_policy():
    check_policy(fair)


def test_the_shop():
    check_convergence(Shop)
