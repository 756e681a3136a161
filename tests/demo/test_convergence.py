"""The demo's schema and its writers converge, whatever happens between their writes."""

from hypothesis import strategies as st

from crdtstore import Schema, Write
from crdtstore.demo import writers
from crdtstore.demo.records import first_persons, read_side, schema_text
from crdtstore.model.operations import from_json
from crdtstore.testing import ConvergenceMachine, check_convergence

CRM, CDP = (first_persons(read_side(side), 2) for side in "ab")


async def write(replica, plans):
    """Send what the demo would send over HTTP."""
    for plan in plans:
        fields = {name: from_json(name, body) for name, body in plan["fields"].items()}
        (result,) = await replica.write_many([Write(plan["id"], plan["source"], fields)])
        assert result.id == plan["id"]


async def import_crm(replica, place):
    await write(replica, writers.crm_writes(CRM[place : place + 1]))


async def import_cdp(replica, place):
    await write(replica, writers.cdp_writes(CDP[place : place + 1]))


async def take_connected_edits(replica, place, turn):
    await write(replica, writers.connected_writes(CRM[place], turn))


async def take_cut_off_edits(replica, place, turn):
    await write(replica, writers.cut_off_writes(CRM[place], turn))


def fields_are_of_one_kind(profile):
    assert not profile.conflicts


class Demo(ConvergenceMachine):
    schema = Schema.from_toml(schema_text())
    writers = (import_crm, import_cdp, take_connected_edits, take_cut_off_edits)
    values = {"place": st.integers(0, 1), "turn": st.integers(0, 3)}  # noqa: RUF012
    profile_invariants = (fields_are_of_one_kind,)
    serializable = ("logins",)


class AnythingGoes(ConvergenceMachine):
    """Random writes that fit the demo's schema, and erasures."""

    schema = Demo.schema
    erases = True


def test_the_writers_of_the_demo_converge():
    check_convergence(Demo)


def test_whatever_is_written_under_the_schema_of_the_demo_converges():
    check_convergence(AnythingGoes)
