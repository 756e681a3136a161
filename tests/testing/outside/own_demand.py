"""A demand of one's own: who bought something is a customer. A writer forgets it."""

from crdtstore import Field, Schema, increment
from crdtstore.testing import ConvergenceMachine, check_convergence


def customers_are_tagged(profile):
    assert profile.get("orders", 0) == 0 or profile.get("status") == "customer", "no status"


def order(replica, profile_id):
    replica.write(profile_id, {"orders": increment(), "status": "customer"}, source="shop")


def move(replica, profile_id):
    replica.write(profile_id, {"status": "moved"}, source="shop")


class Shop(ConvergenceMachine):
    schema = Schema({"orders": Field("counter"), "status": Field()})
    writers = (order, move)
    profile_invariants = (customers_are_tagged,)


def test_the_shop():
    check_convergence(Shop)
