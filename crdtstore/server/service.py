"""Service: what the handlers of one application share, and nothing global."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from crdtstore import limits
from crdtstore.replica.replica import Replica
from crdtstore.server.problems import Problem


@dataclass(slots=True)
class RequestStatistics:
    """Requests answered and the seconds they took, by (method, route, status)."""

    count: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    duration_s: defaultdict[tuple[str, str], float] = field(
        default_factory=lambda: defaultdict(float)
    )


class Admission:
    """A budget of request bytes held in memory at one time, over all connections.

    Bytes count when they arrive, not when they are announced, and large bodies leave a part of the
    budget to small ones.
    """

    def __init__(self) -> None:
        self.held_bytes = 0

    def hold(self, size: int, *, is_small: bool) -> None:
        """Take bytes of a body from the budget; raises the 503 problem when it is spent."""
        reserved_bytes = 0 if is_small else limits.BODIES_SMALL_BYTES
        if self.held_bytes + size > limits.BODIES_BYTES_MAX - reserved_bytes:
            raise Problem(
                503,
                "busy",
                "Too many bodies at one time",
                f"bodies of {self.held_bytes:,} bytes are being worked on; try again",
                headers={"Retry-After": "1"},
            )
        self.held_bytes += size

    def release(self, size: int) -> None:
        """Give bytes back."""
        self.held_bytes -= size
        assert self.held_bytes >= 0


@dataclass(slots=True)
class Service:
    """One replica as an application serves it.

    ``token`` guards the API and ``link_secret`` the link endpoint; None leaves either to
    loopback; ``open_handlers`` need neither, and ``query_token_handlers`` also take the token from
    the query, for browsers set no headers of a websocket. ``closing`` ends the requests that would
    not end by themselves.
    """

    replica: Replica
    token: str | None
    link_secret: str | None
    open_handlers: frozenset[object] = frozenset()
    query_token_handlers: frozenset[object] = frozenset()
    admission: Admission = field(default_factory=Admission)
    statistics: RequestStatistics = field(default_factory=RequestStatistics)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    links: set[web.WebSocketResponse] = field(default_factory=set)
    streams: set[web.WebSocketResponse] = field(default_factory=set)
    collaborators: set[web.WebSocketResponse] = field(default_factory=set)
    followers: int = 0
    is_backing_up: bool = False
    exporting: asyncio.Lock = field(default_factory=asyncio.Lock)


SERVICE: Final = web.AppKey("crdtstore_service", Service)


def service_of(request: web.Request) -> Service:
    """Return the service that a request was routed to."""
    return request.config_dict[SERVICE]
