"""Running: a service works at several things at once, listens, and ends when it is told to."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from crdtstore.errors import ConfigurationError
from replicas.embedding import limits


def told_to_stop() -> asyncio.Event:
    """Return what is set by SIGTERM and SIGINT from now on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def until_stopped(stopping: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until it is set, or one of the tasks, which work for ever, has failed."""
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((stop, *tasks), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()


@asynccontextmanager
async def working(
    *works: Coroutine[Any, Any, None],
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Work at several things while the context lasts; raises what one of them failed with."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


@asynccontextmanager
async def listening(
    app: web.Application,
    address: tuple[str, int],
    *,
    is_shared: bool = False,
    **options: Any,
) -> AsyncIterator[None]:
    """Serve an application while the context lasts; ``options`` are those of its runner.

    With ``is_shared``, other processes may listen there, too. Raises ConfigurationError.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=limits.SHUTDOWN_S, **options)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address, reuse_port=is_shared or None).start()
        except (OSError, socket.gaierror) as error:
            raise ConfigurationError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}"
            ) from error
        yield
    finally:
        await runner.cleanup()
