"""Programs are Python: whatever a step has in it comes back as it was when they run."""

import datetime
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from crdtstore import Field, Group, Schema, add, increment
from crdtstore.model.operations import SetValue, decrement, edit_set, grant, remove, revoke
from crdtstore.schema import Trust, custom, source_priority, trust_decay
from crdtstore.testing import ConvergenceMachine, LawBroken, Trial, histories, schemas, values
from crdtstore.testing.programs import Program


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Contact:
    name: str
    mails: tuple[str, ...] = ()
    colour: Colour | None = None
    seen: list[int] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: float


def newest(candidates):
    return max(candidates, key=lambda one: one.recency)


def run(program):
    """Run a program; return the names that it leaves."""
    names = {}
    exec(program, names)
    return names


def round_trip(value):
    program = Program()
    program.add(f"value = {program.code(value)}")
    return run(str(program))["value"]


@pytest.mark.parametrize(
    "value",
    [
        "it's",
        'say "so"',
        'it\'s "so"\n',
        (),
        ("one",),
        {"a": [1, {"b": None}], "c": {1, 2}, "d": frozenset("x")},
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.UTC),
        datetime.date(2024, 2, 29),
        datetime.timedelta(days=-1, microseconds=3),
        Decimal("1.10"),
        uuid.UUID(int=7),
        Colour.RED,
        Contact("ann"),
        Contact("ann", ("a", "b"), Colour.RED, [1]),
        Point(1, -0.0),
        newest,
        add("x", 1),
        remove("x"),
        edit_set(add=("x",), remove=(True,)),
        increment(),
        decrement(2.5),
        grant(),
        revoke(),
        SetValue({"add": ["x"]}),
        Schema(
            fields={
                "a": Field(policy=custom("newest", newest, version=2)),
                "b": Field(policy=trust_decay({"x": Trust(9, 1, 3)}, default=Trust(1, 1, 1))),
                "c": Field("set"),
            },
            sources=("x", "y"),
            groups={"g": Group(("d", "e"), source_priority("x"))},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back(value):
    assert repr(round_trip(value)) == repr(value)


@given(values())
def test_any_value_of_a_field_comes_back(value):
    assert repr(round_trip(value)) == repr(value)


@given(schemas())
def test_any_schema_comes_back(schema):
    assert round_trip(schema) == schema
    assert round_trip(schema).digest == schema.digest


@settings(max_examples=30)
@given(schemas().flatmap(lambda schema: histories(schema, replicas=3)))
def test_the_program_of_a_history_makes_the_same_trial(history):
    trial = history.run()
    again = run(trial.program)["trial"]
    assert again.program == trial.program
    assert again.network.store("eu").digest() == trial.network.store("eu").digest()


def few(profile):
    return profile["visits"] < 2


def visit(replica, contact):
    replica.write(contact.name, {"visits": increment()}, source="web")


def test_a_program_is_short_and_readable():
    schema = Schema(fields={"visits": Field("counter")})
    trial = Trial(schema, replicas=3, writers=[visit], profile_invariants=[few])
    trial.cut("eu", "us")
    trial.step()
    trial.step(3)
    trial.run("visit", at="eu", contact=Contact("ann", colour=Colour.RED))
    with pytest.raises(LawBroken) as caught:
        trial.run("visit", at="eu", contact=Contact("ann"))
    module = __name__
    assert (
        caught.value.program
        == f"""\
from crdtstore.schema import Field, Schema
from crdtstore.testing import Trial
from {module} import Colour, Contact, few, visit

trial = Trial(
    Schema(fields={{"visits": Field(kind="counter")}}),
    replicas=3,
    writers=(visit,),
    profile_invariants=(few,),
)
trial.cut("eu", "us")
trial.step()
trial.step(3)
trial.run("visit", at="eu", contact=Contact(name="ann", colour=Colour.RED))
trial.run("visit", at="eu", contact=Contact(name="ann"))"""
    )
    with pytest.raises(LawBroken, match="invariant 'few' does not hold at eu"):
        run(caught.value.program)


class Machine(ConvergenceMachine):
    writers = (visit,)


def test_the_program_of_a_machine_names_the_machine():
    trial = Machine.trial(replicas=4)
    lines = trial.program.splitlines()
    assert lines == [f"from {__name__} import Machine", "", "trial = Machine.trial(replicas=4)"]


def test_what_has_no_expression_is_shown_as_it_shows_itself():
    program = Program()
    assert program.code(object).startswith("<class")
    assert program.code(lambda: 1) == "<lambda>"
