"""The course of a peer: persons are introduced, then it is put to its loads, one by one."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks import process_trees
from benchmarks.event_clients import BATCH
from benchmarks.event_dialects import DIALECTS, Request
from benchmarks.event_mix import introductions
from benchmarks.event_peers.subject import EventPeer, Offer, Running
from benchmarks.event_senders import senders
from benchmarks.latencies import percentile
from benchmarks.processes import (
    ChildFailed,
    disk_bytes,
    scratch_directory,
)

_INTRODUCING: Final = 64
"""Requests in flight while persons are introduced."""

_PATIENCE_S: Final = 900.0
_LOOK_S: Final = 0.5

Figures = dict[str, float]


async def run_course(peer: EventPeer, persons: int, offers: Sequence[Offer]) -> dict[str, Figures]:
    """Return what was measured at each load; raises ChildFailed."""
    with scratch_directory(peer.name.split()[0]) as directory:
        async with peer.running(directory) as running:
            await _introduce(running, peer.dialect, persons)
            await _settled(running, persons)
            return {
                str(offer): await _measure(directory, peer, running, persons, offer)
                for offer in offers
            }


async def _measure(
    directory: Path, peer: EventPeer, running: Running, persons: int, offer: Offer
) -> Figures:
    before, disk = await running.stored(), disk_bytes(directory)
    spent = _processor_s(running)
    async with senders(
        directory, running.url, persons, offer.per_s, offer.seconds, dialect=peer.dialect
    ) as clients:
        start = time.monotonic() + 0.5
        reports = await asyncio.gather(*(client.ask("start", start=start) for client in clients))
    ended = max(report["ended"] for report in reports)
    accepted = sum(report["accepted"] for report in reports)
    if not accepted:
        raise ChildFailed(f"{peer.name} accepted nothing at {offer}")
    kept = await _settled(running, before + accepted) - before
    spent = _processor_s(running) - spent
    disk = disk_bytes(directory) - disk
    latencies = [each for report in reports for each in report["latencies_s"]]
    return {
        "accepted_per_s": accepted / (ended - start),
        "accepted_share": accepted / (offer.per_s * offer.seconds),
        "lost": accepted - kept,
        "sent_again": sum(report["again"] for report in reports),
        **{
            f"answered_p{share}_ms": percentile(latencies, share / 100) * 1000
            for share in (50, 90, 99, 99.9)
        },
        "answered_max_ms": max(latencies) * 1000,
        "service_us_per_event": spent / accepted * 1e6,
        "clients_us_per_event": sum(each["processor_s"] for each in reports) / accepted * 1e6,
        "service_peak_mib": _peak_bytes(running) / 2**20,
        "disk_bytes_per_event": disk / max(kept, 1),
        "load_average": os.getloadavg()[0],
    }


async def _introduce(running: Running, dialect: str, persons: int) -> None:
    """Introduce all persons."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        waiting = iter(range(0, persons, BATCH))

        async def introduce() -> None:
            for first in waiting:
                count = min(BATCH, persons - first)
                for request in DIALECTS[dialect](introductions(first, count), count):
                    await _post(session, running.url, request)

        await asyncio.gather(*(introduce() for _ in range(_INTRODUCING)))


async def _post(session: aiohttp.ClientSession, url: str, request: Request) -> None:
    async with session.post(
        url + request.path, data=request.body, headers=request.headers
    ) as answer:
        if answer.status != 200:
            raise ChildFailed(f"an introduction was answered {answer.status}")
        await answer.read()


async def _settled(running: Running, wanted: int) -> int:
    """Return how many events are stored, when they are all that is wanted or become no more."""
    deadline, stored = time.monotonic() + _PATIENCE_S, -1
    while time.monotonic() < deadline:
        last, stored = stored, await running.stored()
        if stored >= wanted or stored == last:
            break
        await asyncio.sleep(_LOOK_S)
    return stored


def _processor_s(running: Running) -> float:
    return sum(process_trees.processor_s(each.process.pid) for each in running.processes)


def _peak_bytes(running: Running) -> int:
    return sum(process_trees.peak_bytes(each.process.pid) for each in running.processes)
