"""A serving replica under a million hostile updates of Yjs clients: ``make fuzz-updates``.

One process is a replica whose door takes updates; they are real, mutated, made by a grammar that
lies, or known to do harm. Another watches it: it must go on, end by itself, and keep to its memory.
What the scan refuses changes nothing; a profile that nobody touches stays as it is, on the disk
too; and what was accepted is a text that can be read, checked and opened again.
"""

import argparse
import asyncio
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crdtstore import Field, Replica, Schema, Store, insert_items, insert_text
from crdtstore.errors import InvalidInput, Refused
from tests.fuzzing.update_grammar import hostile_update

ROOT = Path(__file__).parents[2]
SCHEMA = Schema(fields={"text": Field("text"), "list": Field("list")})
SILENCE_S = 60.0
"""A replica that reports nothing for so long hangs."""

GROWTH_BYTES = 200 << 20
"""By so much the memory of both processes may grow after the first tenth of the cases."""

BEGIN_ANEW = 2_000
"""After so many accepted updates the texts are erased, and begun anew."""

SENDERS = 32


class Siege:
    """The replica's side: senders of updates, and what came of them."""

    def __init__(self, replica: Replica, cases: int, seed: int) -> None:
        self.replica = replica
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._cases: Iterator[int] = iter(range(cases))

    async def run(self) -> None:
        """Send all updates, and check what must hold at the end."""
        for profile in ("bystander", "target"):
            await self._begin(profile)
        before = self._bystander()
        reports = asyncio.create_task(self._report())
        await asyncio.gather(*(self._send() for _ in range(SENDERS)))
        reports.cancel()
        assert self._bystander() == before, "a profile that nobody touched has changed"
        assert (await self.replica.verify()).is_sound
        print(json.dumps(self._figures()), flush=True)

    async def _begin(self, profile: str) -> None:
        fields = {"text": insert_text(0, "Hello 😀 world"), "list": insert_items(0, 1, "two", [3])}
        await self.replica.write(profile, fields, source="crm")

    def _bystander(self) -> tuple[Any, ...]:
        profile = self.replica.read("bystander")
        texts = self.replica.texts
        states = [texts.missing("bystander", field, b"\x00") for field in SCHEMA.fields]
        return dict(profile), profile.version, states

    async def _send(self) -> None:
        for _ in self._cases:
            kind = self._chance.choice(("text", "list"))
            update = hostile_update(self._chance, kind)
            version = self.replica.read("target").version
            self.counts["cases"] += 1
            turn = self.counts["cases"]
            try:
                await self.replica.texts.apply_update("target", kind, update, source="web")
            except InvalidInput as error:
                self.counts[error.code] += 1
                if turn == self.counts["cases"]:  # nobody else had a turn meanwhile
                    self.counts["looked at"] += 1
                    assert self.replica.read("target").version == version, update.hex()
            except Refused as error:
                self.counts[error.code] += 1
                await asyncio.sleep(0.05)
            else:
                self.counts["accepted"] += 1
                if self.counts["accepted"] % BEGIN_ANEW == 0:
                    await self._begin_anew()
            if self.counts["cases"] % 100 == 0:
                await asyncio.sleep(0)

    async def _begin_anew(self) -> None:
        """Read what has become of the texts, erase them, and begin new ones, all at one moment."""
        dict(self.replica.read("target"))
        store = self.replica._store
        store.erase("target")
        store.revive("target")
        await self._begin("target")

    async def _report(self) -> None:
        while True:
            print(json.dumps(self._figures()), flush=True)
            await asyncio.sleep(1)

    def _figures(self) -> dict[str, int]:
        trials = self.replica.texts.trials
        worker = trials._process
        return {
            **self.counts,
            **{f"worker {name}": count for name, count in trials.counters.items()},
            "memory": memory_bytes(os.getpid()),
            "worker memory": 0 if worker is None else memory_bytes(worker.pid),
        }


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def serve(directory: Path, cases: int, seed: int) -> None:
    """Be the replica."""
    async with Replica.open(directory, name="eu", schema=SCHEMA) as replica:
        await Siege(replica, cases, seed).run()
    with Store.open(directory, name="eu", schema=SCHEMA) as store:
        assert store.verify().is_sound
        for profile in store.profiles():
            dict(profile)


def watch(cases: int, seed: int) -> int:
    """Be the one that watches; return 0 if the replica stood it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzzing.hostile_updates", "--serve", directory,
             f"--cases={cases}", f"--seed={seed}"],
            cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        reports: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_pass_on, args=(process, reports), daemon=True).start()
        early = figures = {}
        fault = ""
        while line := _next(reports):
            figures = json.loads(line)
            if figures.get("cases", 0) < cases / 10 or not early:
                early = figures
            grown = sum(figures[n] - early[n] for n in ("memory", "worker memory"))
            if grown > GROWTH_BYTES:
                fault = f"memory grew by {grown:,} bytes"
                break
        if line is None:
            fault = f"it was silent for {SILENCE_S} s"
        process.kill() if fault else process.wait()
        fault = fault or (f"it ended by {process.wait()}" if process.wait() else "")
    for name, figure in figures.items():
        print(f"{name:<20}{figure:>16,}")
    print(f"{'seconds':<20}{time.monotonic() - started:>16,.0f}")
    print(f"memory at a tenth   {early.get('memory', 0):>16,}")
    print(f"FAILED: {fault}" if fault else "the replica stood it")
    return int(bool(fault))


def _pass_on(process: "subprocess.Popen[bytes]", reports: "queue.Queue[bytes]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        reports.put(line)
    reports.put(b"")


def _next(reports: "queue.Queue[bytes]") -> bytes | None:
    try:
        return reports.get(timeout=SILENCE_S)
    except queue.Empty:
        return None


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.hostile_updates")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is None:
        return watch(arguments.cases, arguments.seed)
    asyncio.run(serve(arguments.serve, arguments.cases, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
