"""Turns: long work in an event loop, done a little at a time."""

import asyncio
from typing import Final

_REQUEST_STEPS: Final = 3
"""A request over HTTP takes so many turns of the event loop: it comes in, its connection wakes, its
handler runs. Whoever gives way for fewer makes it wait for a part of the long work with each."""


async def give_way(*, to_requests: bool = True) -> None:
    """Let what waits for the event loop go on, and a request that came meanwhile be answered."""
    for _ in range(_REQUEST_STEPS if to_requests else 1):
        await asyncio.sleep(0)
