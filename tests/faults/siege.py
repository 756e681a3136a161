"""A server under attack: what small requests, a sound link and memory do meanwhile."""

import http.client
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.faults.forked import Forked
from tests.faults.ground import Ground
from tests.faults.http_lanes import HttpLane, check_servers
from tests.faults.promises import BesideOthers
from tests.faults.stops import memory_mib
from tests.patience import PATIENCE_S
from tests.processes.servers import Server

Attack = Callable[["Siege"], None]

P99_WORK_MS_MAX = 1_000.0
"""A small request is answered before the server worked this long, 99 times of 100.

That is its own time on a processor: how long a busy machine keeps it waiting for one is not told.
"""


def processor_ms(pid: int) -> float:
    """Return for how long a process has worked, all its threads taken together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000 / os.sysconf("SC_CLK_TCK")


class Besieged(Server):
    """A server that is started with no more files than systems usually allow at first."""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def prefix(self) -> list[str]:
        return ["prlimit", "--nofile=1024:"]


class Probe(threading.Thread):
    """Asks for something small again and again; notes how long it takes, and the server works."""

    def __init__(self, server: Besieged) -> None:
        super().__init__(daemon=True)
        self.waits_ms: list[float] = []
        self.works_ms: list[float] = []
        self.failures: list[object] = []
        self._server = server
        self._enough = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._enough.wait(0.01):
            number += 1
            started_s, worked_ms = time.monotonic(), processor_ms(self._server.pid)
            try:
                if number % 2:
                    body = {"source": "probe", "fields": {"n": number}}
                    status, answer = self._server.ask("PATCH", "/v1/profiles/probe", body)
                else:
                    status, answer = self._server.ask("GET", "/v1/profiles/probe")
                if status != 200:
                    self.failures.append(answer)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
            self.waits_ms.append(1000 * (time.monotonic() - started_s))
            self.works_ms.append(processor_ms(self._server.pid) - worked_ms)

    def stop(self) -> None:
        """Let it end after the request under way."""
        self._enough.set()
        self.join(PATIENCE_S)


def _p99(figures: list[float]) -> float:
    """Return what 99 of 100 figures do not exceed."""
    return sorted(figures)[int(len(figures) * 0.99)]


class Siege:
    """A ``crdtstore serve`` with a sound peer and a writer, to be attacked."""

    def __init__(self, ground: Ground, stack: ExitStack) -> None:
        self.ground = ground
        self.promises, self.lock = BesideOthers("probe", "attack"), threading.Lock()
        self.eu = Besieged("eu", ground.directory / "eu", ground.directory / "eu.log")
        self.us = Forked("us", ground.directory / "us", ground.directory / "us.log")
        self.eu.environment = {"CRDTSTORE_LOG_LEVEL": "warning"}
        stack.callback(self.eu.end)
        self.eu.start()
        self.us.start(self.eu)
        stack.callback(self.us.kill)
        self.probe_once()

    def probe_once(self) -> None:
        """Have the probe's profile there, and both replicas equal."""
        body = {"source": "probe", "fields": {"n": 0}}
        assert self.eu.ask("PATCH", "/v1/profiles/probe", body)[0] == 200
        _wait_for(lambda: self.us.digest() == self.eu.digest(), "the sound link")

    def live_links(self) -> int:
        """Return how many links of the server are live."""
        peers = self.eu.ask("GET", "/v1/peers")[1]["peers"]
        return sum(peer["state"] == "live" for peer in peers)

    def log(self) -> str:
        """Return what the server has logged."""
        return self.eu.log.read_text()

    def metric(self, name: str) -> float:
        """Return a metric of the server, summed over its labels."""
        text = self.eu.ask("GET", "/metrics")[1].decode()
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name)]
        return sum(float(value) for _, value in rows)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited for {what}"
        time.sleep(0.02)


def besiege(ground: Ground, attack: Attack, memory_mib_max: float) -> None:
    """Attack a server, and check that it serves on, in bounded memory, and loses nothing."""
    tally = ground.tally
    with ExitStack() as stack:
        siege = Siege(ground, stack)
        while True:
            lane = HttpLane(siege.eu, f"lane-{tally.times}", siege.promises, siege.lock, 0.02)
            probe = Probe(siege.eu)
            lane.start()
            probe.start()
            lane.wait_for(3)
            before_mib = memory_mib(siege.eu.pid, "VmHWM")
            attack(siege)
            lane.wait_for(3)
            lane.stop()
            probe.stop()
            assert not lane.refusals, lane.refusals
            assert not probe.failures, probe.failures[:3]
            assert siege.eu.process is not None
            assert siege.eu.process.poll() is None, siege.log()[-4_000:]
            assert "Traceback" not in siege.log(), siege.log()[-4_000:]
            grown_mib = memory_mib(siege.eu.pid, "VmHWM") - before_mib
            tally.worst("p99 ms", _p99(probe.waits_ms))
            tally.worst("p99 ms of work", _p99(probe.works_ms))
            tally.worst("slowest ms", max(probe.waits_ms))
            tally.worst("peak memory grew by MiB", grown_mib)
            assert grown_mib < memory_mib_max, grown_mib
            assert _p99(probe.works_ms) < P99_WORK_MS_MAX
            check_servers(siege.promises, siege.eu, siege.us)
            tally.times += 1
            if not ground.is_time_left:
                tally.checked += 2 * siege.promises.checked
                break
        assert siege.eu.stop() == 0, siege.log()[-2_000:]
        shutil.rmtree(siege.eu.directory)
