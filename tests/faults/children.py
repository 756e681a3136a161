"""Child processes to be killed: forked from a server that has everything imported already."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from tests.patience import PATIENCE_S
from tests.processes.servers import ROOT

os.environ["PYTHONPATH"] = str(ROOT)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.writers", "tests.faults.forked", "aiohttp.web"])


class Child:
    """One process that runs ``main(connection, *arguments)``; what it says can be read after it."""

    def __init__(self, main: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = _context.Pipe()
        self.process = _context.Process(target=main, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def say(self, thing: Any) -> None:
        """Tell the child something; a dead one does not mind."""
        with contextlib.suppress(OSError):
            self._connection.send(thing)

    def hear(self, patience_s: float = PATIENCE_S) -> Any:
        """Return what the child says next, None at its end."""
        assert self._connection.poll(patience_s), f"the child said nothing for {patience_s} s"
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            return None

    def hear_until(self, deadline_s: float) -> Any:
        """Return what the child says by a moment, False if nothing, None at its end."""
        try:
            if not self._connection.poll(max(0.0, deadline_s - time.monotonic())):
                return False
            return self._connection.recv()
        except (EOFError, OSError):
            return None

    def kill(self) -> list[Any]:
        """End the child by SIGKILL, and return what it had said and nobody had heard."""
        self.process.kill()
        said = []
        while (thing := self.hear()) is not None:
            said.append(thing)
        self.process.join(PATIENCE_S)
        self._connection.close()
        return said

    def end(self) -> int | None:
        """Wait until the child has ended by itself; return its exit code."""
        self.process.join(PATIENCE_S)
        self._connection.close()
        return self.process.exitcode


def tell(connection: Connection, *thing: Any) -> None:
    """Say something from a child."""
    connection.send(thing)
