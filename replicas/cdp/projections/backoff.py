"""Backoff: how long to leave a target alone that failed."""

import asyncio
import random

from replicas.cdp import limits


class Backoff:
    """Waits that double, with jitter, up to a bound."""

    def __init__(self) -> None:
        self._next_s = limits.PROJECTION_BACKOFF_MIN_S

    def succeeded(self) -> None:
        """Begin with a short wait again."""
        self._next_s = limits.PROJECTION_BACKOFF_MIN_S

    async def wait(self, work: asyncio.Event) -> None:
        """Wait, or until there is work that cannot."""
        seconds = self._next_s * random.uniform(0.5, 1.0)
        self._next_s = min(self._next_s * 2, limits.PROJECTION_BACKOFF_MAX_S)
        try:
            async with asyncio.timeout(seconds):
                await work.wait()
        except TimeoutError:
            return
