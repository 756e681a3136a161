"""Served replicas in forked processes: quicker to start again than ``crdtstore serve``."""

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from crdtstore import Replica, Settings
from tests.faults.stores import SMALL_LIMITS, SMALL_SETTINGS, set_limits
from tests.processes.servers import Server


@dataclass(frozen=True, slots=True)
class Conditions:
    """Bounds and settings under which a replica is tried."""

    limits: dict[str, int | float] = field(default_factory=lambda: dict(SMALL_LIMITS))
    settings: Settings = SMALL_SETTINGS


def serve(
    connection: Connection,
    name: str,
    directory: Path,
    port: int,
    peers: tuple[str, ...],
    log: Path,
    conditions: Conditions,
) -> None:
    """Serve a replica until killed or told to end; what it logs and prints goes into a file."""
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    from aiohttp import web

    from crdtstore.logs import configure_logging
    from crdtstore.server import application

    configure_logging("human", "warning")
    set_limits(conditions.limits)

    async def main() -> None:
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        async with Replica.open(
            directory, name=name, peers=peers, settings=conditions.settings
        ) as replica:
            runner = web.AppRunner(application(replica), access_log=None, shutdown_timeout=2)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
            connection.send("serves")
            await ending.wait()
            await runner.cleanup()

    asyncio.run(main())


class Forked(Server):
    """A served replica that starts in a few hundredths of a second."""

    def __init__(
        self, name: str, directory: Path, log: Path, conditions: Conditions | None = None
    ) -> None:
        super().__init__(name, directory, log)
        self.conditions = conditions or Conditions()

    def start(self, *peers: "Server | str") -> "Forked":
        """Start the replica, linked to peers, and wait until it answers."""
        from tests.faults.children import Child

        urls = tuple(peer if isinstance(peer, str) else peer.url for peer in peers)
        self.child = Child(
            serve, self.name, self.directory, self.port, urls, self.log, self.conditions
        )
        assert self.child.hear() == "serves", self.log.read_text()[-2_000:]
        return self

    @property
    def is_alive(self) -> bool:
        return self.child.process.is_alive()

    @property
    def pid(self) -> int:
        assert self.child.process.pid is not None
        return self.child.process.pid

    def kill(self) -> None:
        self.child.kill()

    def stop(self) -> int:
        self.child.process.terminate()
        return self.child.end() or 0
