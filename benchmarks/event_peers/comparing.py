"""Ours and the peers, put to the same load of events, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import aiohttp

from benchmarks import events
from benchmarks.ending import run_until_told
from benchmarks.event_peers.collector import Collector
from benchmarks.event_peers.course import Figures, run_course
from benchmarks.event_peers.subject import EventPeer, Offer
from benchmarks.event_peers.unomi import Unomi
from benchmarks.processes import ChildFailed, Missing

NAME: Final = "event peers"
TITLE: Final = "Events into other systems: the same batches of 100, from the same clients"
OURS: Final = "crdtstore"
PEERS: Final[tuple[EventPeer, ...]] = (Unomi(), Collector())

PERSONS: Final = 100_000
PERSONS_SMOKE: Final = 200
_CASES: Final = (events.Case(1, 10_000, 30), events.Case(2, 50_000, 30))
_OFFER_SMOKE: Final = Offer(1_000, 2)
_REASON_LENGTH: Final = 1_000
_SHOWN: Final = (
    "accepted_per_s", "accepted_share", "lost", "sent_again", "answered_p50_ms",
    "answered_p90_ms", "answered_p99_ms", "answered_p99.9_ms", "answered_max_ms",
    "service_us_per_event", "clients_us_per_event", "service_peak_mib", "disk_bytes_per_event",
    "load_average",
)  # fmt: skip
_DIFFERS: Final = (
    "The CDP replica of the benchmark `events`: it finds the person, compares message ids, "
    "computes 30 traits, and a second replica follows on the same machine, whose processor time "
    "and disk are not counted here. It answers when the events are synced to its log."
)
_NOT_QUICK: Final = "needs more than a minute to start, which a smoke run does not have"
_CONTAINER: Final = "needs container images, which this benchmark does not run"
NOT_MEASURED: Final = {
    "rudderstack": f"{_CONTAINER}, or the Go module rudder-server, which was refused here",
    "jitsu": f"{_CONTAINER}, or the Go module bulker, which was refused here",
    "snowplow": f"{_CONTAINER}; its collector was not found on Maven Central",
    "posthog": f"{_CONTAINER}, with Kafka and ClickHouse",
    "tracardi": f"{_CONTAINER}; its package on PyPI has no HTTP service",
}
"""What the research names as well, and why it is not measured; tried on 2026-11-21."""


@dataclass
class Compared:
    """What all of them gave, as it is written to the file of results."""

    figures: dict[str, Figures] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    differs: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=lambda: dict(NOT_MEASURED))


def prepared(install: bool, compared: Compared) -> list[EventPeer]:
    """Return the peers that can run here; the others are left out and named."""
    ready = []
    for peer in PEERS:
        try:
            if not install and not peer.is_quick:
                raise Missing(_NOT_QUICK)
            compared.versions[peer.name] = peer.prepare(install)
            ready.append(peer)
        except Missing as error:
            compared.left_out[peer.name] = str(error)
    return ready


def compare(is_smoke: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Put all of them to their loads, ours first; one that fails is left out."""
    compared = Compared()
    persons = PERSONS_SMOKE if is_smoke else PERSONS
    if not is_smoke:
        _note(compared, OURS, _DIFFERS, partial(_ours, persons), say)
    for peer in prepared(not is_smoke, compared):
        offers = (_OFFER_SMOKE,) if is_smoke else peer.offers
        course = partial(_course, peer, persons, offers)
        _note(compared, peer.name, peer.differs, course, say)
    return vars(compared)


def _note(
    compared: Compared,
    name: str,
    differs: str,
    measure: Callable[[], dict[str, Figures]],
    say: Callable[[str], None],
) -> None:
    """Note what one of them gives, by its load, or why it gives nothing."""
    try:
        rows = measure()
    except (ChildFailed, OSError, TimeoutError, aiohttp.ClientError) as error:
        compared.left_out[name] = f"failed: {error!r}"[:_REASON_LENGTH]
        say(f"{NAME}: {name}: {compared.left_out[name]}")
        return
    compared.figures |= {f"{name}, {load}": row for load, row in rows.items()}
    compared.differs[name] = differs
    say(f"{NAME}: {name}")


def _course(peer: EventPeer, persons: int, offers: Sequence[Offer]) -> dict[str, Figures]:
    return run_until_told(run_course(peer, persons, offers))


def _ours(persons: int) -> dict[str, Figures]:
    """Return the figures of ours that peers have, too."""
    measured = events.measure(_CASES, persons)
    return {case: {name: row[name] for name in _SHOWN} for case, row in measured.items()}
