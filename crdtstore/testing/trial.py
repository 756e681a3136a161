"""Trial: a few replicas in one thread, what happens to them step by step, and the verdict.

    trial = Trial(schema, replicas=2)
    trial.cut("eu", "us")
    trial.write("eu", "ann", {"email": "ann@example.com"}, source="crm")
    trial.write("us", "ann", {"visits": increment()}, source="web")
    trial.check()

The replicas run the real store and the real protocol on a virtual clock, linked each with each.
Every method that changes something is noted, so that a trial which fails can tell its history as
a program.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from crdtstore.errors import Refused
from crdtstore.model.profile import Profile
from crdtstore.schema import Schema
from crdtstore.testing import verdict
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.programs import Program, Step
from crdtstore.testing.promises import Promises
from crdtstore.testing.replica_under_test import AsyncReplicaUnderTest, ReplicaUnderTest
from crdtstore.testing.simulation.network import Network
from crdtstore.testing.simulation.timeline import TICK_MS
from crdtstore.testing.simulation.topologies import topology
from crdtstore.testing.simulation.wires import Wire
from crdtstore.testing.verdict import Invariant, Run

Writer: TypeAlias = Callable[..., Any]
"""A function of a replica (and of what else it takes), plain or a coroutine, that writes to it."""

REPLICA_NAMES: Final = ("eu", "us", "ap", "sa")


class Trial:
    """Two to four replicas, and all that can happen to them; ``check`` ends it with the verdict.

    ``writers`` are called by name with ``run``. ``profile_invariants`` are functions of a profile
    that return False or raise AssertionError where one does not hold: they are asked after every
    step, of every profile at every replica. ``serializable`` names fields that must end as if the
    writers had run one after another.
    """

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        replicas: int = 2,
        writers: Sequence[Writer] = (),
        profile_invariants: Sequence[Invariant] = (),
        serializable: Sequence[str] = (),
        opening: Callable[[Program], str] | None = None,
    ) -> None:
        if not 1 <= replicas <= len(REPLICA_NAMES):
            raise ValueError(f"a trial has 1 to {len(REPLICA_NAMES)} replicas, not {replicas}")
        if len({writer.__name__ for writer in writers}) < len(writers):
            raise ValueError("two writers have one name, and are called by it")
        self.schema = schema or Schema()
        self.names = REPLICA_NAMES[:replicas]
        self.network = Network(1, schema=self.schema)
        self.promises = Promises()
        self.runs: list[Run] = []
        self._writers = {writer.__name__: writer for writer in writers}
        self._profile_invariants = tuple(profile_invariants)
        self._serializable = tuple(serializable)
        self._opening = opening or self._own_opening
        self.steps: list[Step] = []
        for name in self.names:
            self.network.add(name)
            self.network.machines[name].commit_ms = TICK_MS
        for one, two in topology("mesh", list(self.names)):
            self.network.wire(one, two)
        self.network.advance(2)

    # --- writing ------------------------------------------------------------------------------

    def run(self, writer: str, *, at: str, **arguments: Any) -> None:
        """Call a writer with a replica and its arguments; what the store refuses is no failure."""
        with self._noted("run", writer, at=at, **arguments), self._writing(at) as replica:
            _call(self._writers[writer], replica, arguments)

    def write(self, at: str, profile_id: str, fields: Mapping[str, Any], *, source: str) -> None:
        """Write at a replica; what the store refuses is no failure."""
        noted = self._noted("write", at, profile_id, fields, source=source)
        with noted, self._writing(at) as replica:
            replica.write(profile_id, fields, source=source)

    def erase(self, at: str, profile_id: str) -> None:
        """Erase a profile at a replica."""
        with self._noted("erase", at, profile_id), self._writing(at) as replica:
            replica.erase(profile_id)

    def revive(self, at: str, profile_id: str) -> None:
        """Let an erased profile take writes again."""
        with self._noted("revive", at, profile_id), self._writing(at) as replica:
            replica.revive(profile_id)

    @contextmanager
    def _writing(self, at: str) -> Iterator[ReplicaUnderTest]:
        """Give a replica to write to, and remember what became of it."""
        replica = self._replica(at)
        was_refused = False
        try:
            yield replica
        except Refused:
            was_refused = True
        self.runs.append(Run(self.steps[-1], tuple(replica.tickets), was_refused))

    def read(self, at: str, profile_id: str) -> Profile:
        """Return the golden record at a replica; raises ProfileNotFound or ProfileErased."""
        return self.network.store(at).read(profile_id)

    # --- what happens -------------------------------------------------------------------------

    def step(self, count: int = 1) -> None:
        """Let time pass, a tenth of a second a step: messages are carried, a commit takes two."""
        with self._noted("step", *([] if count == 1 else [count])):
            self.network.advance(count)

    def cut(self, one: str, two: str) -> None:
        """Cut the link between two replicas until it is healed; what was on its way is lost."""
        with self._noted("cut", one, two):
            self.network.cut(self._wire(one, two))

    def heal(self, one: str, two: str) -> None:
        """Let a link that was cut be made again."""
        with self._noted("heal", one, two):
            self.network.heal(self._wire(one, two))

    def drop(self, one: str, two: str) -> None:
        """Lose a link once, with what was on its way."""
        with self._noted("drop", one, two):
            self.network.drop(self._wire(one, two))

    def delay(self, one: str, two: str, steps: int) -> None:
        """Let messages between two replicas take so many steps."""
        with self._noted("delay", one, two, steps):
            self._wire(one, two).delay_ms = steps * TICK_MS

    def crash(self, at: str, *, persists: bool = False) -> None:
        """Stop a replica at once: what was not committed is lost, and was not acknowledged.

        If it ``persists``, a commit under way reaches the disk, though nobody was answered.
        """
        with self._noted("crash", at, **({"persists": True} if persists else {})):
            self.network.crash(at, persists=persists)

    def restart(self, at: str) -> None:
        """Start a replica that crashed."""
        with self._noted("restart", at):
            self.network.restart(at)

    def checkpoint(self, at: str) -> None:
        """Bring all documents of a replica to rest."""
        with self._noted("checkpoint", at):
            self._replica(at)
            self.network.checkpoint(at)

    def check(self) -> None:
        """Heal and start everything, let it settle, and check all that was promised.

        The replicas converge, and show equal profiles; no acknowledged write is lost; counters are
        exact; invariants hold; serializable fields are as if written one after another. Raises
        LawBroken.
        """
        with self._noted("check"):
            verdict.settle(self.network)
            verdict.check_equal(self.network, self.promises.profile_ids)
            for name in self.names:
                self.promises.check(name, self.network.store(name))
            self._check_serializable()

    def _check_serializable(self) -> None:
        outcomes = {run.outcome for run in self.runs}
        if not self._serializable or "unknown" in outcomes:
            return
        alone = Trial(self.schema, replicas=1, writers=list(self._writers.values()))
        for run in self.runs:
            if run.outcome == "durable":
                alone.play([_at(run.step, alone.names[0]), Step("step")])
        verdict.check_serial(
            self.network.store(self.names[0]),
            alone.network.store(alone.names[0]),
            self.promises.profile_ids,
            self._serializable,
        )

    # --- the program --------------------------------------------------------------------------

    def play(self, steps: Iterable[Step]) -> None:
        """Do what another trial did."""
        for step in steps:
            getattr(self, step.verb)(*step.arguments, **step.options)

    @property
    def program(self) -> str:
        """What was done so far, as a program that does it again."""
        program = Program()
        program.add(f"trial = {self._opening(program)}")
        for step in self.steps:
            program.add(program.call(f"trial.{step.verb}", step.arguments, step.options))
        return str(program)

    def _own_opening(self, program: Program) -> str:
        options: dict[str, Any] = {"replicas": len(self.names)}
        given = {
            "writers": tuple(self._writers.values()),
            "profile_invariants": self._profile_invariants,
            "serializable": self._serializable,
        }
        options |= {name: value for name, value in given.items() if value}
        arguments = [] if self.schema == Schema() else [self.schema]
        return program.call(program.imported(Trial, "crdtstore.testing"), arguments, options)

    @contextmanager
    def _noted(self, verb: str, *arguments: Any, **options: Any) -> Iterator[None]:
        """Note a step, check the invariants after it, and tell the program if anything fails."""
        self.steps.append(Step(verb, arguments, options))
        try:
            yield
            verdict.check_invariants(
                self.network, self.promises.profile_ids, self._profile_invariants
            )
        except LawBroken as broken:
            raise LawBroken(str(broken), trial=self) from None
        except BaseException as error:
            error.add_note(self.program)
            raise
        self.network.clock.now_ms += 1

    def _replica(self, at: str) -> ReplicaUnderTest:
        if at not in self.network.running():
            raise ValueError(f"{at} does not run; restart it first")
        return ReplicaUnderTest(self.network, at, self.promises)

    def _wire(self, one: str, two: str) -> Wire:
        return self.network.wires.get((one, two)) or self.network.wires[two, one]


def _at(step: Step, name: str) -> Step:
    """Return a step that writes, at another replica."""
    if step.verb == "run":
        return step._replace(options={**step.options, "at": name})
    return step._replace(arguments=(name, *step.arguments[1:]))


def _call(writer: Writer, replica: ReplicaUnderTest, arguments: Mapping[str, Any]) -> None:
    if not inspect.iscoroutinefunction(writer):
        writer(replica, **arguments)
        return
    coroutine = writer(AsyncReplicaUnderTest(replica), **arguments)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise TypeError(
        f"writer {writer.__name__} awaits something else than its replica; "
        "give it what it waits for as an argument"
    )
