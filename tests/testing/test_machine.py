"""The machine: what it draws for writers, what it demands, and how it tells what is wrong."""

import random

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from crdtstore import Field, Group, Schema, add, increment, revoke
from crdtstore.model.operations import EditSet, Grant, Increment, Revoke
from crdtstore.testing import ConvergenceMachine, LawBroken, check_convergence, writes
from crdtstore.testing.drawing import arguments
from crdtstore.testing.laws import prove
from crdtstore.testing.machine import _shortest

SCHEMA = Schema(
    fields={
        "visits": Field("counter"),
        "tags": Field("set"),
        "mail": Field("consent"),
        "email": Field(),
    },
    groups={"address": Group(("city", "street"))},
)
FEW = settings(max_examples=30, stateful_step_count=20)


def visit(replica, profile_id):
    replica.write(profile_id, {"visits": increment()}, source="web")


def forget(replica, profile_id):
    """A writer that is refused where nothing was written."""
    replica.write(profile_id, {"visits": increment()}, source="web", if_version="1-0")


def fail_at_ten(replica, number: int):
    if number >= 10:
        raise ZeroDivisionError("ten is too much")


def draw_lots(replica, profile_id):
    lots = random.SystemRandom().random()
    replica.write(profile_id, {"lots": "high" if lots > 0.5 else "low"}, source="web")


def is_low(profile):
    return profile.get("lots") != "high"


# --- drawing -------------------------------------------------------------------------------------


@given(writes(SCHEMA))
def test_a_write_fits_its_schema(write):
    kinds = {
        "visits": (Increment,),
        "tags": (EditSet,),
        "mail": (Grant, Revoke),
    }
    assert write.id in ("ann", "bob")
    assert write.source in ("crm", "web")
    assert write.fields
    for name, given_value in write.fields.items():
        assert name in {*SCHEMA.fields, "city", "street"}
        assert name not in kinds or isinstance(given_value, kinds[name])


def test_every_field_and_operation_is_drawn():
    for sought in (revoke(), add("c"), increment(-3)):
        find(writes(SCHEMA), lambda write, it=sought: it in write.fields.values())
    for name in ("city", "street", "email"):
        find(writes(SCHEMA), lambda write, name=name: name in write.fields)


def test_strategies_of_ones_own_replace_those_of_a_field():
    own = {"email": st.just("a@b"), "visits": st.just(7), "tags": st.just("vip")}
    drawn = writes(SCHEMA, values=own, sources=("erp",), profile_ids=("zoë",))

    @given(drawn)
    def check(write):
        assert write.id == "zoë"
        assert write.source == "erp"
        assert write.fields.get("email", "a@b") == "a@b"
        assert write.fields.get("visits", increment(7)) == increment(7)
        assert set(write.fields.get("tags", add("vip")).add) <= {"vip"}

    check()


@given(writes(Schema(sources=("erp",))), writes())
def test_sources_are_those_of_the_schema(declared, undeclared):
    assert declared.source == "erp"
    assert undeclared.fields


def test_arguments_come_from_values_ids_fields_annotations_and_defaults():
    def writer(replica, own, profile_id, email, count: int, option=None):
        pass

    @given(arguments(writer, SCHEMA, {"own": st.just(1)}, ("zoë",)))
    def check(drawn):
        assert list(drawn) == ["own", "profile_id", "email", "count"]
        assert drawn["own"] == 1
        assert drawn["profile_id"] == "zoë"
        assert type(drawn["count"]) is int

    check()


def test_an_argument_that_nothing_explains_is_refused():
    def writer(replica, mystery):
        pass

    text = r"writer writer: nothing says how to draw 'mystery'; give a strategy: values = \{'mys"
    with pytest.raises(TypeError, match=text):
        arguments(writer, SCHEMA, {}, ("ann",))


# --- machines ------------------------------------------------------------------------------------


class Right(ConvergenceMachine):
    schema = SCHEMA
    writers = (visit, forget)
    serializable = ("visits",)


class Failing(ConvergenceMachine):
    writers = (fail_at_ten,)


class ByChance(ConvergenceMachine):
    writers = (draw_lots,)
    profile_invariants = (is_low,)


def test_what_is_right_passes_in_both_ways():
    check_convergence(Right, settings=FEW)
    case = Right.TestCase
    case.settings = FEW
    case("runTest").runTest()


def test_what_a_writer_raises_is_shown_with_the_program(capsys):
    with pytest.raises(ZeroDivisionError, match="ten is too much") as caught:
        check_convergence(Failing, settings=FEW)
    program = caught.value.__notes__[0]
    assert program.splitlines()[-1].startswith('trial.run("fail_at_ten", at="')
    assert program.endswith("number=10)")


def test_what_depends_on_chance_is_said_to(capsys):
    with pytest.raises(LawBroken, match=r"does not end the same way|'is_low' does not hold"):
        check_convergence(ByChance, settings=FEW)


def test_the_shortest_history_has_no_step_too_many():
    def few(profile):
        return profile["visits"] < 2

    class Few(Right):
        profile_invariants = (few,)

    trial = Few.trial(replicas=3)
    trial.cut("eu", "us")
    trial.crash("ap")
    trial.restart("ap")
    trial.step(3)
    trial.run("visit", at="ap", profile_id="ann")
    trial.run("visit", at="eu", profile_id="bob")
    trial.step()
    with pytest.raises(LawBroken) as caught:
        trial.run("visit", at="ap", profile_id="ann")
    shortest = _shortest(Few, caught.value)
    assert [(step.verb, *step.options.values()) for step in shortest.trial.steps] == [
        ("run", "ap", "ann"),
        ("run", "ap", "ann"),
    ]


def test_every_rule_is_followed():
    verbs = set()

    class Watching(Right):
        writers = ()
        erases = True

        def teardown(self):
            super().teardown()
            verbs.update(step.verb for step in self._trial.steps)

    check_convergence(Watching, settings=settings(FEW, derandomize=True, max_examples=60))
    links = {"cut", "heal", "drop", "delay"}
    own = {"write", "erase", "revive", "step", "crash", "restart", "checkpoint", "check"}
    assert verbs == links | own


# --- proving -------------------------------------------------------------------------------------


def test_a_law_that_breaks_by_chance_is_broken():
    answers = iter([True, *[False] * 100_000])

    def law(data):
        data.draw(st.integers())
        if next(answers):
            raise LawBroken("once")

    with pytest.raises(LawBroken, match="once"):
        prove(law, None)
