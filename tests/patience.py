"""Waiting for what must come: only a hang takes as long as the limit, on the slowest machine."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 120.0


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    seen: object = "",
    *,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait for a condition; fail, naming it and what was seen, a log perhaps, if it never comes."""
    deadline_s = time.monotonic() + patience_s
    while True:
        found = condition()
        if await found if inspect.isawaitable(found) else found:
            return
        assert time.monotonic() < deadline_s, _told(what, seen, patience_s)
        await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], bool], what: str, seen: object = "") -> None:
    """Wait for a condition as ``until`` does, in a thread that may stand still meanwhile."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, _told(what, seen, PATIENCE_S)
        time.sleep(0.02)


def _told(what: str, seen: object, patience_s: float) -> str:
    shown = seen.read_text()[-4_000:] if isinstance(seen, Path) else seen
    return f"waited {patience_s:g} s for {what}\n{shown}"
