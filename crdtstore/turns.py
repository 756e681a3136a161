"""Turns: long work of an event loop, a little at a time, and between the reads of others.

A read over HTTP takes three turns of the event loop: the request comes in, its connection wakes,
its handler runs. If all who have long work had some of it in each of them, it would wait for all
that. So, while there are reads, long work passes a gate, one piece after the other, and the gate
stays closed after each for as many turns of the loop as a read takes.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from crdtstore import limits

_P = ParamSpec("_P")
_T = TypeVar("_T")

_READ_STEPS: Final = 3


async def in_turn(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Do a piece of long work of the running event loop, about 2 ms, when its turn has come."""
    gate = _gate()
    if not gate.is_asked():
        done = work(*args, **kwargs)
        await asyncio.sleep(0)
        return done
    await gate.enter()
    started_s = time.perf_counter()
    try:
        return work(*args, **kwargs)
    finally:
        gate.leave(time.perf_counter() - started_s)


def note_read() -> None:
    """Take note that something was read over HTTP: a write waits for a commit, a read for turns."""
    _gate().asked_s = time.monotonic()


def is_asked() -> bool:
    """Whether the running event loop had such reads lately, and so is likely to have more."""
    return _gate().is_asked()


class _Gate:
    """The gate of one event loop: open, or passed by somebody, or closed for a while.

    ``asked_s`` is when the last read came, by the monotonic clock. Nothing here refers to the loop
    but who waits, so that a loop that has ended goes with its gate.
    """

    def __init__(self) -> None:
        self.asked_s = -math.inf
        self._is_open = True
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._used_s = 0.0

    def is_asked(self) -> bool:
        """Whether there were reads lately."""
        return time.monotonic() - self.asked_s < limits.ASKED_S

    async def enter(self) -> None:
        """Wait for one's turn; ``leave`` has to be called in the same turn of the loop."""
        if self._is_open:
            self._is_open = False
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come
                self._let_in()
            raise

    def leave(self, elapsed_s: float) -> None:
        """Let the next one in, or close the gate if this was long."""
        self._used_s += elapsed_s
        if self._used_s < limits.SHORT_WORK_S:
            self._let_in()
        else:
            self._used_s = 0.0
            self._close(_READ_STEPS)

    def _close(self, steps: int) -> None:
        if steps:
            asyncio.get_running_loop().call_soon(self._close, steps - 1)
        else:
            self._let_in()

    def _let_in(self) -> None:
        """Let the first in who still waits; if nobody does, the gate is open."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_open = True


_gates: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate]] = WeakKeyDictionary()


def _gate() -> _Gate:
    """Return the gate of the running event loop, which all of its replicas share."""
    loop = asyncio.get_running_loop()
    gate = _gates.get(loop)
    if gate is None:
        gate = _gates[loop] = _Gate()
    return gate
