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

import random
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from crdtstore.engine.commits import Commit
from crdtstore.errors import StorageError
from crdtstore.exchange import Exchange
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation.clock import START_MS, VirtualClock
from crdtstore.testing.simulation.machine import Machine, Ticket
from crdtstore.testing.simulation.messages import described
from crdtstore.testing.simulation.wires import END, Connection, Wire

TICK_MS: Final = 100
"""How often a replica's process looks at its clock."""

REDIAL_MS: Final = 200
"""A lost link is dialled again after this, then after twice as long, and so on."""

REDIAL_DOUBLINGS: Final = 4

SOUND_MS: Final = 2_000
"""A link that lasted this long was sound: it is dialled again as if for the first time."""


class Network:
    """Machines by name, wires by the names of their ends, and the events to come.

    ``events`` counts those that happened, ``delivered`` the messages by the number of their kind.
    ``trace`` is called with a line for each event, if given.
    """

    def __init__(
        self,
        seed: int,
        *,
        schema: Schema | None = None,
        settings: Settings | None = None,
        space: str = "default",
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.machines: dict[str, Machine] = {}
        self.wires: dict[tuple[str, str], Wire] = {}
        self.events = 0
        self.delivered: Counter[int] = Counter()
        self.chance = random.Random(seed)
        self.trace = trace
        self._schema = schema
        self._settings = settings
        self._space = space
        self._due: list[tuple[int, float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._ends: dict[str, dict[int, tuple[Wire, Connection, int]]] = {}

    # --- time ---------------------------------------------------------------------------------

    def schedule(self, after_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen later. What is due at the same time happens in a drawn order."""
        self._scheduled += 1
        at_ms = self.clock.now_ms + after_ms
        heappush(self._due, (at_ms, self.chance.random(), self._scheduled, action, arguments))

    def happen(self) -> None:
        """Let the next event happen."""
        at_ms, _, _, action, arguments = heappop(self._due)
        self.clock.now_ms = max(at_ms, self.clock.now_ms)
        self.events += 1
        action(*arguments)

    def advance(self, ticks: int = 1) -> None:
        """Let everything happen that is due within so many tenths of a second."""
        until_ms = self.clock.now_ms + ticks * TICK_MS
        while self._due and self._due[0][0] <= until_ms:
            self.happen()
        self.clock.now_ms = max(until_ms, self.clock.now_ms)

    def say(self, text: str) -> None:
        """Add a line to the trace, if there is one."""
        if self.trace is not None:
            self.trace(f"{self.elapsed_ms / 1_000:9.3f}  {text}")

    @property
    def elapsed_ms(self) -> int:
        """Virtual time since the beginning."""
        return self.clock.now_ms - START_MS

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

    def pump(self, name: str) -> None:
        """Let a replica go on after it was written to: begin a commit, and send."""
        self._pump(self.machines[name])

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

    def _tick(self, machine: Machine, process: int) -> None:
        if machine.process == process and machine.exchange is not None:
            machine.exchange.tick()
            self._pump(machine)
            self.schedule(TICK_MS, self._tick, machine, process)

    # --- commits ------------------------------------------------------------------------------

    def _pump(self, machine: Machine) -> None:
        """Do what a process does when something has changed: begin a commit, send."""
        if machine.begin():
            self._schedule_commit(machine)
        for number in list(self._ends[machine.name]):
            self._send(machine, number)

    def _schedule_commit(self, machine: Machine) -> None:
        assert machine.commit is not None
        self.schedule(machine.commit_ms, self._persist, machine, machine.commit)

    def _persist(self, machine: Machine, commit: Commit) -> None:
        """What the worker thread does; a moment later the store is told."""
        if machine.commit is commit and not machine.is_persisted:
            machine.persist()
            self.schedule(self.chance.randrange(3), self._finish_commit, machine, commit)

    def _finish_commit(self, machine: Machine, commit: Commit) -> None:
        if machine.commit is not commit:
            return
        error = machine.finish()
        if self.trace is not None:
            records = len(commit.batch.journal)
            self.say(f"{machine.name}: commit of {records} records: {error or 'durable'}")
        self._pump(machine)

    # --- wires --------------------------------------------------------------------------------

    def wire(self, one: str, two: str) -> Wire:
        """Connect two replicas; the first dials at once, and again when the link is lost."""
        wire = Wire(one, two)
        self.wires[one, two] = wire
        self._dial_soon(wire, at_once=True)
        return wire

    def cut(self, wire: Wire) -> None:
        """Break a wire, with what is on its way, until it is healed."""
        wire.is_cut = True
        self.drop(wire)

    def stall(self, wire: Wire, side: int) -> None:
        """Let nothing arrive at one side of a wire, and tell nobody."""
        wire.stalled.add(side)

    def heal(self, wire: Wire) -> None:
        """Let a wire carry links again; what was stalled arrives."""
        wire.is_cut = False
        wire.stalled.clear()
        for connection in wire.connections:
            for side in (0, 1):
                if connection.queues[side]:
                    self.schedule(0, self._deliver, wire, connection, side)
        self._dial_soon(wire, at_once=True)

    def drop(self, wire: Wire) -> None:
        """Lose a wire's connections, with what is on its way; it is dialled again soon."""
        for connection in list(wire.connections):
            self._lose(wire, connection)

    def _dial_soon(self, wire: Wire, *, at_once: bool = False) -> None:
        if at_once:
            wire.attempts = 0
        elif wire.is_dialling:
            return
        wait_ms = 0 if at_once else (REDIAL_MS << wire.attempts) * (1 + self.chance.random()) / 2
        wire.is_dialling = True
        wire.attempts = min(wire.attempts + 1, REDIAL_DOUBLINGS)
        self.schedule(int(wait_ms), self._dial, wire)

    def _dial(self, wire: Wire) -> None:
        wire.is_dialling = False
        one, two = self.machines[wire.one], self.machines[wire.two]
        if wire.dialled is not None or one.exchange is None:
            return
        if two.exchange is None or not wire.is_open:
            self._dial_soon(wire)
            return
        numbers = one.exchange.open_link(outbound=True), two.exchange.open_link(outbound=False)
        connection = Connection(numbers, self.clock.now_ms)
        wire.dialled = connection
        wire.connections.append(connection)
        self.say(f"{wire.one} - {wire.two}: linked")
        for side, machine in enumerate((one, two)):
            self._ends[machine.name][numbers[side]] = (wire, connection, side)
            self._send(machine, numbers[side])

    def _lose(self, wire: Wire, connection: Connection) -> None:
        for side in (0, 1):
            connection.queues[side].clear()
        for side in (0, 1):
            self._close_end(wire, connection, side, tells=False)

    def _close_end(self, wire: Wire, connection: Connection, side: int, *, tells: bool) -> None:
        """Close one end; behind what it has sent, the other end is told, if it ``tells``."""
        number = connection.numbers[side]
        if number is not None:
            connection.numbers[side] = None
            name = wire.names[side]
            self._ends[name].pop(number, None)
            exchange = self.machines[name].exchange
            if exchange is not None:
                link = exchange.links.get(number)
                if link is not None and link.reason_code:
                    wire.reasons.append((name, f"{link.reason_code}: {link.reason}"))
                    self.say(f"{name}: link to {wire.names[1 - side]} ended: {link.reason_code}")
                exchange.close_link(number)
            connection.queues[side].clear()
            if tells:
                self._put(wire, connection, 1 - side, END)
        if connection.is_gone and connection in wire.connections:
            wire.connections.remove(connection)
        if side == 0 and wire.dialled is connection:
            wire.dialled = None
            if self.clock.now_ms - connection.opened_ms > SOUND_MS:
                wire.attempts = 0
            self._dial_soon(wire)

    # --- messages -----------------------------------------------------------------------------

    def _send(self, machine: Machine, number: int) -> None:
        """Put what an end has to send on its wire; close the end if its session was closed."""
        found = self._ends[machine.name].get(number)
        exchange = machine.exchange
        if found is None or exchange is None:
            return
        wire, connection, side = found
        for message in exchange.take_outgoing(number):
            self._put(wire, connection, 1 - side, message)
        link = exchange.links.get(number)
        if link is None or link.session.state == "closed":
            self._close_end(wire, connection, side, tells=True)
        elif exchange.has_more(number):
            self.schedule(1, self._send_more, machine, machine.process, number)

    def _send_more(self, machine: Machine, process: int, number: int) -> None:
        if machine.process == process and machine.exchange is not None:
            self._pump(machine)

    def _put(self, wire: Wire, connection: Connection, side: int, message: bytes | None) -> None:
        if connection.numbers[side] is None:
            return
        queue = connection.queues[side]
        delay_ms = wire.delay_ms + (
            self.chance.randrange(wire.jitter_ms + 1) if wire.jitter_ms else 0
        )
        due_ms = max(self.clock.now_ms + delay_ms, queue[-1][0] if queue else 0)
        place = len(queue)
        if message is not None and wire.swaps and queue and self.chance.random() < wire.swaps:
            place -= 1
        copies = 2 if message is not None and self.chance.random() < wire.doubles else 1
        for _ in range(copies):
            queue.insert(place, (due_ms, message))
        if len(queue) == copies:
            self.schedule(due_ms - self.clock.now_ms, self._deliver, wire, connection, side)

    def _deliver(self, wire: Wire, connection: Connection, side: int) -> None:
        """Deliver the next message that is due at a side."""
        queue = connection.queues[side]
        if side in wire.stalled or not queue or queue[0][0] > self.clock.now_ms:
            return
        _, message = queue.popleft()
        if queue:
            wait_ms = max(0, queue[0][0] - self.clock.now_ms)
            self.schedule(wait_ms, self._deliver, wire, connection, side)
        number = connection.numbers[side]
        machine = self.machines[wire.names[side]]
        if number is None or machine.exchange is None:
            return
        if message is END:
            self._close_end(wire, connection, side, tells=False)
            self._pump(machine)
            return
        if self.trace is not None:
            peer = wire.names[1 - side]
            self.say(f"{machine.name}: from {peer} {described(message)}")
        self.delivered[message[0]] += 1
        machine.exchange.receive(number, message)
        self._pump(machine)

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
            and all(self.store(name).replication.vector == vectors[0] for name in names)
            and all(self.store(name).replication.progress is None for name in names)
            and not any(self.machines[name].commit or self.machines[name].filling for name in names)
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
