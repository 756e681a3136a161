"""Events: clients send a shop's events to a CDP replica at a set rate; a second one follows it.

    python -m benchmarks.events [--processes 1] [--per-s 20000] [--persons 100000] [--seconds 60]

100,000 persons are introduced before the clock starts. Then client processes send batches of 100
for a minute or less, while probes measure how long a trait takes to be seen at the second replica:
from the answer to the order of a customer of their own until that replica tells one order more.

An event counts as accepted when its request was answered with 200, which says that it is durable.
The service refuses events for the moment while traits are further behind than TRAITS_BEHIND_S_MAX,
so a rate that is too high for the machine shows as one that is lower than what was offered. Every
wait has an end, and a service that is still behind then says by how much.
"""

import argparse
import asyncio
import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.ending import run_until_told
from benchmarks.event_clients import BATCH
from benchmarks.event_dialects import KEY
from benchmarks.event_mix import TRAITS_FILE, introductions
from benchmarks.event_senders import senders
from benchmarks.latencies import percentile
from benchmarks.ports import free_port
from benchmarks.processes import (
    Child,
    ChildFailed,
    children,
    disk_bytes,
    module_command,
    scratch_directory,
)
from crdtstore.identity_rules import IdentityRules
from crdtstore.model.identifiers import profile_id_for

_START_PATIENCE_S: Final = 60.0
_INTRODUCING_PATIENCE_S: Final = 180.0
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.02
_PROBE_S: Final = 0.5
_PROBE_PATIENCE_S: Final = 30.0
TRAITS_BEHIND_S_MAX: Final = 2.0
"""Seconds that traits may be behind in their own region: a third one is for the second region."""

_BOUNDS_MS: Final = (5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1_000, 2_500, 10_000)

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: processes of the service, events a second that clients send, for so long."""

    processes: int
    per_s: int
    seconds: float

    def __str__(self) -> str:
        noun = "process" if self.processes == 1 else "processes"
        return f"{self.processes} {noun}, {self.per_s:,}/s"


CASES: Final = (Case(1, 10_000, 60), Case(1, 50_000, 30), Case(2, 50_000, 30))
CASES_SMOKE: Final = (Case(2, 1_000, 2),)


def measure(cases: Sequence[Case], persons: int) -> dict[str, Figures]:
    """Return the figures of each case, with so many persons."""
    return {str(case): run_until_told(_measure(case, persons)) for case in cases}


async def _measure(case: Case, persons: int) -> Figures:
    seconds = case.seconds
    with scratch_directory("events") as directory:
        async with children() as started, aiohttp.ClientSession() as session:
            us = await _start(directory, session, started, "us", 1, [])
            eu = await _start(directory, session, started, "eu", case.processes, us.urls)
            await eu.introduce(persons)
            if await eu.still_behind(_INTRODUCING_PATIENCE_S):
                raise ChildFailed("the introductions were not folded")
            before = await eu.sum_of("last_sequence")
            async with senders(directory, eu.collect, persons, case.per_s, seconds) as clients:
                spent = [eu.processor_s(), us.processor_s()]
                start = time.monotonic() + 0.5
                probing = asyncio.create_task(_probe(eu, us, start + seconds))
                reports = await asyncio.gather(
                    *(client.ask("start", start=start) for client in clients)
                )
                ended = max(report["ended"] for report in reports)
                behind = await eu.behind()
                lags = await probing
            still_behind = await eu.still_behind(_PATIENCE_S)
            drained_s = time.monotonic() - ended
            spent = [eu.processor_s() - spent[0], us.processor_s() - spent[1]]
            kept = await eu.sum_of("last_sequence") - before - len(lags)
            peaks = eu.peak_bytes(), us.peak_bytes()
            disk = disk_bytes(directory / "eu")
    latencies = [each for report in reports for each in report["latencies_s"]]
    served = [each for report in reports for each in report["served_s"]]
    accepted = sum(report["accepted"] for report in reports)
    return {
        "accepted_per_s": accepted / (ended - start),
        "accepted_share": accepted / (case.per_s * seconds),
        "lost": accepted - kept,
        "sent_again": sum(report["again"] for report in reports),
        **{
            f"answered_p{share}_ms": percentile(latencies, share / 100) * 1000
            for share in (50, 90, 99, 99.9)
        },
        "answered_max_ms": max(latencies) * 1000,
        **{
            f"answered_within_{bound_ms}_ms": sum(each * 1000 <= bound_ms for each in latencies)
            / len(latencies)
            for bound_ms in _BOUNDS_MS
        },
        **{f"served_p{share}_ms": percentile(served, share / 100) * 1000 for share in (50, 99)},
        "probes": len(lags),
        "trait_lag_p50_s": percentile(lags, 0.5),
        "trait_lag_p99_s": percentile(lags, 0.99),
        "trait_lag_max_s": max(lags),
        "behind_at_the_end": behind,
        "caught_up_after_s": drained_s,
        "behind_after_that": still_behind,
        "service_us_per_event": spent[0] / accepted * 1e6,
        "second_us_per_event": spent[1] / accepted * 1e6,
        "clients_us_per_event": sum(each["processor_s"] for each in reports) / accepted * 1e6,
        "service_peak_mib": peaks[0] / 2**20,
        "second_peak_mib": peaks[1] / 2**20,
        "disk_bytes_per_event": disk / max(kept, 1),
        "load_average": os.getloadavg()[0],
    }


class _Service:
    """A running service and its processes."""

    def __init__(
        self, child: Child, session: aiohttp.ClientSession, collect: str, urls: Sequence[str]
    ) -> None:
        self.collect = collect
        self.urls = urls
        self._child = child
        self._session = session

    async def post(self, body: bytes) -> None:
        """Send a batch; raises ChildFailed."""
        headers = {"Authorization": aiohttp.encode_basic_auth(KEY, "")}
        deadline = time.monotonic() + _PROBE_PATIENCE_S
        while time.monotonic() < deadline:
            async with self._session.post(
                f"{self.collect}/v1/batch", data=body, headers=headers
            ) as answer:
                if answer.status == 200:
                    return
                if answer.status not in (429, 503):
                    raise ChildFailed(f"a batch was answered {answer.status}")
            await asyncio.sleep(_LOOK_S)
        raise ChildFailed("a batch was refused again and again")

    async def get(self, url: str) -> dict[str, Any]:
        """Return what a page says, nothing if it does not answer so far."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self._session.get(url) as answer:
                if answer.status == 200:
                    return dict(await answer.json())
        return {}

    async def introduce(self, persons: int) -> None:
        """Introduce all persons."""
        for first in range(0, persons, 4 * BATCH):
            starts = range(first, min(first + 4 * BATCH, persons), BATCH)
            await asyncio.gather(
                *(self.post(introductions(at, min(BATCH, persons - at))) for at in starts)
            )

    async def numbers(self) -> list[dict[str, int]]:
        """Return how the log of each process stands."""
        pages = [await self.get(f"{url}/cdp/status") for url in self.urls]
        if not all(pages):
            raise ChildFailed("a process does not answer")
        return [page["log"] for page in pages]

    async def sum_of(self, name: str) -> int:
        """Return a number of all logs together."""
        return sum(each[name] for each in await self.numbers())

    async def behind(self) -> int:
        """Return how many events are accepted, and not yet in the traits."""
        return sum(each["last_sequence"] - each["folded"] for each in await self.numbers())

    async def still_behind(self, patience_s: float) -> int:
        """Wait until profiles and traits have all events; return how many they do not have."""
        deadline = time.monotonic() + patience_s
        while True:
            behind = sum(
                each["last_sequence"] - min(each["learned"], each["folded"])
                for each in await self.numbers()
            )
            if not behind or time.monotonic() > deadline:
                return behind
            await asyncio.sleep(0.1)

    def processor_s(self) -> float:
        """Return the seconds of processor time that its processes have taken."""
        ticks = sum(sum(map(int, fields[11:13])) for _, fields in self._processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """Return the most memory that its processes had, added up."""
        total = 0
        for process, _ in self._processes():
            status = (process / "status").read_text()
            total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
        return total

    def _processes(self) -> list[tuple[Path, list[str]]]:
        """Return all processes of its group, with what the system says of each after its name."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self._child.process.pid:
                    found.append((process, fields))
        return found


async def _start(
    directory: Path,
    session: aiohttp.ClientSession,
    started: list[Child],
    name: str,
    processes: int,
    peers: Sequence[str],
) -> _Service:
    port = free_port(processes + 1)
    collect_port = port + 1
    ports = [port, *range(collect_port + 1, collect_port + processes)]
    config = directory / f"{name}.toml"
    config.write_text(
        f'name = "{name}"\ndata = "{name}"\nprocesses = {processes}\n'
        f'listen = "127.0.0.1:{port}"\ncollect_listen = "127.0.0.1:{collect_port}"\n'
        f'traits_file = "{TRAITS_FILE}"\npeers = {json.dumps(list(peers))}\n'
        f'log_level = "warning"\n[write_keys]\nclients = "{KEY}"\n'
        f"[collect]\ntraits_behind_s_max = {TRAITS_BEHIND_S_MAX}\n"
    )
    command = module_command("replicas.cdp.command", "run", "--config", str(config))
    child = await Child.start(name, command, directory / f"{name}.log")
    started.append(child)
    urls = [f"http://127.0.0.1:{each}" for each in ports]
    service = _Service(child, session, f"http://127.0.0.1:{collect_port}", urls)
    deadline = time.monotonic() + _START_PATIENCE_S
    while time.monotonic() < deadline and child.process.returncode is None:
        if all([await service.get(f"{url}/cdp/status") for url in urls]):
            return service
        await asyncio.sleep(_LOOK_S)
    raise child.failure("did not start")


async def _probe(source: _Service, target: _Service, until: float) -> list[float]:
    """Send one order after the other; return the seconds until the other region told of each."""
    lags: list[float] = []
    who = profile_id_for("default", ["user_id:probe"], IdentityRules())
    while time.monotonic() < until or not lags:
        order = {
            "type": "track", "event": "Order Completed", "userId": "probe",
            "messageId": f"probe-{len(lags)}", "properties": {"total": 10.5},
        }  # fmt: skip
        await source.post(json.dumps({"batch": [order]}).encode())
        answered = time.monotonic()
        while time.monotonic() < answered + _PROBE_PATIENCE_S:
            page = await target.get(f"{target.urls[0]}/cdp/profiles/{who}/traits")
            if page and page["traits"].get("orders", 0) > len(lags):
                break
            await asyncio.sleep(_LOOK_S)
        lags.append(time.monotonic() - answered)
        await asyncio.sleep(_PROBE_S)
    return lags


def main() -> None:
    """Measure one case, and print its figures."""
    parser = argparse.ArgumentParser("python -m benchmarks.events", description="one case")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--per-s", type=int, default=20_000)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    case = Case(arguments.processes, arguments.per_s, arguments.seconds)
    for name, figures in measure([case], arguments.persons).items():
        print(name)
        for figure, value in figures.items():
            print(f"{figure.replace('_', ' '):<28}{value:>14,.3f}")


if __name__ == "__main__":
    main()
