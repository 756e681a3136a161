"""Ours and the peers, put to the same load of events, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
_OFFER_SMOKE: Final = Offer(1_000, 2)
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


@dataclass
class Compared:
    """What all of them gave, as it is written to the file of results."""

    figures: dict[str, Figures] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    differs: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


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
    """Put all of them to their loads; one that fails is left out."""
    compared = Compared()
    persons = PERSONS_SMOKE if is_smoke else PERSONS
    for peer in prepared(not is_smoke, compared):
        offers = (_OFFER_SMOKE,) if is_smoke else peer.offers
        try:
            rows = run_until_told(run_course(peer, persons, offers))
        except (ChildFailed, OSError, TimeoutError, aiohttp.ClientError) as error:
            compared.left_out[peer.name] = f"failed: {error!r}"[:1_000]
            say(f"{peer.name}: {compared.left_out[peer.name]}")
            continue
        compared.figures |= {f"{peer.name}, {load}": row for load, row in rows.items()}
        compared.differs[peer.name] = peer.differs
        say(f"{NAME}: {peer.name}")
    if not is_smoke:
        compared.figures |= _ours(events.CASES[:2], persons)
        compared.differs[OURS] = _DIFFERS
    return vars(compared)


def _ours(cases: Sequence[events.Case], persons: int) -> dict[str, Figures]:
    """Return the figures of ours that peers have, too."""
    return {
        f"{OURS}, {case}": {name: row[name] for name in _SHOWN}
        for case, row in events.measure(cases, persons, 60).items()
    }
