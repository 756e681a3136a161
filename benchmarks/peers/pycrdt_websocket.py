"""pycrdt-websocket with its SQLite store, in its own pinned virtual environment."""

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.install import python_program, python_versions
from benchmarks.peers.session import run_session
from benchmarks.processes import Child
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Workload

_REQUIREMENTS: Final = (
    "pycrdt==0.14.13",
    "pycrdt-websocket==0.16.5",
    "pycrdt-store==0.1.5",
    "hypercorn==0.18.0",
    "httpx==0.28.1",
    "httpx-ws==0.9.0",
    "wsproto==1.3.2",
)


class PycrdtWebsocket:
    """The peer: server and clients are processes of ``pycrdt_driver``."""

    name = "pycrdt-websocket"
    kind: Kind = "peer"
    share = 0.05
    differs = (
        "Its server on Hypercorn with SQLiteYStore, one room per profile, all in one SQLite file "
        "with SQLite's own fsync, one websocket per profile. As it comes, concurrent stores lose "
        "updates to SQLite's lock: here they share one lock of ours, in its favour. Two hops end "
        "to end: a client, the server, another client that holds all profiles in memory."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Install the peer if that is allowed, and return its versions."""
        python_program(self.name, _REQUIREMENTS, install)
        return python_versions(_REQUIREMENTS)

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        python = python_program(self.name, _REQUIREMENTS, install=False)

        async def launch(role: str, name: str, settings: dict[str, Any]) -> Child:
            command = [str(python), "-m", "benchmarks.peers.pycrdt_driver", role]
            return await Child.start(
                f"{self.name} {name}",
                [*command, json.dumps(settings)],
                directory / f"{name}.log",
            )

        return await run_session(work, directory, launch)
