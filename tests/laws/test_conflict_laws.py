"""The law of the conflict log: it has what was written concurrently and lost, and nothing else.

Three stores write one source's registers, pass frames on, and are stopped, in any order. Beside
them stands a model of what every author had seen: of the writes to a register, those that no later
author had seen are concurrent, and all of them but the survivor must be open in the log.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.sync.frame import decode_body, parse, space_tag
from crdtstore.testing.simulation import copy_storage

STORES = ("eu", "us", "asia")
SLOTS = ("name", "city")
TAG = space_tag("default")

stores = st.sampled_from(range(len(STORES)))
steps = st.one_of(
    st.tuples(st.just("write"), stores, st.sampled_from(SLOTS)),
    st.tuples(st.just("write"), stores, st.sampled_from(SLOTS)),
    st.tuples(st.just("write"), stores, st.just(SLOTS[0])),
    st.tuples(st.just("commit"), stores, st.booleans()),
    st.tuples(st.just("pass on"), stores, stores),
    st.tuples(st.just("send"), stores, stores, st.integers(1, 4)),
    st.tuples(st.just("pass on"), stores, stores),
    st.tuples(st.just("choose"), stores, st.sampled_from(["lost", "kept"])),
    st.tuples(st.just("restart"), stores),
    st.tuples(st.just("wait"), stores, st.integers(1, 3)),
)

Stamp = tuple[int, int]


@dataclass
class Said:
    """One write: the register, its value, and the stamps of all that its author had seen."""

    slot: str
    value: Any
    seen: frozenset[Stamp]


@dataclass
class World:
    """The stores, their clocks, every write, and what each store has seen."""

    now: list[int] = field(default_factory=lambda: [1_700_000_000_000] * len(STORES))
    stores: list[Store] = field(default_factory=list)
    writes: dict[Stamp, Said] = field(default_factory=dict)
    visible: list[set[Stamp]] = field(default_factory=lambda: [set() for _ in STORES])
    values: int = 0

    def open(self, number: int, storage: MemoryStorage) -> Store:
        return Store.open(
            storage,
            name=STORES[number],
            now_ms=lambda: self.now[number],
            random_bits=random.Random(f"{number} {self.values}").getrandbits,
        )

    def write(self, number: int, slot: str) -> None:
        self.values += 1
        store = self.stores[number]
        store.write("ann", {slot: self.values}, source="crm")
        self.note(number, slot)

    def note(self, number: int, slot: str) -> None:
        timestamp, origin, value = self.stores[number].documents.get("ann").cells[_key(slot)]
        seen = frozenset(stamp for stamp in self.visible[number])
        self.writes[timestamp, origin] = Said(slot, value, seen)
        self.visible[number].add((timestamp, origin))

    def choose(self, number: int, choice: str) -> None:
        store = self.stores[number]
        for conflict in store.conflicts.present(limit=1):
            store.conflicts.choose(conflict.id, choice)
            self.note(number, conflict.field)

    def send(self, source: int, target: int, count: int) -> None:
        records = self.stores[source].storage.journal(0, limit=10**6, bytes_max=10**12)
        vector = self.stores[target].ledger.vector()
        lacking = [
            record
            for record in (parse(record, TAG) for _, record in records if record[:2] == b"CF")
            if record.sequence > vector.get(record.origin, 0)
        ]
        store = self.stores[target]
        for frame in lacking[:count]:
            assert store.replication.receive_frames([frame.raw], self.now[target]) == 1
            for _, _, cells in decode_body(frame)[1]:
                self.visible[target] |= {(cell[0], cell[1]) for cell in cells.values()}

    def restart(self, number: int) -> None:
        self.stores[number].commit()
        storage = self.stores[number].storage
        assert isinstance(storage, MemoryStorage)
        self.values += 1
        storage = copy_storage(storage, fingerprint=STORES[number])
        self.stores[number] = self.open(number, storage)

    def concurrent(self, number: int, slot: str) -> set[Stamp]:
        """The writes that no author of a write here had seen: the siblings, and the survivor."""
        present = {stamp for stamp in self.visible[number] if self.writes[stamp].slot == slot}
        return {
            stamp
            for stamp in present
            if not any(stamp in self.writes[other].seen for other in present)
        }

    def is_repeated(self, number: int, stamp: Stamp) -> bool:
        """Whether another write here said the same: its value is known to who saw that one."""
        said = self.writes[stamp]
        return any(
            other != stamp and (self.writes[other].slot, self.writes[other].value)
            == (said.slot, said.value)
            for other in self.visible[number]
        )  # fmt: skip


def _key(slot: str) -> str:
    return f"r{slot}\x1fcrm"


def run(history: list[tuple[Any, ...]]) -> World:
    world = World()
    world.stores = [
        world.open(number, MemoryStorage(fingerprint=name)) for number, name in enumerate(STORES)
    ]
    for what, number, *rest in history:
        match what:
            case "write":
                world.write(number, rest[0])
            case "commit":
                world.stores[number].commit(checkpoint=rest[0])
            case "send" if rest[0] != number:
                world.send(number, *rest)
            case "pass on" if rest[0] != number:
                world.stores[number].commit()
                world.send(number, rest[0], 10**6)
            case "choose":
                world.choose(number, rest[0])
            case "restart":
                world.restart(number)
            case "wait":
                world.now[number] += rest[0]
        check(world)
    return world


def check(world: World) -> None:
    for number, store in enumerate(world.stores):
        found = store.conflicts.present(state="all", limit=limits.PAGE_CONFLICTS_MAX)
        assert store.counters["conflicts_undecided"] == 0
        for conflict in found:
            lost = (conflict.lost_write.timestamp, conflict.lost_write.origin)
            kept = (conflict.kept_write.timestamp, conflict.kept_write.origin)
            assert lost < kept
            assert lost not in world.writes[kept].seen, "a sequential overwrite was logged"
            assert kept not in world.writes[lost].seen
            assert (conflict.lost, conflict.kept) == (
                world.writes[lost].value, world.writes[kept].value
            )  # fmt: skip
        for slot in SLOTS:
            siblings = world.concurrent(number, slot)
            present = siblings and world.writes[max(siblings)].value
            expected = {stamp for stamp in siblings if world.writes[stamp].value != present}
            repeated = {stamp for stamp in expected if world.is_repeated(number, stamp)}
            opened = {
                (conflict.lost_write.timestamp, conflict.lost_write.origin)
                for conflict in found
                if conflict.field == slot and conflict.settled is None
            }
            assert opened <= expected, f"at {STORES[number]}, {slot}"
            assert opened >= expected - repeated, f"at {STORES[number]}, {slot}"


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, min_size=10, max_size=40))
def test_the_log_has_what_lost_unseen_and_nothing_else(history: list[tuple[Any, ...]]) -> None:
    run(history)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, min_size=10, max_size=30))
def test_replicas_with_the_same_frames_have_the_same_open_conflicts(
    history: list[tuple[Any, ...]],
) -> None:
    world = run(history)
    for _ in STORES:
        for source in range(len(STORES)):
            world.stores[source].commit()
            for target in range(len(STORES)):
                world.send(source, target, 10**6)
    check(world)
    ids = [{c.id for c in store.conflicts.present(limit=1_000)} for store in world.stores]
    assert ids[0] == ids[1] == ids[2]


def test_one_writer_after_the_other_never_logs() -> None:
    chance = random.Random(1)
    world = run([])
    for _ in range(60):
        number = chance.randrange(len(STORES))
        for source in range(len(STORES)):
            world.stores[source].commit()
            world.send(source, number, 10**6)
        world.now[number] += chance.randrange(3)
        world.write(number, chance.choice(SLOTS))
        check(world)
    assert not any(store.counters["conflicts_logged"] for store in world.stores)
