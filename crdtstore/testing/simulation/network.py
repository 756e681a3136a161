"""Network: machines, wires and time. One seed decides everything that happens.

It runs the real ``Store`` and ``Exchange`` over ``MemoryStorage``, with no thread and no socket.
Whatever happens is an event at a virtual time: a message arrives, a commit ends, a clock ticks, a
link is dialled. ``happen`` lets the next one happen; the same seed and the same calls give the
same run.

    network = Network(seed=1)
    for name in ("eu", "us"):
        network.add(name)
    network.wire("eu", "us")
    network.store("eu").write("ann", {"email": "ann@example.com"}, source="crm")
    network.settle()
"""

from collections.abc import Callable

from crdtstore.errors import StorageError
from crdtstore.links.exchange import Exchange
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation.machine import Machine, Ticket, is_at_rest
from crdtstore.testing.simulation.timeline import TICK_MS
from crdtstore.testing.simulation.wires import END
from crdtstore.testing.simulation.wiring import Wiring


class Network(Wiring):
    """Replicas that start, crash and are written to, on machines that are wired."""

    def __init__(
        self,
        seed: int,
        *,
        schema: Schema | None = None,
        settings: Settings | None = None,
        space: str = "default",
        trace: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(seed, trace)
        self._schema = schema
        self._settings = settings
        self._space = space

    # --- machines -----------------------------------------------------------------------------

    def add(
        self,
        name: str,
        *,
        storage: MemoryStorage | None = None,
        skew_ms: int = 0,
        space: str | None = None,
        starts: bool = True,
    ) -> Machine:
        """Add a machine, and start its replica if it ``starts``; its clock is ahead by so much."""
        machine = Machine(name, storage or MemoryStorage(), space or self._space)
        machine.clock_ahead_ms = skew_ms
        self.machines[name] = machine
        self._ends[name] = {}
        if starts:
            self._start(machine)
        return machine

    def exchange(self, name: str) -> Exchange:
        """Return the exchange of a running replica."""
        exchange = self.machines[name].exchange
        assert exchange is not None, f"{name} is down"
        return exchange

    def store(self, name: str) -> Store:
        """Return the store of a running replica."""
        return self.exchange(name).store

    def running(self) -> list[str]:
        """Return the names of the replicas that run."""
        return [name for name, machine in self.machines.items() if machine.exchange is not None]

    def ticket(self, name: str) -> Ticket:
        """Return a ticket for what is written at a replica now, with its next commit."""
        ticket = Ticket(name, self.store(name).replication.identity.origin)
        self.machines[name].filling.append(ticket)
        return ticket

    def crash(self, name: str, *, persists: bool = False, leaves: str = "nothing") -> None:
        """Stop a replica without closing it; what is committed stays.

        The commit under way reaches the disk if it ``persists``. Of its links it ``leaves``
        nothing, or "messages" that are on their way still arrive, or "silence": peers are not told.
        """
        machine = self.machines[name]
        if machine.exchange is None:
            return
        for wire, connection, side in list(self._ends[name].values()):
            if leaves == "nothing":
                self._lose(wire, connection)
                continue
            connection.numbers[side] = None
            connection.queues[side].clear()
            self._ends[name].clear()
            if wire.dialled is connection and side == 0:
                wire.dialled = None
            if leaves == "messages":
                self._put(wire, connection, 1 - side, END)
        self._ends[name].clear()
        machine.stop(persists=persists)
        machine.storage = machine.storage.reopen()
        self.say(f"{name}: crash, its commit under way is {'kept' if persists else 'lost'}")

    def restart(self, name: str, *, storage: MemoryStorage | None = None) -> None:
        """Start a replica that does not run, on another storage if one is given."""
        machine = self.machines[name]
        if storage is not None:
            assert machine.exchange is None, f"{name} is running"
            machine.storage = storage
        if machine.exchange is None:
            self._start(machine)

    def checkpoint(self, name: str) -> None:
        """Have a replica bring all documents to rest, unless a commit is under way."""
        machine = self.machines[name]
        if machine.checkpoint():
            self._schedule_commit(machine)

    def _start(self, machine: Machine) -> None:
        store = Store.open(
            machine.storage,
            name=machine.name,
            space=machine.space,
            schema=self._schema,
            settings=self._settings,
            now_ms=lambda: self.clock.now_ms + machine.clock_ahead_ms,
            random_bits=self.chance.getrandbits,
        )
        machine.exchange = Exchange(store)
        machine.process += 1
        self.say(f"{machine.name}: start as {store.replication.identity.origin:016x}")
        self.schedule(self.chance.randrange(TICK_MS), self._tick, machine, machine.process)
        for wire in self.wires.values():
            if wire.one == machine.name:
                self._dial_soon(wire, at_once=True)

    # --- being done ---------------------------------------------------------------------------

    def settle(self, ticks_max: int = 600) -> int:
        """Let time pass until all replicas that run have converged and are quiet; return the ticks.

        Raises AssertionError if they have not after ``ticks_max``.
        """
        for count in range(ticks_max):
            if self.is_converged():
                return count
            self.advance()
        raise AssertionError(f"not converged after {ticks_max} ticks:\n{self.describe()}")

    def is_converged(self) -> bool:
        """Say whether the replicas that run have equal vectors and nothing left to commit."""
        names = self.running()
        vectors = [self.store(name).ledger.vector() for name in names]
        return (
            all(vector == vectors[0] for vector in vectors)
            and all(is_at_rest(self.store(name)) for name in names)
            and all(self.store(name).replication.progress is None for name in names)
            and not any(self.machines[name].has_work for name in names)
        )

    def describe(self) -> str:
        """Return the state of all replicas and wires, for a failed test's message."""
        lines = []
        for name in self.running():
            store = self.store(name)
            try:
                lines.append(f"{name}: {store.digest()} progress={store.replication.progress}")
            except StorageError as error:
                lines.append(f"{name}: {error}")
            lines += [
                f"  link {number}: {link.state} {link.reason}"
                for number, link in self.exchange(name).links.items()
            ]
        for wire in self.wires.values():
            state = "cut" if wire.is_cut else f"stalled={sorted(wire.stalled)}"
            lines.append(f"{wire.one}-{wire.two}: {state} {wire.reasons[-2:]}")
        return "\n".join(lines)
