"""Lockstep: replicas of one space on a virtual clock and a network that does as it is told.

It runs the real ``Store`` and ``Exchange`` over ``MemoryStorage``, with no thread and no socket:
the same seed and the same calls give the same run. A wire between two replicas carries a link,
which is opened anew some steps after it was lost, as configured peers do. A wire can be cut,
healed, delayed, and broken off with what was on its way; a replica can be crashed and started
again.

    network = Network(seed=1)
    for name in ("eu", "us"):
        network.add(name)
    network.wire("eu", "us")
    network.store("eu").write("ann", {"email": "ann@example.com"}, source="crm")
    network.settle()
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crdtstore.engine.commits import Commit, persist_growing
from crdtstore.errors import StorageError
from crdtstore.exchange import Exchange
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.wires import Wire

STEP_MS: Final = 100
"""Virtual time that one step takes."""

RELINK_STEPS: Final = 2
"""Steps after which a lost link is tried again."""

_FIRST_MS: Final = 1_700_000_000_000
_WHOLE: Final = 1 << 40


@dataclass(slots=True)
class VirtualClock:
    """Unix milliseconds that pass only when told to."""

    now_ms: int = _FIRST_MS


@dataclass(slots=True)
class Ticket:
    """What became of one write: pending, committing, durable, lost, or unknown after a crash."""

    node: str
    state: str = "pending"


class Node:
    """One replica: its storage, and its exchange while it runs.

    ``is_slow`` makes a commit take one more step, so that the next one fills meanwhile.
    """

    def __init__(self, name: str, storage: MemoryStorage, space: str) -> None:
        self.name = name
        self.storage = storage
        self.space = space
        self.exchange: Exchange | None = None
        self.is_slow = False
        self.skew_ms = 0
        self.commit: Commit | None = None
        self.filling: list[Ticket] = []
        self.committing: list[Ticket] = []

    def begin(self) -> bool:
        """Begin a commit, if there is anything to commit and none is under way."""
        assert self.exchange is not None
        if self.commit is not None:
            return False
        self.commit = self.exchange.begin_commit()
        if self.commit is not None and self.commit.makes_room:
            return True
        self.committing, self.filling = self.filling, []
        _mark(self.committing, "committing" if self.commit else "durable")
        return self.commit is not None

    def checkpoint(self) -> None:
        """Bring all documents to rest in one commit, unless another is under way."""
        assert self.exchange is not None
        if self.commit is None:
            self.commit = self.exchange.store.begin_commit(checkpoint=True)
            self.committing, self.filling = self.filling, []
            self.finish()

    def finish(self) -> None:
        """Make the commit under way durable, or undo it where the storage refuses it."""
        assert self.exchange is not None
        commit, self.commit = self.commit, None
        if commit is None:
            _mark(self.committing, "durable")
            return
        error: StorageError | None = None
        try:
            persist_growing(commit, self.storage)
        except StorageError as failure:
            error = failure
        self.exchange.finish_commit(commit, error)
        _mark(self.committing, "durable" if error is None else "lost")
        self.committing = []
        if error is not None:
            _mark(self.filling, "lost")
            self.filling = []

    def stop(self, *, persists: bool) -> None:
        """Stop at once; the commit under way reaches the disk if ``persists``, unanswered."""
        if persists and self.commit is not None:
            persist_growing(self.commit, self.storage)
            _mark(self.committing, "unknown")
        else:
            _mark(self.committing, "lost")
        _mark(self.filling, "lost")
        self.commit, self.filling, self.committing = None, [], []
        self.exchange = None


def _mark(tickets: Iterable[Ticket], state: str) -> None:
    for ticket in tickets:
        ticket.state = state


class Network:
    """Replicas, wires and the clock. ``step`` moves everything once."""

    def __init__(
        self,
        seed: int,
        *,
        schema: Schema | None = None,
        settings: Settings | None = None,
        space: str = "default",
    ) -> None:
        self.clock = VirtualClock()
        self.nodes: dict[str, Node] = {}
        self.wires: dict[tuple[str, str], Wire] = {}
        self.steps = 0
        self._random = random.Random(seed)
        self._schema = schema
        self._settings = settings
        self._space = space

    # --- replicas -----------------------------------------------------------------------------

    def add(
        self,
        name: str,
        *,
        storage: MemoryStorage | None = None,
        skew_ms: int = 0,
        space: str | None = None,
        starts: bool = True,
    ) -> None:
        """Add a replica, and start it if it ``starts``; its clock is ahead by ``skew_ms``."""
        node = Node(name, storage or MemoryStorage(), space or self._space)
        node.skew_ms = skew_ms
        self.nodes[name] = node
        if starts:
            self._start(node)

    def exchange(self, name: str) -> Exchange:
        """Return the exchange of a running replica."""
        exchange = self.nodes[name].exchange
        assert exchange is not None, f"{name} is down"
        return exchange

    def store(self, name: str) -> Store:
        """Return the store of a running replica."""
        return self.exchange(name).store

    def running(self) -> list[str]:
        """Return the names of the replicas that run."""
        return [name for name, node in self.nodes.items() if node.exchange is not None]

    def ticket(self, name: str) -> Ticket:
        """Return a ticket for what was just written at a replica."""
        ticket = Ticket(name)
        self.nodes[name].filling.append(ticket)
        return ticket

    def crash(self, name: str, *, persists: bool = False) -> None:
        """Stop a replica without closing it; what is committed stays."""
        node = self.nodes[name]
        if node.exchange is None:
            return
        for wire in self._wires_of(name):
            self._lose(wire)
        node.stop(persists=persists)
        node.storage = node.storage.reopen()

    def restart(self, name: str, *, storage: MemoryStorage | None = None) -> None:
        """Start a replica that does not run, on another storage if one is given."""
        node = self.nodes[name]
        if storage is not None:
            assert node.exchange is None, f"{name} is running"
            node.storage = storage
        if node.exchange is None:
            self._start(node)

    def _start(self, node: Node) -> None:
        store = Store.open(
            node.storage,
            name=node.name,
            space=node.space,
            schema=self._schema,
            settings=self._settings,
            now_ms=lambda: self.clock.now_ms + node.skew_ms,
            random_bits=self._random.getrandbits,
        )
        node.exchange = Exchange(store)

    # --- wires --------------------------------------------------------------------------------

    def wire(self, one: str, two: str) -> Wire:
        """Connect two replicas: a link is opened at the next step, and again when it is lost."""
        wire = Wire(one, two)
        self.wires[one, two] = wire
        return wire

    def cut(self, wire: Wire) -> None:
        """Break a wire, with what is on its way, until it is healed."""
        wire.is_cut = True
        self._lose(wire)

    def heal(self, wire: Wire) -> None:
        """Let a cut wire carry links again."""
        wire.is_cut = False

    def drop(self, wire: Wire) -> None:
        """Lose a wire's link, with what is on its way; it is opened again soon."""
        self._lose(wire)

    def _lose(self, wire: Wire) -> None:
        if wire.ends is not None:
            for name, number in zip((wire.one, wire.two), wire.ends, strict=True):
                exchange = self.nodes[name].exchange
                if exchange is None:
                    continue
                link = exchange.links.get(number)
                if link is not None and link.reason_code:
                    wire.reasons.append((name, f"{link.reason_code}: {link.reason}"))
                exchange.close_link(number)
        wire.lose(self.steps + RELINK_STEPS)

    def _wires_of(self, name: str) -> list[Wire]:
        return [wire for wire in self.wires.values() if name in (wire.one, wire.two)]

    # --- time ---------------------------------------------------------------------------------

    def step(self, count: int = 1) -> None:
        """Move time, messages and commits on by so many steps."""
        for _ in range(count):
            self.steps += 1
            self.clock.now_ms += STEP_MS
            for wire in self.wires.values():
                self._relink(wire)
            for name in self.running():
                self.exchange(name).tick()
            for wire in self.wires.values():
                self._carry(wire)
            self._commit()
            for wire in self.wires.values():
                self._collect(wire)

    def _relink(self, wire: Wire) -> None:
        if wire.ends is not None or wire.is_cut or self.steps < wire.relink_at:
            return
        one, two = self.nodes[wire.one].exchange, self.nodes[wire.two].exchange
        if one is not None and two is not None:
            wire.ends = (one.open_link(outbound=True), two.open_link(outbound=False))
            self._collect(wire)

    def _commit(self) -> None:
        for name in self.running():
            node = self.nodes[name]
            was_under_way = node.commit is not None
            node.finish()
            if node.begin() and not (node.is_slow and not was_under_way):
                node.finish()

    def _carry(self, wire: Wire) -> None:
        """Deliver what is due on a wire; end the link when an end has closed it."""
        if wire.ends is None:
            return
        for name, number, queue in (
            (wire.one, wire.ends[0], wire.to_one),
            (wire.two, wire.ends[1], wire.to_two),
        ):
            exchange = self.exchange(name)
            while queue and queue[0][0] <= self.steps:
                exchange.receive(number, queue.popleft()[1])
        self._collect(wire)
        is_closed = any(
            (link := self.exchange(name).links.get(number)) is None
            or link.session.state == "closed"
            for name, number in zip((wire.one, wire.two), wire.ends, strict=True)
        )
        if is_closed and not wire.to_one and not wire.to_two:
            self._lose(wire)

    def _collect(self, wire: Wire) -> None:
        """Put what both ends have to send on the wire."""
        if wire.ends is None:
            return
        due = self.steps + wire.delay_steps
        for name, number, queue in (
            (wire.one, wire.ends[0], wire.to_two),
            (wire.two, wire.ends[1], wire.to_one),
        ):
            queue.extend((due, data) for data in self.exchange(name).take_outgoing(number))

    def settle(self, steps_max: int = 600) -> int:
        """Step until all replicas that run have converged and are quiet; return the steps.

        Raises AssertionError if they have not after ``steps_max``.
        """
        for count in range(steps_max):
            if self.is_converged():
                return count
            self.step()
        raise AssertionError(f"not converged after {steps_max} steps:\n{self.describe()}")

    def is_converged(self) -> bool:
        """Say whether the replicas that run have equal vectors and nothing left to commit."""
        names = self.running()
        vectors = [self.store(name).ledger.vector() for name in names]
        return (
            all(vector == vectors[0] for vector in vectors)
            and all(self.store(name).replication.vector == vectors[0] for name in names)
            and all(self.store(name).replication.progress is None for name in names)
            and not any(self.nodes[name].commit or self.nodes[name].filling for name in names)
        )

    def describe(self) -> str:
        """Return the state of all replicas and wires, for a failed test's message."""
        lines = []
        for name in self.running():
            store = self.store(name)
            lines.append(f"{name}: {store.digest()} progress={store.replication.progress}")
            lines += [
                f"  link {number}: {link.state} {link.reason}"
                for number, link in self.exchange(name).links.items()
            ]
        for wire in self.wires.values():
            lines.append(f"{wire.one}-{wire.two}: cut={wire.is_cut} {wire.reasons[-2:]}")
        return "\n".join(lines)


def copy_storage(storage: MemoryStorage, *, fingerprint: str = "memory") -> MemoryStorage:
    """Return a copy of all that a storage holds; with another fingerprint it is another file."""
    copy = MemoryStorage(fingerprint=fingerprint)
    documents: Mapping[bytes, Any] = dict(storage.documents(b"", limit=_WHOLE, bytes_max=_WHOLE))
    copy.commit(
        Batch(
            journal=storage.journal(0, limit=_WHOLE, bytes_max=_WHOLE),
            documents=list(documents.items()),
            waypoints=storage.waypoints(),
            meta=dict(storage.metas("")),
            index=[(key, True) for key in storage.index(b"", b"", limit=_WHOLE)],
        )
    )
    return copy
