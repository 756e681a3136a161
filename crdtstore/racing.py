"""Racing: the tasks of one connection, of which none goes on when one has ended."""

import asyncio
from collections.abc import Sequence
from typing import Any


async def until_one_ends(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Wait until one of some tasks has ended, and end the others.

    Raises the error of the first of them in order that ended by one.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error
