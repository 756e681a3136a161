"""A trial keeps the promises of the store, and finds each of them broken when it is."""

import asyncio
import itertools
import sys

import pytest
from hypothesis import given, settings

from crdtstore import Field, Schema, Write, add, increment, remove, revoke
from crdtstore.errors import ProfileErased, VersionMismatch
from crdtstore.model import golden
from crdtstore.schema import custom
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing import LawBroken, Trial, histories, schemas

SCHEMA = Schema(
    fields={"visits": Field("counter"), "tags": Field("set"), "mail": Field("consent")},
)
turns = itertools.count()


def in_turn(candidates):
    return sorted(candidates, key=lambda one: one.recency)[next(turns) % 2]


def visit(replica, profile_id="ann"):
    replica.write(profile_id, {"visits": increment()}, source="web")


async def visit_and_tag(replica, profile_id="ann"):
    version = await replica.write(profile_id, {"visits": increment(2)}, source="web")
    await replica.write(profile_id, {"tags": add("seen")}, source="web", if_version=version)


async def wait(replica):
    await asyncio.sleep(0)


def overwrite(replica):
    replica.write("ann", {"visits": increment()}, source="web", if_version="0-0")


def erase_and_revive(replica):
    replica.erase("ann")
    with pytest.raises(ProfileErased):
        replica.write("ann", {"visits": increment()}, source="web")
    replica.revive("ann")


WRITERS = (visit, visit_and_tag, wait, overwrite, erase_and_revive)


def trial_of(replicas=2, schema=SCHEMA, **demands):
    return Trial(schema, replicas=replicas, writers=WRITERS, **demands)


# --- what is right -------------------------------------------------------------------------------


def test_writes_on_both_sides_of_a_cut_are_all_there():
    trial = trial_of()
    trial.cut("eu", "us")
    trial.write("eu", "ann", {"visits": increment(), "tags": add("a", "b")}, source="web")
    trial.step(4)
    trial.write("us", "ann", {"visits": increment(2), "mail": revoke()}, source="crm")
    trial.step(4)
    assert dict(trial.read("eu", "ann")) == {"tags": ["a", "b"], "visits": 1}
    trial.check()
    whole = {"mail": False, "tags": ["a", "b"], "visits": 3}
    assert dict(trial.read("eu", "ann")) == dict(trial.read("us", "ann")) == whole


def test_what_a_crash_loses_was_not_acknowledged():
    trial = trial_of()
    trial.run("visit", at="eu")
    trial.step(2)
    trial.run("visit", at="eu")
    trial.crash("eu")
    assert [run.outcome for run in trial.runs] == ["durable", "lost"]
    trial.check()
    assert trial.read("us", "ann")["visits"] == 1


def test_what_a_crash_leaves_unanswered_may_be_there():
    trial = trial_of(serializable=("visits",))
    trial.run("visit", at="eu")
    trial.step()
    trial.crash("eu", persists=True)
    assert [run.outcome for run in trial.runs] == ["unknown"]
    trial.check()
    assert trial.read("us", "ann")["visits"] == 1


def test_writers_may_be_coroutines_and_be_refused():
    trial = trial_of(serializable=("visits", "tags"))
    trial.run("visit_and_tag", at="us")
    trial.run("overwrite", at="us")
    trial.step(2)
    assert [run.outcome for run in trial.runs] == ["durable", "refused"]
    trial.run("erase_and_revive", at="us")
    trial.run("visit", at="us", profile_id="ann")
    trial.check()
    assert dict(trial.read("eu", "ann")) == {"visits": 1}


@settings(max_examples=60)
@given(histories(SCHEMA, replicas=3))
def test_histories_of_a_schema_keep_every_promise(history):
    trial = history.run()
    assert trial.network.running() == ["eu", "us", "ap"]


@settings(max_examples=60)
@given(schemas().flatmap(lambda schema: histories(schema, replicas=2)))
def test_histories_of_any_schema_keep_every_promise(history):
    history.run()


def test_histories_reach_what_they_are_about():
    """Every verb and every fate of a write occurs, in not many histories."""
    verbs, fates = set(), set()

    @settings(max_examples=150, derandomize=True, database=None)
    @given(histories(SCHEMA, replicas=3))
    def look(history):
        trial = history.run()
        verbs.update(step.verb for step in history.steps)
        fates.update(promise.ticket.state for promise in trial.promises.made)

    look()
    links = {"cut", "heal", "drop", "delay"}
    assert verbs == links | {"write", "erase", "revive", "step", "crash", "restart", "checkpoint"}
    assert fates == {"durable", "lost", "kept"}


# --- what is wrong -------------------------------------------------------------------------------


def test_an_acknowledged_write_that_is_gone_is_found():
    trial = trial_of()
    trial.cut("eu", "us")
    trial.run("visit", at="eu")
    trial.step(4)
    trial.crash("eu")
    trial.network.machines["eu"].storage = MemoryStorage()
    text = r"^eu lost an acknowledged write: the write of 'ann' at eu by web of visits\n"
    with pytest.raises(LawBroken, match=text):
        trial.check()


def test_what_nobody_wrote_is_found():
    trial = trial_of()
    trial.run("visit", at="eu")
    trial.network.store("us").write("ann", {"tags": add("forged")}, source="web")
    with pytest.raises(LawBroken, match=r"^eu holds what nobody wrote in profile 'ann'\n"):
        trial.check()


def test_a_wrong_sum_is_found(monkeypatch):
    monkeypatch.setattr(golden, "_sum_of", max)
    trial = trial_of()
    trial.run("visit", at="eu")
    trial.run("visit", at="us")
    with pytest.raises(LawBroken, match=r"^eu counts 'visits' of 'ann' wrong: 1\n.* make 2"):
        trial.check()


def test_replicas_that_do_not_converge_are_found():
    trial = trial_of()
    trial.network.machines["us"].clock_ahead_ms = 10**7
    trial.run("visit", at="us")
    with pytest.raises(LawBroken, match=r"^the replicas do not converge: not converged after"):
        trial.check()


def test_profiles_that_differ_over_equal_cells_are_found():
    trial = Trial(Schema(fields={"email": Field(policy=custom("in_turn", in_turn))}))
    trial.write("eu", "ann", {"email": 1}, source="web")
    trial.write("eu", "ann", {"email": 2}, source="crm")
    text = "hold the same cells and show different profiles of 'ann'\n  eu shows .*\n  us shows "
    with pytest.raises(LawBroken, match=text):
        trial.check()


def test_an_invariant_is_asked_at_every_replica_after_every_step():
    def few(profile):
        return profile["visits"] < 3

    trial = trial_of(profile_invariants=[few])
    trial.run("visit_and_tag", at="eu")
    with pytest.raises(LawBroken, match=r"^invariant 'few' does not hold at eu\n.*'visits': 3"):
        trial.run("visit", at="eu")


def test_a_lost_update_is_found():
    def tag(replica, tag):
        tags = [field for profile in replica.profiles() for field in profile["list"]]
        replica.write("ann", {"list": [*tags, tag]}, source="web")

    trial = Trial(writers=[tag], serializable=["list"])
    trial.run("tag", at="eu", tag="a")
    trial.run("tag", at="us", tag="b")
    with pytest.raises(LawBroken, match="field 'list'"):
        trial.check()


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda trial: trial.run("wait", at="eu"), TypeError, "writer wait awaits something else"),
        (lambda trial: trial.run("visit", at="us"), ValueError, "us does not run; restart it"),
        (lambda trial: trial.run("visit", at="eu", profile_id=""), ValueError, "a profile id"),
        (lambda trial: trial.run("nobody", at="eu"), KeyError, "nobody"),
    ],
)
def test_a_mistake_of_the_test_is_an_error_with_the_program(act, error, text):
    trial = trial_of()
    trial.crash("us")
    with pytest.raises(error, match=text) as caught:
        act(trial)
    (program,) = caught.value.__notes__
    assert 'trial.crash("us")' in program


def test_a_trial_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="a trial has 1 to 4 replicas, not 5"):
        Trial(replicas=5)
    with pytest.raises(ValueError, match="two writers have one name"):
        Trial(writers=[visit, visit])


def test_a_refusal_inside_a_batch_is_a_result():
    results = []

    def import_all(replica):
        results.extend(
            replica.write_many(
                [
                    Write("ann", "web", {"visits": increment()}),
                    Write("ann", "web", {"visits": increment()}, if_version="0-0"),
                    Write("ann", "web", {"tags": remove("x")}),
                ]
            )
        )

    trial = Trial(SCHEMA, writers=[import_all])
    trial.run("import_all", at="eu")
    assert [type(result) for result in results[::2]] == [type(results[0])] * 2
    assert isinstance(results[1], VersionMismatch)
    trial.check()
    assert trial.read("us", "ann")["visits"] == 1


def test_the_profiler_is_left_as_it_was():
    def profiler(*_):
        return None

    sys.setprofile(profiler)
    try:
        trial = trial_of()
        trial.run("visit", at="eu")
        trial.check()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
