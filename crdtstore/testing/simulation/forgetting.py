"""Forgetting: random histories in which persons are erased, and what must hold in each of them.

    python -m crdtstore.testing.simulation.forgetting --seeds 200

Three replicas write, erase persons and identifiers, revive and lift, while wires are cut, machines
crash, and disks are put back to old copies. All the time nobody alive holds an identifier that is
suppressed where he is. At the end all replicas are equal and have confirmed every erasure, and of
what was written to an erased profile before, no byte is in any table of any replica.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from crdtstore.engine.returning import AWAITED
from crdtstore.errors import Refused, StorageError
from crdtstore.model.erasure import Erasure
from crdtstore.model.identity import identifiers_in
from crdtstore.model.operations import add, remove
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.testing.simulation.disk import copy_storage, new_disk, restored, rolled_back
from crdtstore.testing.simulation.history import Broken
from crdtstore.testing.simulation.network import Network
from crdtstore.testing.simulation.quiet import no_logs

NAMES: Final = ("eu", "us", "ap")
PROFILES: Final = tuple(f"p{number}" for number in range(6))
IDENTIFIERS: Final = ("email:a@b.c", "email:d@e.f", "anonymous_id:1", "user_id:1", "user_id:2")
GRACE_MS: Final = 4_000

_TURNS: Final = 70
_WAIT_TICKS: Final = 3 * GRACE_MS // 100


class Mark(NamedTuple):
    """A value that was written once: to which profile, in which epoch of it."""

    profile: str
    epoch: int
    text: bytes


class Forgetting:
    """One random history of erasures; the seed decides everything."""

    def __init__(self, seed: int) -> None:
        self.network = Network(seed, settings=Settings(erasure_grace_ms=GRACE_MS))
        self._chance = random.Random(seed)
        self._marks: list[Mark] = []
        self._copies: dict[str, MemoryStorage] = {}
        self._disks = 0
        for name in NAMES:
            self.network.add(name, storage=self._new_disk())
        self.network.wire("eu", "us")
        self.network.wire("us", "ap")

    def run(self) -> None:
        """Play the whole history; raises Broken."""
        for _ in range(_TURNS):
            name = self._chance.choice(NAMES)
            with suppress(Refused):
                self._decision(name)()
            self.network.ticket(name)
            if self._chance.random() < 0.25:
                self._disturb()
            self.network.pump(name)
            self.network.advance(self._chance.randrange(4))
            self.check()
        for wire in self.network.wires.values():
            self.network.heal(wire)
        self._settle()
        self.check()
        self.check_end()

    def _settle(self) -> None:
        """Let replicas converge, and the grace of all erasures pass, until nothing happens."""
        for _ in range(6):
            self.network.settle(3_000)
            self.network.advance(_WAIT_TICKS)
            self.network.settle(3_000)
            if all(each.is_complete for each in self.network.store("eu").erasures.present()):
                return

    # --- what happens -------------------------------------------------------------------------

    def _decision(self, name: str) -> Callable[[], object]:
        store, chance = self.network.store(name), self._chance
        profile, identifier = chance.choice(PROFILES), chance.choice(IDENTIFIERS)
        kind, _, value = identifier.partition(":")
        acts: list[tuple[int, Callable[[], object]]] = [
            (6, lambda: self._write(store, profile, identifier)),
            (2, lambda: self._write(store, profile, None)),
            (1, lambda: store.write(profile, {"identifiers": remove(identifier)}, source="crm")),
            (1, lambda: store.persons.erase(profile)),
            (1, lambda: store.persons.erase(profile, alone=True)),
            (1, lambda: store.persons.erase_identifier(kind, value)),
            (1, lambda: store.revive(profile)),
            (1, lambda: self._lift(store)),
        ]
        return chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]

    def _write(self, store: Store, profile: str, identifier: str | None) -> None:
        text = f"mark-{len(self._marks):04d}-"
        fields: dict[str, object] = {f"f{self._chance.randrange(3)}": text}
        if identifier is not None:
            fields["identifiers"] = add(identifier)
        epoch = store.documents.get(profile).epoch
        self._marks.append(Mark(profile, epoch, text.encode()))
        store.write(profile, fields, source=self._chance.choice(("crm", "cdp")))

    def _lift(self, store: Store) -> None:
        if erasures := store.erasures.present():
            store.erasures.lift(self._chance.choice(erasures).id, "dpo")

    def _disturb(self) -> None:
        network, chance = self.network, self._chance
        wire, name = chance.choice(list(network.wires.values())), chance.choice(NAMES)
        match chance.randrange(9):
            case 0 | 1:
                network.cut(wire)
            case 2 | 3:
                network.heal(wire)
            case 4:
                network.crash(name, persists=chance.random() < 0.5)
                network.restart(name)
            case 5:
                network.checkpoint(name)
            case 6:
                self._copies[name] = copy_storage(network.machines[name].storage)
            case 7 | 8 if name in self._copies:
                self._put_back(name, is_restored=chance.random() < 0.5)

    def _put_back(self, name: str, *, is_restored: bool) -> None:
        network, copy = self.network, self._copies[name]
        storage = network.machines[name].storage
        network.crash(name)
        if is_restored:
            self._disks += 1
            storage = restored(copy, f"disk {self._disks}", self._chance)
            storage.commit(Batch(meta={AWAITED: b"1"}))
        else:
            storage = rolled_back(storage, copy)
        network.restart(name, storage=storage)

    def _new_disk(self) -> MemoryStorage:
        self._disks += 1
        return new_disk(f"disk {self._disks}", self._chance)

    # --- what must hold -----------------------------------------------------------------------

    def check(self) -> None:
        """Check all that run: erased stays erased, and suppressed is suppressed; raises Broken."""
        for name in self.network.running():
            store = self.network.store(name)
            erasures = known_erasures(store)
            suppressed = {
                trace: erasure.id
                for erasure in erasures
                if not erasure.lifted_by
                for trace in erasure.traces
            }
            for profile in PROFILES:
                document = store.documents.get(profile)
                for erasure in erasures:
                    if profile in erasure.profiles and document.epoch < erasure.epoch:
                        raise Broken(f"{name}: {profile} is not erased by {erasure.id}")
                if document.is_erased:
                    continue
                for text in identifiers_in(document.cells):
                    if store.commits.traces.of(text) in suppressed:
                        raise Broken(f"{name}: {profile} lives, and holds {text}")

    def check_end(self) -> None:
        """Check that all replicas are equal, have confirmed, and hold nothing; raises Broken."""
        stores = {name: self.network.store(name) for name in NAMES}
        digests = {name: store.digest().digest for name, store in stores.items()}
        if len(set(digests.values())) != 1:
            raise Broken(f"the replicas differ: {digests}")
        for name, store in stores.items():
            if store.returning.is_awaited:
                raise Broken(f"{name} was restored, and waits for ever")
            for report in store.erasures.present():
                if not report.is_complete:
                    raise Broken(f"{name}: {report} is not complete")
            self._check_bytes(name, store)

    def _check_bytes(self, name: str, store: Store) -> None:
        named = {profile for erasure in known_erasures(store) for profile in erasure.profiles}
        held = b"".join(self.network.machines[name].storage.pinned_copy().chunks())
        for mark in self._marks:
            is_erased = mark.profile in named and not _is_of_plain_erasure(mark, store)
            if is_erased and mark.text in held:
                raise Broken(f"{name} holds {mark} of an erased profile")


def known_erasures(store: Store) -> list[Erasure]:
    """Return the erasures that a store knows, as their documents tell them."""
    return list(store.erasures.known())


def _is_of_plain_erasure(mark: Mark, store: Store) -> bool:
    """Say whether no erasure with receipts covers a mark: it was written after the last of them."""
    epochs = [e.epoch for e in known_erasures(store) if mark.profile in e.profiles]
    return all(mark.epoch >= epoch for epoch in epochs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play histories of many seeds; return 1 at the first that breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m crdtstore.testing.simulation.forgetting")
    parser.add_argument("--seeds", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    options = parser.parse_args(arguments)
    for seed in range(options.first, options.first + options.seeds):
        try:
            with no_logs():
                Forgetting(seed).run()
        except (AssertionError, StorageError) as error:
            print(f"seed {seed}: {error}")
            return 1
    print(f"{options.seeds} histories of erasures keep all promises")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
