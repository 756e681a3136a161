"""Scenarios: stories of replicas in a text file, with what they must say, in the manner of etcd.

A block is some lines of commands, a line of dashes, and the expected answers; a blank line ends
it. Lines that begin with ``#`` are for the reader. The commands:

    replicas eu us sa chain         three replicas in a shape (mesh, chain, hub, ring, regions)
    join ap eu                      a new replica, wired to another
    write eu ann crm email=x        a source's write: field=value, n+=2, n-=2, tags+add=x,
                                    tags+remove=x, mail+grant, mail+revoke
    erase eu ann / revive eu ann
    forget eu ann                   the whole person is erased, and its identifiers are suppressed
    receipts eu                     which replicas have confirmed what was erased
    cut eu us / heal eu us          a wire; ``stall eu us``: nothing reaches us from eu
    wait 3 / settle                 seconds; or until all that run are equal and quiet
    crash eu / restart eu
    backup eu / restore eu          a copy of the disk, and a start from it as from a backup
    rollback eu                     the disk is put back to that copy, in place
    clone eu eu2 / empty eu         a copy of the directory runs too; the directory is lost
    clock eu 120 / clock eu 2099    seconds ahead of the true time, or the year
    short grace                     first of all: an erasure keeps the journal for 30 seconds only
    short journals                  first of all: they keep 400 bytes, so that snapshots are needed
    read eu ann / explain eu ann email / identity eu / snapshots eu / links / same

``python -m crdtstore.testing.simulation.scenario FILE`` runs files, and with ``--rewrite`` puts
what the replicas say into them.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from crdtstore.errors import CrdtstoreError
from crdtstore.model.operations import add, grant, increment, remove, revoke
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing.simulation.clock import YEAR_2099_MS
from crdtstore.testing.simulation.disk import (
    cloned,
    copy_storage,
    new_disk,
    restored,
    rolled_back,
)
from crdtstore.testing.simulation.network import Network
from crdtstore.testing.simulation.quiet import no_logs
from crdtstore.testing.simulation.tight import limits_set_to
from crdtstore.testing.simulation.topologies import topology
from crdtstore.testing.simulation.wires import Wire

DASHES: Final = "----"
SHORT_JOURNALS: Final = "short journals"
SHORT_GRACE: Final = "short grace"

_SHORT_LIMITS: Final = {"WAYPOINT_RECORDS": 2, "CHECKPOINT_INTERVAL_MS": 300}
_SETTLE_TICKS: Final = 3_000


class Scenario:
    """A network that is told what to do, line by line."""

    def __init__(self, *, schema: Schema | None = None, settings: Settings | None = None) -> None:
        self.network = Network(1, schema=schema, settings=settings)
        self._backups: dict[str, MemoryStorage] = {}
        self._reasons: dict[tuple[str, str], int] = {}
        self._number = 0

    def run(self, line: str) -> list[str]:
        """Do what a line says; return the answers."""
        verb, *words = line.split()
        command: Callable[..., list[str] | None] | None = getattr(self, f"_{verb}", None)
        if command is None:
            raise ValueError(f"{verb!r} is no command of a scenario")
        try:
            return command(*words) or []
        except CrdtstoreError as error:
            return [f"{verb}: {error.code}"]

    # --- replicas -----------------------------------------------------------------------------

    def _replicas(self, *words: str) -> None:
        *names, shape = words
        for name in names:
            self.network.add(name, storage=new_disk(f"disk of {name}", self.network.chance))
        for one, two in topology(shape, names):
            self.network.wire(one, two)
        self.network.advance(5)

    def _join(self, name: str, peer: str) -> None:
        self.network.add(name, storage=new_disk(f"disk of {name}", self.network.chance))
        self.network.wire(name, peer)

    def _crash(self, name: str) -> None:
        self.network.crash(name)

    def _restart(self, name: str) -> None:
        self.network.restart(name)

    def _backup(self, name: str) -> None:
        self._backups[name] = copy_storage(self.network.machines[name].storage)

    def _restore(self, name: str) -> None:
        self._replace(name, restored(self._backups[name], self._label(), self.network.chance))

    def _rollback(self, name: str) -> None:
        storage = self.network.machines[name].storage
        self.network.crash(name)
        self._replace(name, rolled_back(storage, self._backups[name]))

    def _empty(self, name: str) -> None:
        self._replace(name, new_disk(self._label(), self.network.chance))

    def _clone(self, name: str, clone: str) -> None:
        storage = self.network.machines[name].storage
        copy = cloned(storage, self._label(), self.network.chance)
        self.network.add(clone, storage=copy)
        self.network.wire(clone, name)

    def _replace(self, name: str, storage: MemoryStorage) -> None:
        self.network.crash(name)
        self.network.restart(name, storage=storage)

    def _label(self) -> str:
        self._number += 1
        return f"disk {self._number}"

    def _clock(self, name: str, ahead: str) -> None:
        machine = self.network.machines[name]
        now_ms = self.network.clock.now_ms
        machine.clock_ahead_ms = YEAR_2099_MS - now_ms if ahead == "2099" else int(ahead) * 1_000

    # --- writing ------------------------------------------------------------------------------

    def _write(self, name: str, profile: str, source: str, *words: str) -> None:
        self.network.store(name).write(profile, dict(map(_operation, words)), source=source)
        self.network.pump(name)

    def _erase(self, name: str, profile: str) -> None:
        self.network.store(name).erase(profile)
        self.network.pump(name)

    def _revive(self, name: str, profile: str) -> None:
        self.network.store(name).revive(profile)
        self.network.pump(name)

    def _forget(self, name: str, profile: str) -> list[str]:
        erasure = self.network.store(name).persons.erase(profile, source="dpo")
        self.network.pump(name)
        return [f"{name}: erases {' '.join(erasure.profiles)}, suppresses {erasure.suppressed}"]

    # --- wires and time -----------------------------------------------------------------------

    def _wire(self, one: str, two: str) -> Wire:
        wires = self.network.wires
        return wires[one, two] if (one, two) in wires else wires[two, one]

    def _cut(self, one: str, two: str) -> None:
        self.network.cut(self._wire(one, two))

    def _stall(self, one: str, two: str) -> None:
        wire = self._wire(one, two)
        self.network.stall(wire, wire.names.index(two))

    def _heal(self, one: str, two: str) -> None:
        self.network.heal(self._wire(one, two))

    def _wait(self, seconds: str) -> None:
        self.network.advance(int(float(seconds) * 10))

    def _settle(self) -> None:
        self.network.advance(5)
        self.network.settle(_SETTLE_TICKS)

    # --- asking -------------------------------------------------------------------------------

    def _read(self, name: str, profile: str) -> list[str]:
        try:
            record: Any = dict(self.network.store(name).read(profile))
        except CrdtstoreError as error:
            record = error.code
        return [f"{name}: {profile} {record}"]

    def _explain(self, name: str, profile: str, *field: str) -> list[str]:
        return [
            f"{name}: {c.field} {c.value!r} of {c.source} at {c.replica}, "
            f"{'survives' if c.survives else 'does not survive'}: {c.rule}"
            for c in self.network.store(name).explain(profile, *field)
        ]

    def _identity(self, name: str) -> list[str]:
        identity = self.network.store(name).replication.identity
        return [f"{name}: incarnation {identity.incarnations}"]

    def _receipts(self, name: str) -> list[str]:
        return [
            f"{name}: {', '.join(f'{each.replica} {each.state}' for each in erasure.replicas)}"
            for erasure in self.network.store(name).erasures.present()
        ]

    def _links(self) -> list[str]:
        """Say for which reasons links were refused since this was asked last."""
        lines: dict[str, None] = {}
        for names, wire in self.network.wires.items():
            for name, reason in wire.reasons[self._reasons.get(names, 0) :]:
                lines[f"{name}: {reason.partition(':')[0]}"] = None
            self._reasons[names] = len(wire.reasons)
        return sorted(lines) or ["no link was refused"]

    def _snapshots(self, name: str) -> list[str]:
        """Say how many documents came by snapshot."""
        count = self.network.store(name).counters["snapshot_documents"]
        return [f"{name}: {count} documents came by snapshot"]

    def _same(self) -> list[str]:
        by_digest: dict[str, list[str]] = {}
        for name in self.network.running():
            by_digest.setdefault(self.network.store(name).digest().digest, []).append(name)
        groups = [" ".join(names) for names in by_digest.values()]
        return [f"{groups[0]}: equal" if len(groups) == 1 else f"{' | '.join(groups)}: different"]


def _operation(word: str) -> tuple[str, Any]:
    for sign, make in (("+add=", add), ("+remove=", remove)):
        field, found, text = word.partition(sign)
        if found:
            return field, make(text)
    for sign, factor in (("+=", 1), ("-=", -1)):
        field, found, text = word.partition(sign)
        if found:
            return field, increment(factor * int(text))
    if word.endswith("+grant"):
        return word.removesuffix("+grant"), grant()
    if word.endswith("+revoke"):
        return word.removesuffix("+revoke"), revoke()
    field, _, text = word.partition("=")
    return field, text or None


def played(text: str, *, schema: Schema | None = None) -> str:
    """Return the text of a scenario with what the replicas really say."""
    lines = text.splitlines()
    is_short = SHORT_JOURNALS in lines
    settings = Settings(journal_bytes_max=400) if is_short else Settings()
    if SHORT_GRACE in lines:
        settings = replace(settings, erasure_grace_ms=30_000)
    with no_logs(), limits_set_to(_SHORT_LIMITS if is_short else {}):
        scenario = Scenario(schema=schema, settings=settings)
        return "\n".join(_lines_of(text, scenario)) + "\n"


def _lines_of(text: str, scenario: Scenario) -> Iterator[str]:
    answers: list[str] = []
    is_expected = False
    for line in text.splitlines():
        if not line:
            is_expected = False
            yield line
        elif line == DASHES:
            is_expected = True
            yield line
            yield from answers
            answers = []
        elif not is_expected:
            yield line
            if not line.startswith("#") and line not in (SHORT_JOURNALS, SHORT_GRACE):
                answers.extend(scenario.run(line))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m crdtstore.testing.simulation.scenario")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rewrite", action="store_true", help="write the answers into the files")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenario files; return 1 if one says something else than it must."""
    options = build_parser().parse_args(arguments)
    different = 0
    for path in options.files:
        text = path.read_text("utf-8")
        real = played(text)
        if real != text:
            different += 1
            print(f"{path}: {'rewritten' if options.rewrite else 'says something else'}")
            if options.rewrite:
                path.write_text(real, "utf-8")
    return 1 if different and not options.rewrite else 0


if __name__ == "__main__":
    sys.exit(main())
