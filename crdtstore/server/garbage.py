"""Garbage: looking for cycles of Python objects by the clock, so that no look takes long.

Python looks when so many more objects were made than went. Where documents come into the cache as
others leave it, that difference stays small while the young objects become a million: a look at
them stopped the event loop for 250 ms. Here the young ones are looked through often, when they are
few. Those that are left are documents for the most part, of which Python then follows the cells no
more.
"""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from typing import Final

from crdtstore import limits
from crdtstore.turns import in_turn

_YOUNG: Final = 0
_MIDDLE: Final = 1


@contextlib.contextmanager
def collecting() -> Iterator[None]:
    """Look for garbage by the clock of the running event loop as long as the block runs."""
    was_enabled = gc.isenabled()
    gc.disable()
    looking = asyncio.create_task(_look_forever(), name="crdtstore-garbage")
    try:
        yield
    finally:
        looking.cancel()
        if was_enabled:
            gc.enable()


async def _look_forever() -> None:
    middle = round(limits.COLLECT_MIDDLE_S / limits.COLLECT_YOUNG_S)
    whole = round(limits.COLLECT_ALL_S / limits.COLLECT_YOUNG_S)
    looks = 0
    while True:
        await asyncio.sleep(limits.COLLECT_YOUNG_S)
        looks += 1
        if looks % whole == 0:
            await in_turn(gc.collect)
        else:
            await in_turn(gc.collect, _YOUNG if looks % middle else _MIDDLE)
