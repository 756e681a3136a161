"""Misbehaviour that a local server can be told to show."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Mischief:
    """What goes wrong next.

    ``answers`` are given instead of doing anything: one for each request whose path contains the
    text. ``lost`` requests are done, and their answer never arrives. ``late`` ones
    are done at once, and answered so many seconds later. ``slow_s`` delays each request.
    ``rates`` are the chances of (refusal, lost answer, ended session, failed row), drawn from
    ``chance``: then everything goes wrong now and then.
    """

    answers: list[tuple[str, int, Any, dict[str, str]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[tuple[str, float]] = field(default_factory=list)
    slow_s: float = 0.0
    rates: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def fails_row(self) -> bool:
        """Say whether a row fails by chance."""
        return self.chance.random() < self.rates[3]

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
        if not is_login and self.chance.random() < self.rates[0]:
            status, body, headers = self.chance.choice(refusals)
            return web.json_response(body, status=status, headers=headers)
        if not is_login and self.chance.random() < self.rates[2]:
            end_session()
        response = await handler(request)
        for index, (part, seconds) in enumerate(self.late):
            if part in request.path:
                del self.late[index]
                await asyncio.sleep(seconds)
                break
        is_lost = not is_login and self.chance.random() < self.rates[1]
        for index, part in enumerate(self.lost):
            if part in request.path:
                del self.lost[index]
                is_lost = True
                break
        if is_lost and request.transport is not None:
            request.transport.abort()
        return response
