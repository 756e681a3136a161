"""A writer that counts in a register: it reads, adds one, and writes."""

from crdtstore import Schema
from crdtstore.errors import ProfileNotFound
from crdtstore.testing import ConvergenceMachine, check_convergence


def visit(replica, profile_id):
    try:
        visits = replica.read(profile_id).get("visits", 0)
    except ProfileNotFound:
        visits = 0
    replica.write(profile_id, {"visits": visits + 1}, source="web")


class Shop(ConvergenceMachine):
    schema = Schema()
    writers = (visit,)
    serializable = ("visits",)


def test_the_shop():
    check_convergence(Shop)
