"""ReplicaProcess: one replica of the demo, run by ``crdtstore serve`` in a process of its own."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from crdtstore import limits
from crdtstore.demo.failure import DemoFailed

_LOG_LINES_SHOWN = 12


class ReplicaProcess:
    """A replica's process. ``directory`` holds its data, its log, and the schema of all."""

    def __init__(self, name: str, port: int, directory: Path) -> None:
        self.name = name
        self.port = port
        self._directory = directory
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The address of its HTTP API."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, schema: Path, peers: Sequence[str]) -> None:
        """Start the process, linked to the peers at these addresses. Signals do not reach it."""
        arguments = ["--name", self.name, "--data", str(self._directory / self.name)]
        arguments += ["--listen", f"127.0.0.1:{self.port}", "--schema", str(schema)]
        for peer in peers:
            arguments += ["--peer", peer]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "crdtstore.demo.tether",
                "serve",
                *arguments,
                stdin=PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )

    def check_alive(self) -> None:
        """Raise DemoFailed, with the end of its log, if the process has ended."""
        assert self._process is not None
        status = self._process.returncode
        if status is not None:
            lines = self._log.read_text("utf-8", "replace").splitlines()
            told = "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])
            raise DemoFailed(f"replica {self.name} ended with status {status}:\n{told}")

    async def ended(self) -> None:
        """Wait until the process has ended, for whatever reason."""
        assert self._process is not None
        await self._process.wait()

    async def stop(self) -> None:
        """End the process and wait for its end: politely, and by force if that takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(limits.DEMO_STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def _log(self) -> Path:
        return self._directory / f"{self.name}.log"


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback on which nobody listens now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _environment() -> dict[str, str]:
    """Return our environment without settings of crdtstore, which are meant for other replicas."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CRDTSTORE_")}
