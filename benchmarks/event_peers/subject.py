"""A peer that collects events, while it runs, and what is asked of it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.processes import Child
from benchmarks.subject import Kind


@dataclass(frozen=True, slots=True)
class Offer:
    """A load: events a second that clients send, for so long."""

    per_s: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.per_s:,}/s"


class Running(Protocol):
    """A peer that runs."""

    @property
    def url(self) -> str:
        """Where events are sent to."""

    @property
    def processes(self) -> Sequence[Child]:
        """Its processes, those of its database too, without their children."""

    async def stored(self) -> int:
        """Return how many events are in its store, all that it has accepted among them."""


class EventPeer(Protocol):
    """A system that collects events. ``differs`` says where it is not like for like."""

    @property
    def name(self) -> str:
        """The name in tables and in results."""

    @property
    def kind(self) -> Kind:
        """A peer, or a reference."""

    @property
    def dialect(self) -> str:
        """How events are put to it: a name of DIALECTS."""

    @property
    def is_quick(self) -> bool:
        """Whether it starts in seconds, so that a smoke run can have it."""

    @property
    def differs(self) -> str:
        """Where it is not like for like, and how it was set up."""

    @property
    def offers(self) -> Sequence[Offer]:
        """The loads that it is put to, one after the other."""

    def prepare(self, install: bool) -> dict[str, str]:
        """Return the versions used; raises Missing when it cannot run here."""

    def running(self, directory: Path) -> AbstractAsyncContextManager[Running]:
        """Run it, with all that it keeps in a folder of a directory, for the block."""
