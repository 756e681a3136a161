"""Wiring: machines and the wires between them, and what processes and links do by themselves."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from crdtstore.engine.commits import Commit
from crdtstore.engine.settlement import Settlement
from crdtstore.testing.simulation.machine import Machine
from crdtstore.testing.simulation.messages import described
from crdtstore.testing.simulation.timeline import TICK_MS, Timeline
from crdtstore.testing.simulation.wires import END, Connection, Wire

REDIAL_MS: Final = 200
"""A lost link is dialled again after this, then after twice as long, and so on."""

REDIAL_DOUBLINGS: Final = 4

SETTLEMENT_MS: Final = 20
"""Documents that come to rest apart take less than this: several commits."""

SOUND_MS: Final = 2_000
"""A link that lasted this long was sound: it is dialled again as if for the first time."""


class Wiring(Timeline):
    """Machines by name, and wires by the names of their ends.

    ``delivered`` counts the messages that arrived, by the number of their kind.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        super().__init__(seed, trace)
        self.machines: dict[str, Machine] = {}
        self.wires: dict[tuple[str, str], Wire] = {}
        self.delivered: Counter[int] = Counter()
        self._ends: dict[str, dict[int, tuple[Wire, Connection, int]]] = {}

    # --- processes ----------------------------------------------------------------------------

    def pump(self, name: str) -> None:
        """Let a replica go on after it was written to: begin a commit, and send."""
        self._pump(self.machines[name])

    def _tick(self, machine: Machine, process: int) -> None:
        if machine.process == process and machine.exchange is not None:
            machine.exchange.tick()
            self._pump(machine)
            self.schedule(TICK_MS, self._tick, machine, process)

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
        is_settling = machine.settlement is not None
        error = machine.finish()
        if self.trace is not None:
            records = len(commit.batch.journal)
            self.say(f"{machine.name}: commit of {records} records: {error or 'durable'}")
        if machine.settlement is not None and not is_settling:
            wait_ms = self.chance.randrange(SETTLEMENT_MS)
            self.schedule(wait_ms, self._settle, machine, machine.settlement)
        self._pump(machine)

    def _settle(self, machine: Machine, settlement: Settlement) -> None:
        """What the second worker thread does; a moment later the store is told."""
        if machine.settlement is settlement:
            machine.settle()
            self.schedule(self.chance.randrange(3), self._finish_settlement, machine, settlement)

    def _finish_settlement(self, machine: Machine, settlement: Settlement) -> None:
        if machine.settlement is not settlement:
            return
        error = machine.finish_settlement()
        if self.trace is not None:
            documents = len(settlement.rested)
            self.say(f"{machine.name}: {documents} documents settled: {error or 'at rest'}")
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
