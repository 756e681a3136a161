"""The runs: every subject in turn, again and again, so that noise hits all of them alike."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from benchmarks.ending import run_until_told
from benchmarks.floors import Floors
from benchmarks.ours.library import Library
from benchmarks.ours.served import ServedReplicas
from benchmarks.peers.node_peers import NODE_PEERS
from benchmarks.peers.postgresql import Postgresql
from benchmarks.peers.pycrdt_websocket import PycrdtWebsocket
from benchmarks.peers.redis import Redis
from benchmarks.processes import ChildFailed, Missing, scratch_directory
from benchmarks.subject import Readings, Subject
from benchmarks.workload import Size, Workload

SUBJECTS: tuple[Subject, ...] = (
    Floors(),
    ServedReplicas(),
    Library(),
    *NODE_PEERS,
    PycrdtWebsocket(),
    Redis(),
    Postgresql(),
)

_REASON_LENGTH = 1_000


@dataclass
class Outcome:
    """What all runs of all subjects gave."""

    readings: dict[str, list[Readings]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)


def prepared(subjects: Sequence[Subject], install: bool, outcome: Outcome) -> list[Subject]:
    """Return the subjects that can run here; the others are left out and named."""
    ready = []
    for subject in subjects:
        try:
            outcome.versions[subject.name] = subject.prepare(install)
            ready.append(subject)
        except Missing as error:
            outcome.left_out[subject.name] = str(error)
    return ready


def run_suite(
    subjects: Sequence[Subject],
    size: Size,
    runs: int,
    *,
    install: bool,
    is_hasty: bool,
    patience_s: float,
    say: Callable[[str], None],
) -> Outcome:
    """Run every subject so many times, in turns; one that fails is left out from then on.

    A hasty run has all subjects at once: to see that they work, not how fast they are.
    """
    outcome = Outcome()
    ready = prepared(subjects, install, outcome)
    works = {subject.name: Workload(size.scaled(subject.share)) for subject in ready}
    outcome.sizes = {name: work.size for name, work in works.items()}
    for turn in range(1, runs + 1):
        turns = [ready] if is_hasty else [[subject] for subject in ready]
        for group in turns:
            run_until_told(_run_group(group, works, turn, patience_s, outcome, say))
        ready = [subject for subject in ready if subject.name not in outcome.left_out]
    return outcome


async def _run_group(
    group: Sequence[Subject],
    works: dict[str, Workload],
    turn: int,
    patience_s: float,
    outcome: Outcome,
    say: Callable[[str], None],
) -> None:
    """Run subjects once, all at the same time, and note what they gave."""

    async def run(subject: Subject) -> None:
        started = time.monotonic()
        try:
            reading = await _run_once(subject, works[subject.name], patience_s)
        except (ChildFailed, OSError, TimeoutError, aiohttp.ClientError) as error:
            reason = f"failed in run {turn}: {error!r}"[:_REASON_LENGTH]
            outcome.left_out[subject.name] = reason
            outcome.readings.pop(subject.name, None)
            say(f"{subject.name}: {reason}")
            return
        outcome.readings.setdefault(subject.name, []).append(reading)
        say(f"run {turn}: {subject.name}, {time.monotonic() - started:.1f} s")

    async with asyncio.TaskGroup() as tasks:
        for subject in group:
            tasks.create_task(run(subject))


async def _run_once(subject: Subject, work: Workload, patience_s: float) -> Readings:
    with scratch_directory(subject.name.split()[0]) as directory:
        async with asyncio.timeout(patience_s):
            return await subject.measure(work, directory)
