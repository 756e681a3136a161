"""The web pages about segments: list, size, sample, preview, and an evaluation of everybody.

They stand beside the replica's own API, on its address and behind its token, under /cdp/segments.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore import Replica
from crdtstore.toml import parse_toml
from replicas.cdp import limits
from replicas.cdp.segments.audience import preview, sample_of, size_of
from replicas.cdp.segments.definitions import Segment, segment_of
from replicas.cdp.segments.errors import SegmentInvalid, SegmentUnknown
from replicas.cdp.segments.segments import Segments, wall_ms

_PLAIN: Final = {hdrs.CACHE_CONTROL: "no-store"}
_JSON_LINES: Final = "application/jsonl"
_SAMPLE: Final = 10


class SegmentPages:
    """The pages about the segments of a replica."""

    def __init__(
        self, replica: Replica, segments: Segments, *, clock_ms: Callable[[], int] = wall_ms
    ) -> None:
        self._replica = replica
        self._segments = segments
        self._clock_ms = clock_ms
        self._previews = 0

    def add_to(self, app: web.Application) -> None:
        """Add the pages to an application that has not started."""
        app.router.add_get("/cdp/segments", self.list)
        app.router.add_post("/cdp/segments/preview", self.preview)
        app.router.add_post("/cdp/segments/rescan", self.rescan)
        app.router.add_get("/cdp/segments/{name}", self.size)
        app.router.add_get("/cdp/segments/{name}/sample", self.sample)

    async def list(self, request: web.Request) -> web.Response:
        """Answer all segments with their sizes, and how far their evaluation is."""
        named = self._segments.definitions.segments
        shown = [await self._shown(each) for each in named.values()]
        document = {
            "segments": shown,
            "scan": asdict(self._segments.scan),
            "lag_s": self._segments.lag_s,
            "trouble": self._segments.trouble,
            "counters": self._segments.counters,
        }
        return web.json_response(document, headers=_PLAIN)

    async def size(self, request: web.Request) -> web.Response:
        """Answer one segment with its size."""
        try:
            segment = self._segments.definitions.get(request.match_info["name"])
        except SegmentUnknown as error:
            return _refused(404, error)
        return web.json_response(await self._shown(segment), headers=_PLAIN)

    async def sample(self, request: web.Request) -> web.Response:
        """Answer the ids of some persons in a segment."""
        try:
            segment = self._segments.definitions.get(request.match_info["name"])
            count = _count_of(request)
        except SegmentUnknown as error:
            return _refused(404, error)
        except ValueError as error:
            return _refused(400, error)
        after = request.query.get("after", "")
        persons = await sample_of(self._replica, segment.name, after=after, count=count)
        return web.json_response({"segment": segment.name, "persons": persons}, headers=_PLAIN)

    async def rescan(self, request: web.Request) -> web.Response:
        """Have everybody evaluated anew."""
        await self._segments.rescan()
        return web.json_response({"scan": asdict(self._segments.scan)}, headers=_PLAIN)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        """Evaluate a definition that is not saved; answer lines of JSON, the last one is done.

        The body is what stands in the table of a segment, in TOML.
        """
        try:
            segment = _previewed(await _body_of(request))
            segment.check_traits(self._replica.schema)
            count = _count_of(request)
        except ValueError as error:
            return _refused(400, error)
        if self._previews >= limits.PREVIEWS_MAX:
            said = f"{limits.PREVIEWS_MAX} previews are under way"
            return web.json_response({"detail": said}, status=503, headers=_PLAIN)
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: _JSON_LINES, **_PLAIN})
        self._previews += 1
        try:
            seen = preview(self._replica, segment, sample=count, clock_ms=self._clock_ms)
            await response.prepare(request)
            with suppress(ConnectionError):
                await self._send(response, seen)
        finally:
            self._previews -= 1
        return response

    async def _send(self, response: web.StreamResponse, seen: Any) -> None:
        """Send how far a preview is, some times a second, and its end."""
        loop = asyncio.get_running_loop()
        next_s = 0.0
        async with aclosing(seen) as steps:
            async for step in steps:
                if step.is_done or loop.time() >= next_s:
                    next_s = loop.time() + limits.PREVIEW_SHOWN_S
                    await response.write(json.dumps(asdict(step)).encode() + b"\n")
        await response.write_eof()

    async def _shown(self, segment: Segment) -> dict[str, Any]:
        return {
            "name": segment.name,
            "description": segment.description,
            "size": await size_of(self._replica, segment.name),
        }


async def _body_of(request: web.Request) -> bytes:
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > limits.PREVIEW_BYTES_MAX:
            raise SegmentInvalid("the body", f"is larger than {limits.PREVIEW_BYTES_MAX:,} bytes")
    return bytes(body)


def _previewed(body: bytes) -> Segment:
    try:
        table = parse_toml(body.decode("utf-8"))
    except ValueError as error:
        raise SegmentInvalid("the body", f"is not TOML: {error}") from None
    return segment_of("preview", table)


def _count_of(request: web.Request) -> int:
    text = request.query.get("count", str(_SAMPLE))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= limits.SAMPLE_MAX):
        raise ValueError(f"count is a number from 1 to {limits.SAMPLE_MAX}")
    return int(text)


def _refused(status: int, error: Exception) -> web.Response:
    return web.json_response({"detail": str(error)}, status=status, headers=_PLAIN)
