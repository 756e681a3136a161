"""Running a process that embeds a replica as a server: its event loop and its memory."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from crdtstore import limits
from crdtstore.server.garbage import collecting

Result = TypeVar("Result")


def run_as_server(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a program to its end, set up for many small objects and a commit in a thread."""
    sys.setswitchinterval(limits.SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_collecting_garbage(main))


async def _collecting_garbage(main: Coroutine[Any, Any, Result]) -> Result:
    with collecting():
        return await main


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return how to make an event loop of uvloop, None if it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
