"""Fleet: the three replicas of the demo, their processes, and the wires between them."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import aiohttp

from crdtstore import limits
from crdtstore.demo.client import Client
from crdtstore.demo.failure import DemoFailed
from crdtstore.demo.limits import DEMO_LOOK_S, DEMO_START_TIMEOUT_S
from crdtstore.demo.records import schema_text
from crdtstore.demo.replica_process import ReplicaProcess, free_ports
from crdtstore.demo.wire import Wire

NAMES: Final = ("eu", "us", "ap")
"""The replicas of the demo, by the regions that they stand for."""


class Fleet:
    """Three replicas, each linked to the two others. Use ``async with``: it ends them again."""

    def __init__(self, directory: Path) -> None:
        ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        self._directory = directory
        self._processes = {name: ReplicaProcess(name, ports[name], directory) for name in NAMES}
        self._wires = {
            (near, far): Wire(ports[far]) for near, far in itertools.permutations(NAMES, 2)
        }
        self._session: aiohttp.ClientSession | None = None
        self.clients: dict[str, Client] = {}

    async def __aenter__(self) -> "Fleet":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=limits.CLIENT_TIMEOUT_S)
        )
        for name, process in self._processes.items():
            self.clients[name] = Client(self._session, name, process.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()
        faults = await asyncio.gather(*(process.stop() for process in self._processes.values()))
        await asyncio.gather(*(wire.close() for wire in self._wires.values()))
        if any(faults) and not isinstance(error, DemoFailed):
            raise DemoFailed("; ".join(filter(None, faults))) from None

    async def start(self) -> None:
        """Start the wires and the processes, and wait until every replica can be given work."""
        schema = self._directory / "schema.toml"
        schema.write_text(schema_text(), "utf-8")
        for wire in self._wires.values():
            await wire.open()
        for name, process in self._processes.items():
            peers = [wire.url for (near, _), wire in self._wires.items() if near == name]
            await process.start(schema, peers)
        try:
            async with asyncio.timeout(DEMO_START_TIMEOUT_S):
                for name in NAMES:
                    while not await self.clients[name].is_ready():
                        self.check_alive()
                        await asyncio.sleep(DEMO_LOOK_S)
        except TimeoutError:
            raise DemoFailed(
                f"the replicas were not ready within {DEMO_START_TIMEOUT_S:g} s"
            ) from None

    def check_alive(self) -> None:
        """Raise DemoFailed if a replica's process has ended."""
        for process in self._processes.values():
            process.check_alive()

    async def until_one_ends(self) -> None:
        """Wait until a replica's process ends by itself."""
        waits = [asyncio.ensure_future(one.ended()) for one in self._processes.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def cut(self, name: str) -> None:
        """Cut every wire from and to a replica."""
        for wire in self._wires_of(name):
            wire.cut()

    def mend(self, name: str) -> None:
        """Mend every wire from and to a replica."""
        for wire in self._wires_of(name):
            wire.mend()

    def _wires_of(self, name: str) -> Sequence[Wire]:
        return [wire for ends, wire in self._wires.items() if name in ends]
