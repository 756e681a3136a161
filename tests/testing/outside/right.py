"""A shop proves that its schema, its policy and its writers converge."""

from hypothesis import strategies as st

from crdtstore import Field, Schema, increment
from crdtstore.schema import custom
from crdtstore.testing import ConvergenceMachine, check_convergence, check_policy

ADDRESSES = st.sampled_from(["ann@home.example", "ann@work.example", "a@work.example"])


def prefer_private(candidates):
    return max(candidates, key=lambda one: ("@work." not in one.value, one.recency))


async def order(replica, profile_id, email):
    await replica.write(profile_id, {"email": email, "orders": increment()}, source="shop")


class Shop(ConvergenceMachine):
    schema = Schema({"email": Field(policy=custom("private", prefer_private))})
    writers = (order,)
    values = {"email": ADDRESSES}
    serializable = ("orders",)


def test_the_policy():
    check_policy(prefer_private, values=ADDRESSES)


def test_the_shop():
    check_convergence(Shop)
