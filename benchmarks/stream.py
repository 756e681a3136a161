"""Write streams: one client process against one server process, over a loopback websocket.

Everything that a user of the client pays is in it: packing, the socket, checks, join, frame,
journal, fsync, results. The server is `crdtstore serve` in a process of its own.
"""

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from benchmarks.ending import run_until_told
from benchmarks.workload import Size, Workload
from crdtstore import Client, SyncClient

SINGLES_IN_FLIGHT = 64
_LATENCIES = 200
_ROOT = Path(__file__).parents[1]

_Edits = list[tuple[str, dict[str, str]]]


def measure(profiles: int, edits: int, runs: int) -> dict[str, dict[str, float]]:
    """Return a row for each way to write to a server of so many profiles: edits per second."""
    work = Workload(Size(profiles, edits, 0, 0, 0))
    rounds = count()

    def repeat(run: Callable[[str, _Edits], float], size: int) -> list[float]:
        return [run(url, _fresh_edits(work, size, next(rounds))) for _ in range(runs)]

    with (
        tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as directory,
        serving(Path(directory)) as url,
    ):
        with SyncClient(url) as client:
            for name, fields in work.profiles:
                client.submit(name, fields, source="crm")
        return {
            "Client.submit, then flush": _rates(repeat(_submits, edits)),
            "SyncClient.submit, then flush": _rates(repeat(_blocking, edits)),
            f"{SINGLES_IN_FLIGHT} tasks of Client.write": _rates(repeat(_singles, edits // 5)),
            "one Client.write at a time": _rates(repeat(_one_by_one, _LATENCIES)),
        }


def _rates(values: list[float]) -> dict[str, float]:
    return {
        "edits_per_s": statistics.median(values),
        "lowest_per_s": min(values),
        "highest_per_s": max(values),
    }


def _fresh_edits(work: Workload, edits: int, number: int) -> _Edits:
    """Return single-field edits that no earlier round has made."""
    return [
        (profile, {field: f"{value} of {number}"}) for profile, field, value in work.edits[:edits]
    ]


def _submits(url: str, edits: _Edits) -> float:
    async def run() -> float:
        async with Client(url) as client:
            started = time.perf_counter()
            for profile, fields in edits:
                await client.submit(profile, fields, source="crm")
            await client.flush()
            return len(edits) / (time.perf_counter() - started)

    return run_until_told(run())


def _blocking(url: str, edits: _Edits) -> float:
    with SyncClient(url) as client:
        started = time.perf_counter()
        for profile, fields in edits:
            client.submit(profile, fields, source="crm")
        client.flush()
        return len(edits) / (time.perf_counter() - started)


def _singles(url: str, edits: _Edits) -> float:
    async def run() -> float:
        async with Client(url) as client:

            async def writer(mine: _Edits) -> None:
                for profile, fields in mine:
                    await client.write(profile, fields, source="crm")

            started = time.perf_counter()
            parts = (edits[number::SINGLES_IN_FLIGHT] for number in range(SINGLES_IN_FLIGHT))
            await asyncio.gather(*(writer(part) for part in parts))
            return len(edits) / (time.perf_counter() - started)

    return run_until_told(run())


def _one_by_one(url: str, edits: _Edits) -> float:
    async def run() -> float:
        async with Client(url) as client:
            started = time.perf_counter()
            for profile, fields in edits:
                await client.write(profile, fields, source="crm")
            return len(edits) / (time.perf_counter() - started)

    return run_until_told(run())


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serve a replica from a process of its own; yield its address."""
    command = [sys.executable, "-m", "crdtstore.cli", "serve", "--name", "benchmark"]
    command += ["--data", str(directory / "data"), "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(
        [*command, "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert server.stdout is not None
    try:
        greeting = server.stdout.readline()
        found = re.search(r"http://\S+:\d+", greeting)
        assert found is not None, f"the server does not start: {greeting!r}"
        yield found[0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        server.stdout.close()
