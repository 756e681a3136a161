"""SIGSTOP of a replica for longer than its peers wait, then SIGCONT."""

import os
import signal
import threading
import time
from pathlib import Path

from tests.faults.forked import Conditions, Forked
from tests.faults.ground import Ground
from tests.faults.http_lanes import HttpLane, check_servers
from tests.faults.promises import Promises
from tests.faults.stores import SMALL_LIMITS
from tests.patience import wait_until

SHORT_IDLE_MS = 2_500
GROWTH_MIB_MAX = 48.0
"""Resident memory may grow by this while a peer is away: the caches of a small store."""


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """Return the resident memory of a process, or with "VmHWM" the most that it ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no {what}")


def stopped_process(ground: Ground) -> None:
    """Stop replicas for longer than a shortened bound of silence."""
    _stop_and_go(ground, SHORT_IDLE_MS)


def long_stopped_process(ground: Ground) -> None:
    """Stop replicas for longer than the real bound of silence: this waits 20 s each time."""
    _stop_and_go(ground, 15_000)


def _stop_and_go(ground: Ground, idle_ms: int) -> None:
    chance, tally = ground.chance, ground.tally
    conditions = Conditions({**SMALL_LIMITS, "LINK_IDLE_MS_MAX": idle_ms})
    promises, lock = Promises(), threading.Lock()
    eu, us, ap = servers = [
        Forked(name, ground.directory / name, ground.directory / f"{name}.log", conditions)
        for name in ("eu", "us", "ap")
    ]
    ap.start()
    us.start(ap)
    eu.start(us, ap)
    check_servers(promises, *servers)
    while True:
        lanes = {
            server.name: HttpLane(server, server.name, promises, lock, 0.02) for server in servers
        }
        for lane in lanes.values():
            lane.start()
            lane.wait_for(2)
        before = {server.name: memory_mib(server.pid) for server in servers}
        victim = chance.choice(servers)
        others = [server for server in servers if server is not victim]
        os.kill(victim.pid, signal.SIGSTOP)
        until_s = time.monotonic() + idle_ms / 1000 * chance.uniform(1.2, 1.4) + 1
        while time.monotonic() < until_s:
            for other in others:
                lanes[other.name].wait_for(1)
        for other in others:
            _wait_for_silence(other, {each.name for each in others} - {other.name})
        os.kill(victim.pid, signal.SIGCONT)
        started_s = time.monotonic()
        for lane in lanes.values():
            lane.stop()
            assert not lane.refusals, lane.refusals
        check_servers(promises, *servers)
        tally.worst("s to convergence", time.monotonic() - started_s)
        for server in servers:
            _wait_for_peers(server)
            grown_mib = memory_mib(server.pid) - before[server.name]
            tally.worst("memory grew by MiB", grown_mib)
            assert grown_mib < GROWTH_MIB_MAX
            server.log.write_text("")
        tally.times += 1
        if not ground.is_time_left:
            tally.checked += 3 * promises.checked
            for server in servers:
                server.kill()
            return


def _live_peers(server: Forked) -> set[str]:
    peers = server.ask("GET", "/v1/peers")[1]["peers"]
    return {peer["name"] for peer in peers if peer["state"] == "live"}


def _wait_for_silence(server: Forked, live: set[str]) -> None:
    wait_until(
        lambda: (
            "the peer has been silent" in server.log.read_text() and _live_peers(server) == live
        ),
        f"{server.name} to leave the silent one alone",
        server.log,
    )


def _wait_for_peers(server: Forked) -> None:
    wait_until(lambda: len(_live_peers(server)) == 2, "all links", server.log)
