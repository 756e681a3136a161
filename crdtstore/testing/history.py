"""Histories: what happens to a few replicas, drawn as a whole, for tests that need no machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore.engine.writes import Write
from crdtstore.schema import Schema
from crdtstore.testing.drawing import NO_VALUES, PROFILE_IDS, Values, writes
from crdtstore.testing.programs import Step
from crdtstore.testing.simulation.topologies import topology
from crdtstore.testing.trial import REPLICA_NAMES, Trial

_PARTS_MOST, _STEPS_OF_A_PART = 6, 10
_WRITES_TO_OTHERS = 5


@dataclass(frozen=True, slots=True)
class History:
    """Steps of a trial of a schema; ``run`` runs them on replicas and gives the verdict."""

    schema: Schema
    replicas: int
    steps: tuple[Step, ...]

    def run(self) -> Trial:
        """Run the history and check it; return the trial, which has settled. Raises LawBroken."""
        trial = Trial(self.schema, replicas=self.replicas)
        trial.play(self.steps)
        trial.check()
        return trial


def histories(
    schema: Schema | None = None,
    *,
    replicas: int = 2,
    values: Values = NO_VALUES,
    sources: Sequence[str] = (),
    profile_ids: Sequence[str] = PROFILE_IDS,
) -> SearchStrategy[History]:
    """Histories of writes that fit a schema, between cuts, delays, crashes, erasures and time.

    The arguments are those of ``writes``; ``replicas`` is 2 to 4.
    """
    known = schema or Schema()
    some_writes = writes(known, values=values, sources=sources, profile_ids=profile_ids)
    part = st.lists(_drafts(some_writes, profile_ids), max_size=_STEPS_OF_A_PART)
    parts = st.lists(part, max_size=_PARTS_MOST).map(lambda drawn: list(chain(*drawn)))
    return parts.map(lambda drawn: History(known, replicas, _steps_of(drawn, replicas)))


class _Draft(NamedTuple):
    """A step that does not know yet which replicas run: ``place`` stands for one, or for a wire."""

    verb: str
    place: int = 0
    write: Write | None = None
    steps: int = 0
    profile_id: str = ""


def _drafts(
    some_writes: SearchStrategy[Write], profile_ids: Sequence[str]
) -> SearchStrategy[_Draft]:
    places = st.integers(0, 11)
    writing = st.tuples(st.just("write"), places, some_writes)
    ways: list[SearchStrategy[tuple[Any, ...]]] = [
        *[writing] * _WRITES_TO_OTHERS,
        st.tuples(st.just("step"), st.just(0), st.none(), st.just(1) | st.integers(1, 12)),
        st.tuples(st.sampled_from(["cut", "heal", "drop"]), places),
        st.tuples(st.just("delay"), places, st.none(), st.integers(0, 4)),
        st.tuples(st.sampled_from(["checkpoint", "stop", "stop_at_once"]), places),
        st.tuples(
            st.sampled_from(["erase", "revive"]),
            places,
            st.none(),
            st.just(0),
            st.sampled_from(list(profile_ids)),
        ),
    ]
    return st.one_of(ways).map(lambda parts: _Draft(*parts))


def _steps_of(drafts: Sequence[_Draft], replicas: int) -> tuple[Step, ...]:
    """Return the steps that drafts come to, each when those before it were done."""
    names = REPLICA_NAMES[:replicas]
    wires = topology("mesh", list(names))
    down: set[str] = set()
    steps = []
    for draft in drafts:
        wire = wires[draft.place % len(wires)]
        name = names[draft.place % len(names)]
        match draft.verb:
            case "step":
                steps.append(Step("step", (draft.steps,)))
            case "cut" | "heal" | "drop":
                steps.append(Step(draft.verb, wire))
            case "delay":
                steps.append(Step("delay", (*wire, draft.steps)))
            case _ if name in down:
                down.discard(name)
                steps.append(Step("restart", (name,)))
            case "stop":  # while it commits what it was given last
                down.add(name)
                steps += [Step("step"), Step("crash", (name,), {"persists": True})]
            case "stop_at_once":
                down.add(name)
                steps.append(Step("crash", (name,)))
            case "write":
                assert draft.write is not None
                profile_id, source, fields, _ = draft.write
                steps.append(Step("write", (name, profile_id, fields), {"source": source}))
            case "checkpoint":
                steps.append(Step("checkpoint", (name,)))
            case _:
                steps.append(Step(draft.verb, (name, draft.profile_id)))
    return tuple(steps)
