"""ReplicaProcess: one replica of the demo, run by ``crdtstore serve`` in a process of its own."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from crdtstore.demo import limits
from crdtstore.demo.failure import DemoFailed

_LOG_LINES_SHOWN = 12
_DRAWS = 200


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
        """Raise DemoFailed, with the end of its log, if the process was started and has ended."""
        status = None if self._process is None else self._process.returncode
        if status is not None:
            lines = self._log.read_text("utf-8", "replace").splitlines()
            told = "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])
            raise DemoFailed(f"replica {self.name} ended with status {status}:\n{told}")

    async def ended(self) -> None:
        """Wait until the process has ended, for whatever reason."""
        assert self._process is not None
        await self._process.wait()

    async def stop(self) -> str:
        """End the process and wait for its end; return what went wrong with that, "" if nothing."""
        if self._process is None or self._process.returncode is not None:
            return ""
        self._process.terminate()
        try:
            async with asyncio.timeout(limits.DEMO_STOP_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            within = f"within {limits.DEMO_STOP_TIMEOUT_S:g} s of SIGTERM"
            return f"replica {self.name} did not end {within}, and was killed"
        if status in (0, -signal.SIGTERM):  # the latter while it was still starting
            return ""
        return f"replica {self.name} ended with status {status} when asked to end"

    @property
    def _log(self) -> Path:
        return self._directory / f"{self.name}.log"


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback on which nobody listens now.

    They are not held until the replicas listen, so they are drawn from where the system takes none
    for connections, and at random, that two demos do not draw the same.
    """
    ports: list[int] = []
    drawn = random.sample(range(limits.DEMO_PORT_MIN, limits.DEMO_PORT_MAX + 1), k=_DRAWS)
    for port in drawn:
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            ports.append(port)
        if len(ports) == count:
            return ports
    raise DemoFailed(f"no {count} ports are free on 127.0.0.1: {_DRAWS} were tried")


def _environment() -> dict[str, str]:
    """Return our environment without settings of crdtstore, which are meant for other replicas."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CRDTSTORE_")}
