"""Floors: what the machine can do at all, measured in the same run and directory.

Each is a part of the work without which no store like this one can do it; a figure of ours is
shown as a share of its floor.
"""

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import aiohttp
import lmdb
import msgpack
from aiohttp import web

from benchmarks.latencies import latency_readings
from benchmarks.ports import free_port
from benchmarks.processes import Child, children, module_command
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Size, Workload, batches
from benchmarks.writing import BEST

_MAP_BYTES: Final = 4 * 2**30
_ECHO_BATCH: Final = 100
_ECHO_ROUNDS: Final = 10
_FRAME_OVERHEAD_BYTES: Final = 150
"""About what a frame of one edit has around it: origin, sequence, hash, dependencies."""


class Floors:
    """Raw LMDB, raw fsync, msgpack, and a websocket that answers."""

    name = "floors"
    kind: Kind = "floor"
    share = 1.0
    differs = (
        "No store: durable is an append of the same edits, 1,000 a transaction, to LMDB with "
        "fsync; load and cold sync are msgpack packing and unpacking of the same profiles; end to "
        "end is a loopback websocket of aiohttp between two processes that echoes batches of 100 "
        "edits; one edit is an append to a file and fdatasync; disk and wire are the bytes in "
        "msgpack."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Return nothing: the versions are those of ours."""
        return {}

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once, in processes of its own."""
        port = free_port()
        given = {"size": astuple(work.size), "directory": str(directory), "port": port}
        async with children() as started:
            readings: Readings = {}
            for part in ("echo", "disk"):
                command = module_command("benchmarks.floors", part, json.dumps(given))
                child = await Child.start(f"floor {part}", command, directory / f"{part}.log")
                started.append(child)
                answer = await child.answer(part)
                if part == "disk":
                    readings |= answer
            readings["end_to_end"] = await _echo_rate(work, port)
        return readings


def packed_edits(work: Workload) -> list[list[bytes]]:
    """Return the edits in msgpack, in batches."""
    return [
        [msgpack.packb(edit) for edit in batch]
        for batch in batches(work.edits[slice(*work.durable)], BEST.batch)
    ]


def measure_disk(work: Workload, directory: Path) -> Readings:
    """Measure LMDB, fdatasync and msgpack."""
    profiles = work.profiles
    started = time.perf_counter()
    packed = [msgpack.packb(profile) for profile in profiles]
    for each in packed:
        msgpack.unpackb(each)
    packing_rate = len(profiles) / (time.perf_counter() - started)
    edits = packed_edits(work)
    return {
        "durable": work.size.edits / _append_to_lmdb(edits, directory / "lmdb"),
        "load": packing_rate,
        "cold_sync": packing_rate,
        "cold_sync_snapshot": packing_rate,
        "disk_loaded": sum(map(len, packed)) / len(packed),
        "disk_edited": sum(map(len, packed)) / len(packed),
        "wire": sum(len(edit) for batch in edits for edit in batch) / work.size.edits,
        **_append_and_sync(work, directory / "appended"),
    }


def _append_to_lmdb(edits: list[list[bytes]], path: Path) -> float:
    environment = lmdb.open(str(path), map_size=_MAP_BYTES, max_dbs=0)
    position = 0
    started = time.perf_counter()
    for batch in edits:
        with environment.begin(write=True) as transaction:
            for edit in batch:
                position += 1
                transaction.put(position.to_bytes(8, "big"), edit, append=True)
    elapsed_s = time.perf_counter() - started
    environment.close()
    return elapsed_s


def _append_and_sync(work: Workload, path: Path) -> Readings:
    noise = random.Random(0)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    latencies = []
    try:
        for edit in work.edits[slice(*work.latency)]:
            payload = msgpack.packb(edit) + noise.randbytes(_FRAME_OVERHEAD_BYTES)
            started = time.perf_counter()
            os.write(descriptor, payload)
            os.fdatasync(descriptor)
            latencies.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
    return latency_readings(latencies)


async def _echo_rate(work: Workload, port: int) -> float:
    """Send batches to the echo, all answered, with several in flight; return edits per second."""
    edits = work.edits[slice(*work.end_to_end)]
    payloads = [msgpack.packb(batch) for batch in batches(edits, _ECHO_BATCH)] * _ECHO_ROUNDS
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/", compress=0) as socket,
    ):
        started = time.perf_counter()

        async def send() -> None:
            for payload in payloads:
                await socket.send_bytes(payload)

        sending = asyncio.create_task(send())
        for _ in payloads:
            await socket.receive_bytes()
        await sending
        return _ECHO_ROUNDS * len(edits) / (time.perf_counter() - started)


async def _echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


async def _serve_echo(port: int) -> None:
    application = web.Application()
    application.router.add_get("/", _echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main(part: str, given: dict[str, Any]) -> None:
    """Be one part of the floors, and stay until standard input ends."""
    if part == "echo":
        asyncio.run(_serve_echo(given["port"]))
        return
    work = Workload(Size(*given["size"]))
    print(json.dumps(measure_disk(work, Path(given["directory"]))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
