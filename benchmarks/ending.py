"""Ending: a benchmark that is told to end takes its processes and directories with it."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_TOLD_TO_END = 128 + signal.SIGTERM


def end_when_told() -> None:
    """Make this process end with a code of its own at SIGTERM, after its `finally` blocks."""
    signal.signal(signal.SIGTERM, _end)


def run_until_told(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as `asyncio.run` does; SIGTERM cancels it and ends the process.

    A SystemExit out of a signal handler may rise inside a library that catches everything
    (aiohttp's reading of an answer does) and is lost there; a cancelled task is not.
    """
    try:
        return asyncio.run(_cancelled_when_told(main))
    except asyncio.CancelledError:
        sys.exit(_TOLD_TO_END)


async def _cancelled_when_told(main: Coroutine[Any, Any, _T]) -> _T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(task.cancel))
    try:
        return await main
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)
