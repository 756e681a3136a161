"""Supervising: the processes of a service are started, started again if they end, and ended.

The supervisor keeps nothing and takes no request. A process that ends is started again; one that
cannot start ends the service. If the supervisor is killed, the processes see it by the end of their
standard input, and end in order.
"""

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence

from replicas.cdp import limits
from replicas.embedding.running import told_to_stop

_log = logging.getLogger("replicas.cdp.supervising")


async def supervise(count: int, words: Sequence[str]) -> int:
    """Run so many processes until SIGTERM or SIGINT, or until one cannot start.

    ``words`` are the arguments of the command that each of them runs. Returns an exit code.
    """
    stopping = told_to_stop()
    with tempfile.TemporaryDirectory(prefix="crdtstore-cdp-") as sockets:
        stop = asyncio.create_task(stopping.wait())
        keeping = [
            asyncio.create_task(_keep(number, [*words, "--sockets", sockets]))
            for number in range(count)
        ]
        ended, _ = await asyncio.wait((stop, *keeping), return_when=asyncio.FIRST_COMPLETED)
        codes = [task.result() for task in keeping if task in ended]
        for task in (stop, *keeping):
            task.cancel()
        await asyncio.gather(stop, *keeping, return_exceptions=True)
    return max(codes, default=0)


async def _keep(number: int, words: Sequence[str]) -> int:
    """Keep one process running; return its exit code if it cannot start."""
    while True:
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "replicas.cdp.command", *words, "--process", str(number),
            stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        lasted_s = time.monotonic() - begun
        if code >= 0 and lasted_s < limits.STARTING_S:
            _log.error("process %d cannot start; the service ends", number)
            return code or 1
        _log.warning("process %d ended with %d after %.0f s, and is started again", number, code,
                     lasted_s)  # fmt: skip
        await asyncio.sleep(limits.RESTART_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), limits.ENDING_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def set_when_alone(stopping: asyncio.Event) -> None:
    """Set an event when the supervisor is gone: standard input has ended."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def look() -> None:
        if not os.read(descriptor, 64):
            loop.remove_reader(descriptor)
            stopping.set()

    loop.add_reader(descriptor, look)
