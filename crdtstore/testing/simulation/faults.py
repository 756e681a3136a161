"""Faults: what befalls networks, disks and clocks, each by its name and with its end."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from crdtstore.errors import StorageFailed
from crdtstore.storage.memory_storage import DISK_BYTES_DEFAULT, MemoryStorage
from crdtstore.testing.simulation.clock import YEAR_2099_MS
from crdtstore.testing.simulation.disk import (
    cloned,
    damage,
    new_disk,
    rebooted,
    restored,
    rolled_back,
    stored_profiles,
)
from crdtstore.testing.simulation.machine import COMMIT_MS
from crdtstore.testing.simulation.wires import DELAY_MS, Wire

if TYPE_CHECKING:
    from crdtstore.testing.simulation.run import Simulation

MACHINES_AT_MOST: Final = 6
BACKUPS_KEPT: Final = 3


def _ms(chance: random.Random, least_ms: int, most_ms: int) -> int:
    """Draw a time, short ones more often."""
    return int(least_ms * (most_ms / least_ms) ** chance.random())


def _wire(simulation: "Simulation") -> Wire:
    return simulation.chance.choice(list(simulation.network.wires.values()))


# --- network -------------------------------------------------------------------------------------


def slow_link(simulation: "Simulation") -> bool:
    """Every message of a link takes up to four seconds."""
    wire = _wire(simulation)
    wire.delay_ms = _ms(simulation.chance, 5, 2_000)
    wire.jitter_ms = wire.delay_ms
    simulation.later(_ms(simulation.chance, 1_000, 20_000), _quicken, wire)
    return True


def _quicken(wire: Wire) -> None:
    wire.delay_ms, wire.jitter_ms = DELAY_MS, 0


def link_lost(simulation: "Simulation") -> bool:
    """A link breaks, with what is on its way: a stream that loses one message is broken."""
    simulation.network.drop(_wire(simulation))
    return True


def reconnect_storm(simulation: "Simulation") -> bool:
    """All links break, again and again."""
    for number in range(simulation.chance.randrange(2, 8)):
        for wire in simulation.network.wires.values():
            simulation.later(number * _ms(simulation.chance, 5, 300), simulation.network.drop, wire)
    return True


def partition(simulation: "Simulation") -> bool:
    """Some replicas are cut off from the others; both sides are told."""
    network = simulation.network
    names = [name for name in network.machines if simulation.chance.random() < 0.5]
    cut = [wire for wire in network.wires.values() if (wire.one in names) != (wire.two in names)]
    for wire in cut:
        network.cut(wire)
        simulation.later(_ms(simulation.chance, 300, 15_000), network.heal, wire)
    return bool(cut)


def one_way_partition(simulation: "Simulation") -> bool:
    """Nothing reaches one side of a wire, and nobody is told."""
    wire = _wire(simulation)
    simulation.network.stall(wire, simulation.chance.randrange(2))
    simulation.later(_ms(simulation.chance, 500, 30_000), simulation.network.heal, wire)
    return True


def stalled_link(simulation: "Simulation") -> bool:
    """A wire falls silent in both directions, and goes on where it was."""
    wire = _wire(simulation)
    for side in (0, 1):
        simulation.network.stall(wire, side)
    simulation.later(_ms(simulation.chance, 200, 25_000), simulation.network.heal, wire)
    return True


def doubled_messages(simulation: "Simulation") -> bool:
    """A broken middle box delivers messages twice."""
    wire = _wire(simulation)
    wire.doubles = simulation.chance.choice([0.02, 0.2, 0.9])
    simulation.later(_ms(simulation.chance, 500, 10_000), _straighten, wire)
    return True


def swapped_messages(simulation: "Simulation") -> bool:
    """A broken middle box delivers messages in another order."""
    wire = _wire(simulation)
    wire.swaps = simulation.chance.choice([0.1, 0.5])
    wire.delay_ms = max(wire.delay_ms, 20)
    simulation.later(_ms(simulation.chance, 500, 10_000), _straighten, wire)
    return True


def _straighten(wire: Wire) -> None:
    wire.doubles = wire.swaps = 0.0
    _quicken(wire)


# --- processes and disks -------------------------------------------------------------------------


def _crash(simulation: "Simulation", name: str) -> None:
    persists = simulation.chance.random() < 0.5
    leaves = simulation.chance.choice(["nothing", "messages", "silence"])
    simulation.crash(name, persists=persists, leaves=leaves)


def _back_soon(simulation: "Simulation", name: str, storage: MemoryStorage | None = None) -> None:
    machine = simulation.network.machines[name]
    if storage is not None:
        simulation.replace_disk(name, storage)
    after_ms = _ms(simulation.chance, 20, 6_000)
    simulation.later(after_ms, simulation.restart, name, machine.process)


def crash(simulation: "Simulation") -> bool:
    """A process ends at any point; its commit under way is kept or lost, and unanswered."""
    name = simulation.running_name()
    if name is None:
        return False
    _crash(simulation, name)
    _back_soon(simulation, name)
    return True


def crash_in_checkpoint(simulation: "Simulation") -> bool:
    """A process ends while a checkpoint is under way."""
    name = simulation.running_name()
    if name is None:
        return False
    simulation.network.checkpoint(name)
    simulation.later(1, _crash_now, simulation, name, simulation.network.machines[name].process)
    return True


def _crash_now(simulation: "Simulation", name: str, process: int) -> None:
    machine = simulation.network.machines[name]
    if machine.exchange is not None and machine.process == process:
        _crash(simulation, name)
        _back_soon(simulation, name)


def slow_disk(simulation: "Simulation") -> bool:
    """Commits take up to three seconds."""
    name = simulation.chance.choice(list(simulation.network.machines))
    machine = simulation.network.machines[name]
    machine.commit_ms = _ms(simulation.chance, 20, 3_000)
    simulation.later(
        _ms(simulation.chance, 1_000, 15_000), setattr, machine, "commit_ms", COMMIT_MS
    )
    return True


def disk_full(simulation: "Simulation") -> bool:
    """A disk is full for a while."""
    name = simulation.running_name()
    if name is None:
        return False
    simulation.fill_disk(name, 0)
    after_ms = _ms(simulation.chance, 300, 10_000)
    simulation.later(after_ms, simulation.fill_disk, name, DISK_BYTES_DEFAULT)
    return True


def commit_fails(simulation: "Simulation") -> bool:
    """A disk reports a failure, of a commit that it kept or not; the process is started again."""
    name = simulation.running_name()
    if name is None:
        return False
    machine = simulation.network.machines[name]
    error = StorageFailed("the disk reported a failure")
    if (
        machine.commit is not None
        and not machine.commit.makes_room
        and (simulation.chance.random() < 0.5)
    ):
        if not machine.is_persisted:
            machine.persist()
        machine.fail_but_keep(error)
        simulation.dirty_reads_lost(name)
    else:
        machine.storage.fail_next_commit(error)
    later_ms = _ms(simulation.chance, 100, 3_000)
    simulation.later(later_ms, _crash_now, simulation, name, machine.process)
    return True


def rollback(simulation: "Simulation") -> bool:
    """A volume or a machine is put back to an older image, in place."""
    name = simulation.chance.choice(list(simulation.network.machines))
    images = simulation.images.get(name)
    if not images or simulation.is_damaged():
        return False
    _crash(simulation, name)
    image = simulation.chance.choice(images)
    storage = simulation.network.machines[name].storage
    _back_soon(simulation, name, rolled_back(storage, image))
    return True


def reboot(simulation: "Simulation") -> bool:
    """A machine loses its memory: nobody can tell any longer whether its disk is the newest."""
    name = simulation.running_name()
    if name is None:
        return False
    _crash(simulation, name)
    machine = simulation.network.machines[name]
    _back_soon(simulation, name, rebooted(machine.storage, simulation.chance))
    return True


def backup_restored(simulation: "Simulation") -> bool:
    """A replica is started from an old backup, as a new incarnation."""
    name = simulation.chance.choice(list(simulation.network.machines))
    images = simulation.images.get(name)
    if not images or simulation.is_damaged():
        return False
    _crash(simulation, name)
    chance = simulation.chance
    label = f"restored {simulation.next_number()}"
    _back_soon(simulation, name, restored(chance.choice(images), label, chance))
    return True


def emptied(simulation: "Simulation") -> bool:
    """A replica loses its disk, and is started from an empty directory."""
    if simulation.is_damaged():
        return False
    name = simulation.chance.choice(list(simulation.network.machines))
    _crash(simulation, name)
    disk = new_disk(f"new {simulation.next_number()}", simulation.chance)
    _back_soon(simulation, name, disk)
    return True


def clone(simulation: "Simulation") -> bool:
    """A data directory is copied, and both copies run."""
    network = simulation.network
    if len(network.machines) >= MACHINES_AT_MOST:
        return False
    name = simulation.chance.choice(list(network.machines))
    number = simulation.next_number()
    copy = cloned(network.machines[name].storage, f"clone {number}", simulation.chance)
    simulation.add_machine(f"{name}-{number}", copy)
    return True


def joiner(simulation: "Simulation") -> bool:
    """A new replica joins."""
    if len(simulation.network.machines) >= MACHINES_AT_MOST:
        return False
    number = simulation.next_number()
    simulation.add_machine(f"new-{number}", new_disk(f"new {number}", simulation.chance))
    return True


def bit_rot(simulation: "Simulation") -> bool:
    """A bit flips in a stored document, where journals are long.

    A damaged store gives no snapshot, and whoever needs one of it closes the link over which it
    could be repaired. While it is not healed no disk is lost: that may leave no copy to heal from.
    """
    if simulation.is_tight:
        return False
    name = simulation.chance.choice(list(simulation.network.machines))
    machine = simulation.network.machines[name]
    dirty = machine.exchange.store.documents.dirty if machine.exchange is not None else {}
    resting = [name for name in stored_profiles(machine.storage) if name not in dirty]
    if simulation.is_damaged() or not resting:
        return False
    profile = simulation.chance.choice(resting)
    if not damage(machine.storage, profile, simulation.chance):
        return False
    simulation.document_damaged(name, profile)
    return True


# --- clocks --------------------------------------------------------------------------------------


def clock_jump(simulation: "Simulation") -> bool:
    """A clock jumps, forward or back, within what peers accept or beyond it."""
    name = simulation.chance.choice(list(simulation.network.machines))
    if name in simulation.in_2099:
        return False
    machine = simulation.network.machines[name]
    before_ms = machine.clock_ahead_ms
    jump_ms = _ms(simulation.chance, 10, 100_000) * simulation.chance.choice([1, -1])
    machine.clock_ahead_ms = before_ms + jump_ms
    if abs(machine.clock_ahead_ms) > 20_000:
        simulation.later(_ms(simulation.chance, 300, 10_000), simulation.set_clock, name, before_ms)
    return True


def clock_in_2099(simulation: "Simulation") -> bool:
    """One clock is in 2099 for a while, or for good."""
    running = simulation.network.running()
    if simulation.in_2099 or len(running) < 3:
        return False
    name = simulation.chance.choice(running)
    machine = simulation.network.machines[name]
    simulation.in_2099.add(name)
    machine.clock_ahead_ms = YEAR_2099_MS - simulation.network.clock.now_ms
    if simulation.chance.random() < 0.7:
        simulation.later(_ms(simulation.chance, 500, 10_000), simulation.set_clock, name, 0)
    return True


FAULTS: Final[dict[str, tuple[Callable[["Simulation"], bool], int]]] = {
    "slow-link": (slow_link, 4),
    "link-lost": (link_lost, 4),
    "reconnect-storm": (reconnect_storm, 1),
    "partition": (partition, 4),
    "one-way-partition": (one_way_partition, 3),
    "stalled-link": (stalled_link, 3),
    "doubled-messages": (doubled_messages, 3),
    "swapped-messages": (swapped_messages, 3),
    "crash": (crash, 6),
    "crash-in-checkpoint": (crash_in_checkpoint, 3),
    "slow-disk": (slow_disk, 3),
    "disk-full": (disk_full, 3),
    "commit-fails": (commit_fails, 3),
    "rollback": (rollback, 2),
    "reboot": (reboot, 1),
    "backup-restored": (backup_restored, 2),
    "emptied": (emptied, 1),
    "clone": (clone, 1),
    "joiner": (joiner, 2),
    "bit-rot": (bit_rot, 2),
    "clock-jump": (clock_jump, 3),
    "clock-2099": (clock_in_2099, 1),
}
"""Every fault by its name, with the function that brings it about, and how often it is drawn."""
