"""Misbehaviour that a local server can be told to show."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

WELL = (0.0, 0.0, 0.0, 0.0, 0.0)
LATE_S = 2.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Mischief:
    """What goes wrong next.

    ``answers`` are given instead of doing anything: one for each request whose path contains the
    text. ``lost`` requests are done, and their answer never arrives. ``late`` ones
    are done at once, and answered so many seconds later. ``slow_s`` delays each request.
    ``rates`` are the chances of (refusal, lost answer, ended session, failed row, answer that comes
    too late), drawn from ``chance``: then everything goes wrong now and then. ``refusals`` are
    those that are drawn, if not all of the server's. ``told`` counts what went wrong.
    """

    answers: list[tuple[str, int, Any, dict[str, str]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[tuple[str, float]] = field(default_factory=list)
    held: list[tuple[str, asyncio.Event]] = field(default_factory=list)
    slow_s: float = 0.0
    rates: tuple[float, float, float, float, float] = WELL
    refusals: list[Any] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def fails_row(self) -> bool:
        """Say whether a row fails by chance."""
        return self._happens(3, "failed row")

    def _happens(self, place: int, name: str) -> bool:
        happens = self.chance.random() < self.rates[place]
        self.told[name] += happens
        return happens

    async def around(
        self, request: web.Request, handler: Handler, refusals: list[Any], end_session: Any
    ) -> web.StreamResponse:
        """Handle a request, or not, as the mischief wants."""
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        for index, (part, status, body, headers) in enumerate(self.answers):
            if part in request.path:
                del self.answers[index]
                return web.json_response(body, status=status, headers=headers)
        is_login = "oauth" in request.path
        if not is_login and self._happens(0, "refusal"):
            status, body, headers = self.chance.choice(self.refusals or refusals)
            return web.json_response(body, status=status, headers=headers)
        if not is_login and self._happens(2, "ended session"):
            end_session()
        response = await handler(request)
        for index, (part, seconds) in enumerate(self.late):
            if part in request.path:
                del self.late[index]
                await asyncio.sleep(seconds)
                break
        for index, (part, event) in enumerate(self.held):
            if part in request.path:
                del self.held[index]
                await event.wait()
                break
        if not is_login and self._happens(4, "late answer"):
            await asyncio.sleep(LATE_S)
        is_lost = not is_login and self._happens(1, "lost answer")
        for index, part in enumerate(self.lost):
            if part in request.path:
                del self.lost[index]
                is_lost = True
                break
        if is_lost and request.transport is not None:
            request.transport.abort()
        return response
