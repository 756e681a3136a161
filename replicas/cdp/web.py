"""The web pages of the service: health, metrics, events, timelines.

They stand beside the replica's own API, on its address and behind its token, under /cdp.
"""

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import hdrs, web

from replicas.cdp import limits
from replicas.cdp.events import Event
from replicas.cdp.metrics import metrics_of

if TYPE_CHECKING:
    from replicas.cdp.service import Running

_PLAIN: Final = {hdrs.CACHE_CONTROL: "no-store"}


class Pages:
    """The pages about a service."""

    def __init__(self, service: "Running") -> None:
        self._service = service

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application that has not started."""
        app.router.add_get("/cdp/health", self.health)
        app.router.add_get("/cdp/status", self.status)
        app.router.add_get("/cdp/metrics", self.metrics)
        app.router.add_get("/cdp/events", self.events)
        app.router.add_get("/cdp/profiles/{id:[^/]+}/events", self.timeline)

    async def health(self, request: web.Request) -> web.Response:
        """Answer 200 if everything works, 503 with what does not."""
        troubles = self._service.troubles()
        status = 503 if troubles else 200
        return web.json_response({"troubles": troubles}, status=status, headers=_PLAIN)

    async def status(self, request: web.Request) -> web.Response:
        """Answer how the service is doing."""
        service = self._service
        shown = {
            "name": service.configuration.name,
            "log": service.numbers(),
            "accepted": service.collector.accepted,
            "refused": service.collecting.refused,
            "answers": service.collector.answers,
            "learned": service.learning.counters,
            "troubles": service.troubles(),
        }
        return _json(shown)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer all numbers in the Prometheus text format."""
        body, content_type = metrics_of(self._service)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, **_PLAIN})

    async def events(self, request: web.Request) -> web.Response:
        """Answer events in the order of arrival: those after one, or the last ones."""
        log = self._service.log
        limit = _number(request, "limit", limits.EVENTS_SHOWN_MAX, limits.EVENTS_SHOWN_MAX)
        after = _number(request, "after", None)
        if after is None:
            after = max(log.last_sequence - limit, 0)
        found = await asyncio.to_thread(log.read, after, limit)
        first, last = log.first_sequence, log.last_sequence
        return _json({"first": first, "last": last, "events": list(map(_shown, found))})

    async def timeline(self, request: web.Request) -> web.Response:
        """Answer the events of a profile, the newest first."""
        limit = _number(request, "limit", 100, limits.TIMELINE_MAX)
        before = _number(request, "before", None)
        timeline = self._service.log.timeline
        found = await asyncio.to_thread(timeline, request.match_info["id"], before, limit)
        return _json({"events": list(map(_shown, found))})


def _shown(numbered: tuple[int, Event]) -> dict[str, Any]:
    sequence, event = numbered
    return {"sequence": sequence, **msgspec.structs.asdict(event)}


def _number(request: web.Request, name: str, default: Any, maximum: int = 1 << 62) -> Any:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= maximum):
        detail = f"{name} is a whole number up to {maximum:,}"
        text = json.dumps({"code": "invalid-input", "detail": detail})
        raise web.HTTPBadRequest(text=text, content_type="application/json")
    return int(text)


def _json(value: object) -> web.Response:
    headers = {hdrs.CONTENT_TYPE: "application/json", **_PLAIN}
    return web.Response(body=msgspec.json.encode(value), headers=headers)
