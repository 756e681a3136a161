"""The verdict: after the last fault everything is healed, and every promise is checked."""

from typing import TYPE_CHECKING, Final

from crdtstore.errors import CrdtstoreError
from crdtstore.model.cells import texts_in
from crdtstore.model.document import Document, canonical_bytes
from crdtstore.model.update_parts import normal_form
from crdtstore.storage.memory_storage import DISK_BYTES_DEFAULT
from crdtstore.store import Store
from crdtstore.testing.simulation.disk import new_disk
from crdtstore.testing.simulation.expectations import check_profile
from crdtstore.testing.simulation.history import Broken
from crdtstore.testing.simulation.identity import check_persons, check_taking_back
from crdtstore.testing.simulation.journal_order import check_journal_order
from crdtstore.testing.simulation.machine import COMMIT_MS
from crdtstore.testing.simulation.unseen import check_conflict_log

if TYPE_CHECKING:
    from crdtstore.testing.simulation.run import Simulation

REST_MS: Final = 150_000
"""Virtual time in which clocks that were ahead are caught up with."""

ROUNDS: Final = 12
ROUND_TICKS: Final = 150


def pronounce(simulation: "Simulation") -> None:
    """Heal everything, let it settle, and check all that was promised; raises Broken."""
    network = simulation.network
    network.say("--- everything is healed")
    heal(simulation)
    settle(simulation)
    _check_all(simulation)
    for name in network.machines:
        simulation.crash(name)
        network.restart(name)
    settle(simulation)
    _check_all(simulation)
    simulation.counts["merged and taken back"] += check_taking_back(
        network.store(simulation.chance.choice(network.running())), simulation.chance
    )


def heal(simulation: "Simulation") -> None:
    """Mend wires, disks and clocks, and start what does not run."""
    network = simulation.network
    simulation.is_calm = True
    for wire in network.wires.values():
        wire.mend()
        network.heal(wire)
    for name, machine in network.machines.items():
        machine.commit_ms = COMMIT_MS
        machine.clock_ahead_ms = max(-20_000, min(machine.clock_ahead_ms, 20_000))
        simulation.fill_disk(name, DISK_BYTES_DEFAULT)
        machine.storage.fail_next_commit(None)
        network.restart(name)
        timestamp = network.store(name).replication.healing.latest_timestamp
        if timestamp >> 16 > network.clock.now_ms + REST_MS:
            simulation.crash(name)
            simulation.replace_disk(name, new_disk(f"after 2099: {name}", simulation.chance))
            network.restart(name)
    network.advance(5)
    network.clock.now_ms += REST_MS
    simulation.workload.history.refuse_beyond(network.clock.now_ms + REST_MS)


def settle(simulation: "Simulation") -> None:
    """Let time pass, and repair what is damaged, until all replicas are equal; raises Broken."""
    network = simulation.network
    for _ in range(ROUNDS):
        for name in network.running():
            if network.store(name).failure is not None:
                simulation.crash(name)
                network.restart(name)
        for _ in range(ROUND_TICKS):
            network.advance()
            if network.is_converged():
                break
        for name in simulation.damaged:
            for wire in network.wires.values():
                if name in wire.names:
                    peer = wire.two if wire.one == name else wire.one
                    _repair(simulation, name, peer)
        if network.is_converged() and _are_sound(simulation):
            break
    else:
        raise Broken(f"not converged:\n{network.describe()}")
    if _are_equal(simulation):
        return
    if not (simulation.has_lost_disks or simulation.damaged):
        raise Broken(f"equal vectors, other documents:\n{network.describe()}")
    simulation.counts["equal only after a repair"] += 1
    for _ in network.machines:
        for wire in network.wires.values():
            _repair(simulation, *wire.names)
        if _are_equal(simulation):
            return
    raise Broken(f"other documents, even after repairs:\n{network.describe()}")


def _are_sound(simulation: "Simulation") -> bool:
    network = simulation.network
    for name in network.running():
        network.store(name).commit(checkpoint=True)
        report = network.store(name).verify()
        if not report.is_sound:
            if name not in simulation.damaged:
                raise Broken(f"{name} is not sound: {report}")
            if report.index_faults and not report.damaged:  # built anew at the next start
                network.store(name).commit()  # what the check has noted
                simulation.crash(name)
                network.restart(name)
                simulation.counts["index built anew after damage"] += 1
            return False
    return True


def _are_equal(simulation: "Simulation") -> bool:
    network = simulation.network
    digests = {network.store(name).digest().digest for name in network.running()}
    return len(digests) == 1


def _repair(simulation: "Simulation", name: str, peer: str) -> None:
    network = simulation.network
    exchange = network.exchange(name)
    for number, link in exchange.links.items():
        if link.session.peer is not None and link.session.peer.name == peer:
            try:
                repair = exchange.start_repair(number)
            except CrdtstoreError:
                continue
            simulation.counts["repair at the end"] += 1
            network.pump(name)
            for _ in range(600):
                if repair.state != "running":
                    break
                network.advance()
            return


def _check_all(simulation: "Simulation") -> None:
    network, history = simulation.network, simulation.workload.history
    for name in network.running():
        check_journal_order(name, network.store(name))
        if check_conflict_log(name, network.store(name)):
            simulation.counts["conflict log: whole"] += 1
        simulation.counts["conflict log: entries"] += len(network.store(name).conflict_log)
    stores = {name: network.store(name) for name in network.running()}
    documents = [_canonical(store) for store in stores.values()]
    if any(other != documents[0] for other in documents):
        raise Broken(f"equal digests, other documents:\n{network.describe()}")
    _check_queries(simulation)
    held = {each: stores[network.running()[0]].documents.get(each) for each in documents[0]}
    simulation.counts["persons of several profiles"] += check_persons(stores, held)
    for name, store in stores.items():
        for profile in sorted(documents[0].keys() | history.by_profile.keys()):
            try:
                check_profile(store, profile, history)
            except Broken as broken:
                raise Broken(f"at {name}: {broken}") from None
        follower = simulation.followers.get(name)
        if follower is not None:
            follower.refresh(store, history.withdrawn())
            follower.check(store)


def _check_queries(simulation: "Simulation") -> None:
    """Check that all replicas answer queries alike, and as their profiles say one by one."""
    network = simulation.network
    for field in [name for name, each in simulation.plan.schema.fields.items() if each.indexed]:
        pages = []
        for name in network.running():
            store = network.store(name)
            pages.append([profile.id for profile in store.queries.all(order=f"-{field}")])
            has_value = sum(field in profile for profile in store.queries.all())
            if store.queries.count(f'"{field}" pr').count != has_value:
                raise Broken(f"{name} miscounts the profiles that have field {field!r}")
        if any(page != pages[0] for page in pages):
            raise Broken(f"replicas with equal documents have other orders by {field!r}")


def _canonical(store: Store) -> dict[str, bytes]:
    """Return every document that is not absent, by id, as canonical bytes, and all its texts."""
    stored = store.storage.documents(b"", limit=1 << 40, bytes_max=1 << 50)
    ids = sorted({key.decode() for key, _ in stored} | set(store.documents.dirty))
    found = {profile_id: store.documents.get(profile_id) for profile_id in ids}
    return {
        profile_id: canonical_bytes(document) + _texts(store, profile_id, document)
        for profile_id, document in found.items()
        if not document.is_absent
    }


def _texts(store: Store, profile_id: str, document: Document) -> bytes:
    """Return the states of a document's texts in their normal form, and how they read."""
    texts = [
        store.documents.texts.get(profile_id, document, name)
        for name in sorted(texts_in(document.cells))
    ]
    return b"".join(
        normal_form(text.encode(), text.kind) + repr(text.value).encode() for text in texts
    )
