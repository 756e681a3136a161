"""Histories: what happens to a few replicas, drawn as a whole, for tests that need no machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from crdtstore.engine.writes import Write
from crdtstore.schema import Schema
from crdtstore.testing.drawing import NO_VALUES, PROFILE_IDS, Values, writes
from crdtstore.testing.programs import Step
from crdtstore.testing.trial import REPLICA_NAMES, Trial
from crdtstore.testing.wires import topology

_STEPS_MOST = 30


@dataclass(frozen=True, slots=True)
class History:
    """Steps of a trial of a schema; ``run`` runs them on replicas and gives the verdict."""

    schema: Schema
    replicas: int
    steps: tuple[Step, ...]

    def run(self) -> Trial:
        """Run the history and check it; return the trial, which has settled. Raises LawBroken."""
        trial = Trial(self.schema, replicas=self.replicas)
        for step in self.steps:
            getattr(trial, step.verb)(*step.arguments, **step.options)
        trial.check()
        return trial


@st.composite
def histories(
    draw: st.DrawFn,
    schema: Schema | None = None,
    *,
    replicas: int = 2,
    values: Values = NO_VALUES,
    sources: Sequence[str] = (),
    profile_ids: Sequence[str] = PROFILE_IDS,
) -> History:
    """Histories of writes that fit a schema, between cuts, delays, crashes, erasures and time.

    The arguments are those of ``writes``; ``replicas`` is 2 to 4.
    """
    schema = schema or Schema()
    names = REPLICA_NAMES[:replicas]
    some_writes = writes(schema, values=values, sources=sources, profile_ids=profile_ids)
    wires = topology("mesh", list(names))
    down: set[str] = set()
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, _STEPS_MOST))):
        running = [name for name in names if name not in down]
        step = draw(_steps(running, sorted(down), wires, some_writes, profile_ids))
        if step.verb == "crash":
            down.add(step.arguments[0])
        elif step.verb == "restart":
            down.discard(step.arguments[0])
        steps.append(step)
    return History(schema, replicas, tuple(steps))


def _steps(
    running: Sequence[str],
    down: Sequence[str],
    wires: Sequence[tuple[str, str]],
    some_writes: st.SearchStrategy[Write],
    profile_ids: Sequence[str],
) -> st.SearchStrategy[Step]:
    """What may happen next, when these replicas run and those are down."""
    ways = [
        st.integers(1, 12).map(lambda count: Step("step", (count,))),
        st.builds(
            lambda verb, wire: Step(verb, wire),
            st.sampled_from(["cut", "heal", "drop"]),
            st.sampled_from(wires),
        ),
        st.builds(
            lambda wire, steps: Step("delay", (*wire, steps)),
            st.sampled_from(wires),
            st.integers(0, 4),
        ),
    ]
    if down:
        ways.append(st.sampled_from(down).map(lambda name: Step("restart", (name,))))
    if running:
        at = st.sampled_from(running)
        writing = st.builds(_writing, at, some_writes)
        ways += [
            writing,
            writing,
            at.map(lambda name: Step("checkpoint", (name,))),
            st.builds(
                lambda name, persists: Step(
                    "crash", (name,), {"persists": True} if persists else {}
                ),
                at,
                st.booleans(),
            ),
            st.builds(
                lambda verb, name, profile_id: Step(verb, (name, profile_id)),
                st.sampled_from(["erase", "revive"]),
                at,
                st.sampled_from(profile_ids),
            ),
        ]
    return st.one_of(ways)


def _writing(at: str, write: Write) -> Step:
    """The step that makes a write at a replica."""
    return Step("write", (at, write.id, write.fields), {"source": write.source})
