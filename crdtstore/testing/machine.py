"""ConvergenceMachine: random histories of your schema and your writers, shrunk when they fail."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crdtstore.schema import Schema
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.drawing import NO_VALUES, PROFILE_IDS, Values, arguments, writes
from crdtstore.testing.laws import quiet
from crdtstore.testing.other_process import is_answering
from crdtstore.testing.programs import Program
from crdtstore.testing.trial import Trial, Writer
from crdtstore.testing.verdict import Invariant

_STEPS_OF_A_HISTORY = 30
_PLACES = st.integers(0, 11)
"""Which replica or link, whatever their number: so a history shrinks without losing its sense."""


class ConvergenceMachine(RuleBasedStateMachine):
    """Two to four replicas, your writers, cuts, delays and crashes: see ``Trial`` for the verdict.

    Subclass it, and give it to ``check_convergence``:

    - ``schema``: the schema under test;
    - ``writers``: functions of a replica and of what else they take, plain or coroutines; they
      must do the same when called again. Without any, random writes that fit the schema are made;
    - ``values``: strategies for their arguments, and for fields, by name;
    - ``profile_invariants``: functions of a profile; ``serializable``: names of fields;
    - ``profile_ids``, ``sources``: what random writes are about, and who makes them;
    - ``erases``: whether profiles are erased and revived, too.
    """

    schema: ClassVar[Schema] = Schema()
    writers: ClassVar[Sequence[Writer]] = ()
    values: ClassVar[Values] = NO_VALUES
    profile_invariants: ClassVar[Sequence[Invariant]] = ()
    serializable: ClassVar[Sequence[str]] = ()
    profile_ids: ClassVar[Sequence[str]] = PROFILE_IDS
    sources: ClassVar[Sequence[str]] = ()
    erases: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._trial: Trial | None = None
        self._is_between_rules = True

    @classmethod
    def trial(cls, *, replicas: int = 2) -> Trial:
        """Return a trial of this machine's schema, writers and demands."""

        def opening(program: Program) -> str:
            return program.call(f"{program.imported(cls)}.trial", (), {"replicas": replicas})

        return Trial(
            cls.schema,
            replicas=replicas,
            writers=cls.writers,
            profile_invariants=cls.profile_invariants,
            serializable=cls.serializable,
            opening=opening,
        )

    # --- rules --------------------------------------------------------------------------------

    @initialize(replicas=st.integers(2, 4))
    def begin(self, replicas: int) -> None:
        """Start the replicas."""
        self._trial = type(self).trial(replicas=replicas)

    @precondition(lambda self: self._running)
    @rule(data=st.data(), place=_PLACES)
    def write(self, data: st.DataObject, place: int) -> None:
        """Let a writer write at a replica, or make a random write."""
        at = self._running[place % len(self._running)]
        if not self.writers:
            write = data.draw(
                writes(
                    self.schema,
                    values=self.values,
                    sources=self.sources,
                    profile_ids=self.profile_ids,
                )
            )
            self._do(lambda trial: trial.write(at, write.id, write.fields, source=write.source))
            return
        writer = data.draw(st.sampled_from(list(self.writers)))
        drawn = data.draw(arguments(writer, self.schema, self.values, self.profile_ids))
        self._do(lambda trial: trial.run(writer.__name__, at=at, **drawn))

    write_again = write
    """Half of what happens are writes."""

    @precondition(lambda self: self.erases and self._running)
    @rule(data=st.data(), place=_PLACES, erases=st.booleans())
    def erase(self, data: st.DataObject, place: int, erases: bool) -> None:
        """Erase or revive a profile."""
        at = self._running[place % len(self._running)]
        profile_id = data.draw(st.sampled_from(list(self.profile_ids)))
        self._do(lambda trial: (trial.erase if erases else trial.revive)(at, profile_id))

    @precondition(lambda self: self._trial is not None)
    @rule(count=st.just(1) | st.integers(1, 12))
    def step(self, count: int) -> None:
        """Let time pass."""
        self._do(lambda trial: trial.step(count))

    @precondition(lambda self: self._trial is not None)
    @rule(
        verb=st.sampled_from(["cut", "heal", "drop", "delay"]),
        place=_PLACES,
        steps=st.integers(0, 4),
    )
    def link(self, verb: str, place: int, steps: int) -> None:
        """Do something to a link."""
        wires = list(self._begun.network.wires)
        wire = wires[place % len(wires)]
        delay = [steps] if verb == "delay" else []
        self._do(lambda trial: getattr(trial, verb)(*wire, *delay))

    @precondition(lambda self: self._trial is not None)
    @rule(place=_PLACES, verb=st.sampled_from(["checkpoint", "crash"]), persists=st.booleans())
    def stop_or_start(self, place: int, verb: str, persists: bool) -> None:
        """Crash a replica that runs, or bring its documents to rest; restart one that does not."""
        at = self._begun.names[place % len(self._begun.names)]
        if at not in self._running:
            self._do(lambda trial: trial.restart(at))
        elif verb == "checkpoint":
            self._do(lambda trial: trial.checkpoint(at))
        else:
            if persists:  # while it commits what it was given last
                self._do(lambda trial: trial.step())
            self._do(lambda trial: trial.crash(at, persists=persists))

    def teardown(self) -> None:
        """Heal everything and check what was promised, unless a rule has failed."""
        if self._trial is not None and self._is_between_rules:
            self._trial.check()

    @property
    def _begun(self) -> Trial:
        assert self._trial is not None
        return self._trial

    @property
    def _running(self) -> list[str]:
        return [] if self._trial is None else self._trial.network.running()

    def _do(self, act: Callable[[Trial], Any]) -> None:
        self._is_between_rules = False
        act(self._begun)
        self._is_between_rules = True


def check_convergence(
    machine: type[ConvergenceMachine], *, settings: Settings | None = None
) -> None:
    """Run random histories of a machine; raises LawBroken for the shortest that fails.

    It prints that history as a program, to be pasted into a test. ``machine.TestCase`` does the
    same within Hypothesis's own report.
    """
    __tracebackhide__ = True
    if is_answering():
        return
    given = settings or Settings(stateful_step_count=_STEPS_OF_A_HISTORY)
    try:
        run_state_machine_as_test(machine, settings=quiet(given))
    except Flaky:
        raise LawBroken(
            "the same history does not end the same way when it is run again",
            "A writer, an invariant or a policy depends on chance, a clock, or an earlier run.",
        ) from None
    except LawBroken as broken:
        shortest = _shortest(machine, broken)
        print(shortest.program)
        raise LawBroken(str(shortest)) from None


def _shortest(machine: type[ConvergenceMachine], broken: LawBroken) -> LawBroken:
    """Leave out every step without which a law is broken too.

    Hypothesis has shrunk the history already, but stops where that takes it too long.
    """
    place = 0
    while place < len(_trial_of(broken).steps) - 1:
        steps = _trial_of(broken).steps
        trial = machine.trial(replicas=len(_trial_of(broken).names))
        try:
            trial.play([*steps[:place], *steps[place + 1 :]])
        except LawBroken as shorter:
            broken, place = shorter, 0
        except ValueError:  # a replica does not run, without the step that started it
            place += 1
        else:
            place += 1
    return broken


def _trial_of(broken: LawBroken) -> Trial:
    assert broken.trial is not None
    return broken.trial
