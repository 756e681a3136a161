"""Invariants: what holds at every replica after every event, cheap enough to look all the time."""

from collections.abc import Sequence
from typing import Final

from crdtstore import limits
from crdtstore.errors import ProfileErased, ProfileNotFound, StorageCorrupt
from crdtstore.store import Store
from crdtstore.sync.vector import Vector
from crdtstore.testing.simulation.coverage import is_covered
from crdtstore.testing.simulation.history import Broken, Entry, History
from crdtstore.testing.simulation.machine import Machine, durable_vector
from crdtstore.testing.simulation.network import Network

EFFECTS_CHECKED: Final = 4
"""Of what stands in a profile, the causes of so many of the newest writes are looked for."""


class Invariants:
    """What was last seen of each machine, and the checks that compare with it."""

    def __init__(self, network: Network, history: History) -> None:
        self._network = network
        self._history = history
        self._vectors: dict[str, Vector] = {}

    def disk_replaced(self, machine: Machine) -> None:
        """Take note that a machine has another disk: its vector may go back this once."""
        self._vectors.pop(machine.name, None)

    def check(self, name: str) -> None:
        """Check one replica that runs; raises Broken."""
        self._check_vector(name)
        self._check_bounds(name)

    def _check_vector(self, name: str) -> None:
        store = self._network.store(name)
        vector = durable_vector(store)
        before = self._vectors.get(name)
        if before is not None:
            for origin, sequence in before.items():
                is_waking = store.ledger.head(origin)[0] > sequence  # with the next commit
                if vector.get(origin, 0) < sequence and not is_waking:
                    raise Broken(f"{name} went back from {origin:016x}.{sequence}: {vector}")
        self._vectors[name] = vector

    def _check_bounds(self, name: str) -> None:
        exchange = self._network.exchange(name)
        store = exchange.store
        held_bytes = store.replication.held_bytes
        if held_bytes > limits.INBOX_BYTES_MAX:
            raise Broken(f"{name} holds {held_bytes:,} bytes of frames that wait")
        for number, link in exchange.links.items():
            unsent_bytes = link.session.outgoing_bytes
            if unsent_bytes > limits.MESSAGE_FRAMES_BYTES + 2 * limits.MESSAGE_BYTES_MAX:
                raise Broken(f"{name} has {unsent_bytes:,} bytes to send on link {number}")
        allowed = limits.CREDIT_BYTES + 2 * limits.MESSAGE_BYTES_MAX
        for number, size in exchange.credit.owed_bytes.items():
            if size > allowed:
                raise Broken(f"{name} has {size:,} bytes of link {number} that are not durable")
        if store.replication.quarantine.count > limits.QUARANTINE_MAX:
            raise Broken(f"{name} keeps {store.replication.quarantine.count} refused frames")

    def check_causes(self, name: str, effects: Sequence[Entry]) -> int:
        """Whoever sees a write sees what its writer had read; return how many pairs were seen."""
        store = self._network.store(name)
        count = 0
        for effect in effects[-EFFECTS_CHECKED:]:
            if not is_covered(store, effect):
                continue
            for number in effect.causes:
                cause = self._history.entries[number]
                if cause.is_at_mercy or cause.ticket.state == "lost":
                    continue
                count += 1
                if not _shows(store, cause):
                    raise Broken(f"{name} sees the effect, {effect}, without its cause, {cause}")
        return count


def _shows(store: Store, entry: Entry) -> bool:
    """Say whether a register's write, or one that replaced it, is there."""
    try:
        candidates = store.explain(entry.profile, entry.field)
    except StorageCorrupt:
        return True
    except (ProfileErased, ProfileNotFound):
        candidates = []
    if store.documents.get(entry.profile).epoch > entry.epoch:
        return True
    time = (entry.timestamp, entry.origin)
    return any(
        candidate.source == entry.source and (candidate.timestamp, candidate.origin) >= time
        for candidate in candidates
    )
