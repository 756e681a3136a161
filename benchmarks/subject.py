"""A subject of the benchmark: one store in one way of use, and the figures it is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from benchmarks.workload import Workload

Kind = Literal["ours", "peer", "reference", "floor"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure that subjects are asked for."""

    name: str
    unit: str
    title: str
    is_better_high: bool
    meaning: str


METRICS: Final = (
    Metric("durable", "edits/s", "durable edits", True,
           "single-field edits until all are on disk at one replica, the subject's best batching"),
    Metric("durable_100", "edits/s", "durable edits, batches of 100", True,
           "the same in batches or pipelines of 100, 8 in flight"),
    Metric("durable_100_alone", "edits/s", "durable edits, 100 at a time", True,
           "the same in batches or pipelines of 100, one after the other"),
    Metric("singles", "edits/s", "durable edits, one a call", True,
           "the same, one edit a call, 64 in flight, each answered when durable"),
    Metric("end_to_end", "edits/s", "end to end", True,
           "edits by a client at one place until all are visible at another and durable"),
    Metric("load", "profiles/s", "load", True, "new profiles of 12 fields until all are on disk"),
    Metric("cold_sync", "profiles/s", "cold sync", True,
           "a new replica or client gets every profile, after the server was killed and restarted"),
    Metric("cold_sync_snapshot", "profiles/s", "cold sync by snapshot", True,
           "the same of a replica whose journal no longer goes back to its start"),
    Metric("conflicts", "s", "conflict rounds", False,
           "10 edits a side of the same fields under partition; seconds from meeting to equality"),
    Metric("latency_p50", "ms", "one edit, p50", False, "open, edit, persist: one at a time"),
    Metric("latency_p99", "ms", "one edit, p99", False, "open, edit, persist: one at a time"),
    Metric("disk_loaded", "B", "disk per profile, loaded", False,
           "bytes that the file system gave, per profile, after loading"),
    Metric("disk_edited", "B", "disk per profile, after all", False,
           "the same after all edits, closed in order"),
    Metric("wire", "B", "wire per edit", False,
           "TCP payload, both ways, per edit that is replicated"),
    Metric("memory", "MiB", "resident memory", False, "of the server after the durable edits"),
    Metric("lost", "profiles", "profiles not as written", False,
           "found by the new client after the server was killed: 0 is right"),
)  # fmt: skip
"""Every figure. A subject that has no such thing leaves it out."""

METRIC: Final = {metric.name: metric for metric in METRICS}

Readings = dict[str, float]
"""What one run of one subject measured, by the metric's name."""


class Subject(Protocol):
    """A store that is measured. ``differs`` says where it is not like for like."""

    @property
    def name(self) -> str:
        """The name in tables and in results."""

    @property
    def kind(self) -> Kind:
        """Ours, a peer that resolves conflicts, a reference that does not, or a floor."""

    @property
    def share(self) -> float:
        """The share of the full work that it is given."""

    @property
    def differs(self) -> str:
        """Where it is not like for like, and how it was set up."""

    def prepare(self, install: bool) -> dict[str, str]:
        """Return the versions used; raises Missing when it cannot run here."""

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once in an empty directory and return what was measured."""
