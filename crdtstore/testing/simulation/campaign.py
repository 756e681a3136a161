"""A campaign: many seeds on all cores, and the count of what they really met."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Final

from crdtstore.testing.simulation.run import Plan, Report, simulate

BIG_SEEDS: Final = 500
"""A campaign of so many seeds has met every fault, or something is wrong with the campaign."""

PATHS: Final = (
    "message: FRAMES", "message: SNAPSHOT_END", "message: DOCUMENTS", "message: TRIMMED",
    "no-op writes", "answer: lost", "answer: kept", "feed: cursor expired", "journal trimmed",
    "causes seen", "merged and taken back", "persons of several profiles",
)  # fmt: skip
"""What else a big campaign must have met: the three tiers of catching up, and the rest."""


@dataclass(slots=True)
class Campaign:
    """What became of many seeds."""

    seeds: int = 0
    events: int = 0
    writes: int = 0
    virtual_s: float = 0.0
    elapsed_s: float = 0.0
    failed: list[Report] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """Take a run's report in."""
        self.seeds += 1
        self.events += report.events
        self.writes += report.writes
        self.virtual_s += report.virtual_s
        self.counts.update(report.counts)
        if report.failure:
            self.failed.append(report)

    def never_met(self, faults: Sequence[str]) -> list[str]:
        """Return which faults and paths did not occur, of those that should have."""
        expected = [f"fault: {name}" for name in faults]
        return [name for name in (*expected, *PATHS) if not self.counts[name]]


def run_campaign(
    plan: Plan, seeds: Sequence[int], *, progress: Callable[[Campaign], None] | None = None
) -> Campaign:
    """Run a plan with many seeds, in as many processes as there are cores."""
    campaign = Campaign()
    started = time.monotonic()
    plans = [replace(plan, seed=seed) for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("forkserver")) as pool:
        for report in pool.map(simulate, plans, chunksize=4):
            campaign.add(report)
            campaign.elapsed_s = time.monotonic() - started
            if progress is not None:
                progress(campaign)
    return campaign


def replayed(plan: Plan, lines_max: int) -> tuple[Report, list[str]]:
    """Run a plan again; return how it went, and the last lines of its trace."""
    lines: list[str] = []
    report = simulate(plan, trace=lines.append)
    return report, lines[-lines_max:]
