"""The campaign: every fault in turn, each for its share of the time, and what came of all."""

import random
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.faults import (
    backups,
    clones,
    disks,
    hostile_http,
    hostile_links,
    interrupts,
    kills,
    network,
    pairs,
    serving,
    stops,
)
from tests.faults.ground import Fault, Ground, NotHere, Tally, show

FAULTS: Final[dict[str, tuple[Fault, float]]] = {
    "kill -9 while writing, in checkpoints": (kills.kill_during_writes, 3),
    "kill -9 as the map grows": (kills.kill_during_growth, 2),
    "kill -9 while opening and recovering": (kills.kill_while_opening, 2),
    "kill -9 during replica.backups.write": (backups.kill_during_backup, 2),
    "kill -9 of backup and restore commands": (backups.kill_during_restore, 2),
    "kill -9 of a server that sends a backup": (serving.kill_while_serving_backup, 1.5),
    "kill -9 in a snapshot, giver and taker": (pairs.kill_during_snapshot, 2),
    "kill -9 in a repair, either end": (pairs.kill_during_repair, 2),
    "kill -9 in a chain of three, all written to": (pairs.kill_under_links, 2),
    "bad network of three hosts": (network.bad_network, 5),
    "bad network of proxies": (network.proxied_network, 1),
    "SIGSTOP longer than a shortened silence": (stops.stopped_process, 1),
    "SIGSTOP longer than the real silence": (stops.long_stopped_process, 1),
    "peers that read nothing": (hostile_links.deaf_peers, 0.5),
    "peers that send hostile bytes": (hostile_links.hostile_bytes, 0.5),
    "a peer that gossips names without end": (hostile_links.names_without_end, 0.5),
    "200 links at once": (hostile_links.many_links, 0.5),
    "1,500 connections that never finish": (hostile_http.slowloris, 0.5),
    "bodies that never end": (hostile_http.hoarded_bodies, 0.5),
    "hostile requests": (hostile_http.hostile_requests, 0.5),
    "3,000 requests in flight": (hostile_http.thousands_of_requests, 0.5),
    "full disks, tmpfs and ext4": (disks.full_disk, 1.5),
    "live clones, directories opened twice": (clones.live_clone, 1.5),
    "Ctrl-C of the script": (interrupts.interrupted_script, 0.5),
}
"""Every fault by its name, and its share of the time; each is tried at least once."""


def attempt(fault: Fault, seed: int, seconds: float) -> tuple[Tally, float]:
    """Try one fault for a time; return what came of it, and how long it took."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crdtstore-faults-") as directory:
        ground = Ground(Path(directory), random.Random(seed), started_s + seconds)
        fault(ground)
    return ground.tally, time.monotonic() - started_s


def run(minutes: float, seed: int, only: str) -> None:
    """Try every fault whose name contains ``only``, and print a table, up to a failure too."""
    chosen = {name: pair for name, pair in FAULTS.items() if only in name}
    shares = sum(share for _, share in chosen.values())
    rows: list[tuple[str, Tally, float]] = []
    try:
        for place, (name, (fault, share)) in enumerate(chosen.items()):
            print(f"{place + 1}/{len(chosen)} {name}, seed {seed} ...", flush=True)
            try:
                rows.append((name, *attempt(fault, seed, 60 * minutes * share / shares)))
            except NotHere as reason:
                print(f"  not tried: {reason}", flush=True)
    finally:
        print(show(rows), flush=True)
