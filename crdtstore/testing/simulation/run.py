"""One run: a network that is drawn from a seed, written to, beset by faults, healed and judged."""

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import CrdtstoreError, StorageCorrupt, StorageError
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation.disk import copy_storage, damaged_profiles, new_disk
from crdtstore.testing.simulation.faults import BACKUPS_KEPT, FAULTS
from crdtstore.testing.simulation.follower import Follower
from crdtstore.testing.simulation.history import Broken
from crdtstore.testing.simulation.invariants import Invariants
from crdtstore.testing.simulation.machine import durable_vector
from crdtstore.testing.simulation.messages import KINDS
from crdtstore.testing.simulation.network import Network
from crdtstore.testing.simulation.quiet import no_logs
from crdtstore.testing.simulation.tight import drawn_limits, drawn_settings, limits_set_to
from crdtstore.testing.simulation.topologies import SHAPES, topology
from crdtstore.testing.simulation.verdict import pronounce
from crdtstore.testing.simulation.workload import SCHEMA, Workload

STEPS: Final = 3_000
"""Events of a run before it is healed, unless told otherwise."""

LOOK_EVENTS: Final = 10
"""The invariants are checked each time that so many events have happened."""

NAMES: Final = ("ap", "eu", "sa", "us", "af", "me")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of: all of it is drawn from the seed, but for what a caller fixes."""

    seed: int
    steps: int = STEPS
    faults: tuple[str, ...] = tuple(FAULTS)
    schema: Schema = SCHEMA
    shape: str | None = None
    replicas: int | None = None


@dataclass(slots=True)
class Report:
    """How a run went. ``failure`` says what was broken, "" if nothing; ``counts`` what occurred."""

    seed: int
    events: int = 0
    writes: int = 0
    virtual_s: float = 0.0
    setting: str = ""
    failure: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


def simulate(plan: Plan, *, trace: Callable[[str], None] | None = None) -> Report:
    """Run one plan to its end and return how it went; nothing is raised for a broken promise."""
    report = Report(plan.seed)
    chance = random.Random(f"plan {plan.seed}")
    is_tight = chance.random() < 0.7
    sizes = drawn_limits(chance) if is_tight else {}
    settings = drawn_settings(chance) if is_tight else Settings()
    with limits_set_to(sizes), no_logs():
        simulation = Simulation(plan, chance, settings, trace, is_tight=is_tight)
        report.setting = simulation.setting + (", tight limits" if is_tight else "")
        try:
            simulation.run()
        except (AssertionError, CrdtstoreError, LookupError, TypeError, ValueError) as error:
            report.failure = f"{type(error).__name__}: {error}"
            if not isinstance(error, Broken):
                report.failure += "\n" + traceback.format_exc(limit=-6)
            simulation.network.say(f"FAILED: {error}")
        report.events = simulation.network.events
        report.writes = len(simulation.workload.history.entries)
        report.virtual_s = simulation.network.elapsed_ms / 1_000
        report.counts = simulation.counts
    return report


class Simulation:
    """A run under way: what faults, workload and checkers share."""

    def __init__(
        self,
        plan: Plan,
        chance: random.Random,
        settings: Settings,
        trace: Callable[[str], None] | None,
        *,
        is_tight: bool,
    ) -> None:
        self.plan = plan
        self.is_tight = is_tight
        self.chance = chance
        self.counts: Counter[str] = Counter()
        self.network = Network(plan.seed, schema=plan.schema, settings=settings, trace=trace)
        self.workload = Workload(chance, plan.schema, chance.choice([4, 12, 40]))
        self.invariants = Invariants(self.network, self.workload.history)
        self.followers: dict[str, Follower] = {}
        self.images: dict[str, list[MemoryStorage]] = {}
        self.in_2099: set[str] = set()
        self.damaged: set[str] = set()
        self.has_lost_disks = False
        self.is_calm = False
        self._numbers = 0
        self._gap_ms = chance.choice([10, 40, 150])
        self._fault_gap_ms = chance.choice([150, 500, 2_000])
        self._weights = [FAULTS[name][1] for name in plan.faults]
        shape = plan.shape or chance.choice(SHAPES)
        count = plan.replicas or chance.choice([2, 3, 3, 4, 4, 5, 6])
        names = NAMES[:count]
        self.setting = f"{shape} of {count}"
        late = chance.choice([0, 0, 0, 1])
        for number, name in enumerate(names):
            skew_ms = chance.randrange(-20_000, 20_001)
            starts = number < max(2, count - late)
            self.network.add(
                name,
                storage=new_disk(f"disk of {name}", chance),
                skew_ms=skew_ms,
                starts=starts,
            )
            if not starts:
                self.network.schedule(chance.randrange(20_000), self.network.restart, name)
        for one, two in topology(shape, names):
            self.network.wire(one, two)

    def run(self) -> None:
        """Let everything happen, heal, and judge. Raises Broken or another AssertionError."""
        network = self.network
        network.schedule(0, self._act)
        network.schedule(0, self._look)
        if self.plan.faults:
            network.schedule(self._fault_gap_ms, self._beset)
        while network.events < self.plan.steps:
            network.happen()
            if network.events % LOOK_EVENTS == 0:
                for name in network.running():
                    self.invariants.check(name)
        self.count_paths()
        pronounce(self)

    # --- what happens by itself ---------------------------------------------------------------

    def _act(self) -> None:
        """Write somewhere, sometimes everywhere at once to the same field."""
        if self.is_calm:
            return
        running = self.network.running()
        if running:
            if self.chance.random() < 0.08:
                profile = self.workload.profile()
                fields = self.plan.schema.fields
                named = [name for name, field in fields.items() if field.kind != "trait"]
                name_of_field = self.chance.choice(named or ["x"])
                for name in running:
                    self._write(name, profile, name_of_field)
            else:
                self._write(self.chance.choice(running), self.workload.profile())
        self.network.schedule(int(self.chance.expovariate(1 / self._gap_ms)), self._act)

    def _write(self, name: str, profile: str, field_name: str | None = None) -> None:
        store = self.network.store(name)
        ticket = self.network.ticket(name)
        try:
            done = self.workload.act(store, ticket, profile, field_name)
        except StorageError as error:
            if isinstance(error, StorageCorrupt) and name not in self.damaged:
                raise
            done = f"write {profile}: refused, {error.code}"
            self.counts[f"write refused: {error.code}"] += 1
        self.network.say(f"{name}: {done}")
        self.network.pump(name)

    def _look(self) -> None:
        """Read, follow a feed, take an image of a disk, start a repair: what users do."""
        if self.is_calm:
            return
        running = self.network.running()
        if running:
            profile = self.workload.profile()
            for name in running:
                entries = self.workload.read_at(self.network.store(name), name, profile)
                self.counts["causes seen"] += self.invariants.check_causes(name, entries)
            self._follow(self.chance.choice(running))
        name = self.chance.choice(list(self.network.machines))
        if self.chance.random() < 0.1 and not self.is_damaged():
            images = self.images.setdefault(name, [])
            images.append(copy_storage(self.network.machines[name].storage))
            del images[:-BACKUPS_KEPT]
        if running and self.chance.random() < (0.3 if self.damaged else 0.02):
            doubtful = [name for name in running if name in self.damaged]
            self._start_repair(self.chance.choice(doubtful or running))
        if running and self.chance.random() < 0.03:
            self.network.checkpoint(self.chance.choice(running))
        self.network.schedule(self.chance.randrange(1, 200), self._look)

    def _follow(self, name: str) -> None:
        store = self.network.store(name)
        follower = self.followers.get(name)
        if follower is None:
            self.followers[name] = follower = Follower()
            follower.resync(store)
        follower.follow(store)

    def _start_repair(self, name: str) -> None:
        exchange = self.network.exchange(name)
        links = [number for number, link in exchange.links.items() if link.state == "live"]
        if links:
            try:
                exchange.start_repair(self.chance.choice(links))
            except CrdtstoreError:
                return
            self.counts["repair started"] += 1
            self.network.pump(name)

    def _beset(self) -> None:
        """Let a fault befall something."""
        if self.is_calm:
            return
        (name,) = self.chance.choices(self.plan.faults, self._weights)
        self.network.say(f"--- {name}")
        if FAULTS[name][0](self):
            self.counts[f"fault: {name}"] += 1
        self.network.schedule(int(self.chance.expovariate(1 / self._fault_gap_ms)), self._beset)

    # --- for the faults -----------------------------------------------------------------------

    def later(self, after_ms: int, action: Callable[..., Any], *arguments: Any) -> None:
        """Let something happen later, unless the run is being healed by then."""
        self.network.schedule(after_ms, self._unless_calm, action, arguments)

    def _unless_calm(self, action: Callable[..., Any], arguments: Sequence[Any]) -> None:
        if not self.is_calm:
            action(*arguments)

    def next_number(self) -> int:
        """Return a number that was not given before."""
        self._numbers += 1
        return self._numbers

    def running_name(self) -> str | None:
        """Draw a replica that runs, None if there is none."""
        running = self.network.running()
        return self.chance.choice(running) if running else None

    def crash(self, name: str, *, persists: bool = False, leaves: str = "nothing") -> None:
        """End a process; what was read there and not written down is forgotten."""
        self.network.crash(name, persists=persists, leaves=leaves)
        self.workload.forget_reads(name)

    def restart(self, name: str, process: int) -> None:
        """Start a process again, unless that was done already."""
        machine = self.network.machines[name]
        if machine.process == process and machine.exchange is None:
            self.network.restart(name)

    def replace_disk(self, name: str, storage: MemoryStorage) -> None:
        """Put another disk into a machine that does not run, and note what is lost by it."""
        machine = self.network.machines[name]
        before, after = machine.disk_vector, vector_at_rest(storage)
        others = [other for other in self.network.machines.values() if other is not machine]
        lost = self.workload.history.disk_lost(before, after, others)
        self.counts["writes at the mercy of a lost disk"] += lost
        self.has_lost_disks = True
        machine.replace_disk(storage, after)
        self.invariants.disk_replaced(machine)
        self.followers.pop(name, None)
        self._note_damage(name)

    def _note_damage(self, name: str) -> None:
        """Note what is damaged on a disk that is a copy of another."""
        if self.damaged:
            for profile in damaged_profiles(self.network.machines[name].storage):
                self.document_damaged(name, profile)

    def add_machine(self, name: str, storage: MemoryStorage) -> None:
        """Add a machine with a disk, wired to one or two others, and start it."""
        others = list(self.network.machines)
        self.network.add(name, storage=storage, skew_ms=self.chance.randrange(-20_000, 20_001))
        self._note_damage(name)
        for other in self.chance.sample(others, min(len(others), self.chance.choice([1, 2]))):
            self.network.wire(name, other)

    def fill_disk(self, name: str, disk_bytes_max: int) -> None:
        """Bound the disk of a machine."""
        self.network.machines[name].storage.disk_bytes_max = disk_bytes_max

    def document_damaged(self, name: str, profile: str) -> None:
        """Note that a stored document was damaged, and what nobody else has of it."""
        self.damaged.add(name)
        machine = self.network.machines[name]
        others = [other for other in self.network.machines.values() if other is not machine]
        self.workload.history.document_damaged(name, profile, others)

    def is_damaged(self) -> bool:
        """Say whether a stored document is damaged somewhere; nothing is, once it is healed."""
        machines = self.network.machines
        return any(damaged_profiles(machines[name].storage) for name in self.damaged)

    def dirty_reads_lost(self, name: str) -> None:
        """Take note that a store undid writes that were read."""
        self.workload.forget_reads(name)

    def set_clock(self, name: str, ahead_ms: int) -> None:
        """Set the clock of a machine."""
        self.network.machines[name].clock_ahead_ms = ahead_ms

    # --- counting -----------------------------------------------------------------------------

    def count_paths(self) -> None:
        """Count which paths the run took, so that a campaign can show what it has covered."""
        network = self.network
        for kind, name in KINDS.items():
            self.counts[f"message: {name}"] = network.delivered[kind]
        for wire in network.wires.values():
            for _, reason in wire.reasons:
                self.counts[f"refused: {reason.partition(':')[0]}"] += 1
        for follower in self.followers.values():
            self.counts["feed: cursor expired"] += follower.resyncs
        for name in network.running():
            store = network.store(name)
            self.counts["journal trimmed"] += bool(store.ledger.bytes_trimmed)
            self.counts["no-op writes"] += store.counters["noops"]
        for entry in self.workload.history.entries:
            self.counts[f"write: {entry.what}"] += 1
            self.counts[f"answer: {entry.ticket.state}"] += 1


def vector_at_rest(storage: MemoryStorage) -> dict[int, int]:
    """Return the vector of what a storage holds, as a process would find it."""
    copy = copy_storage(storage, fingerprint="looked at")
    numbers = iter(range(1, limits.ORIGINS_MAX))
    store = Store.open(copy, name="looker", now_ms=lambda: 1, random_bits=lambda _: next(numbers))
    return durable_vector(store)
