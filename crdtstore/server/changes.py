"""The change feed over HTTP: a page of JSON lines, or a stream that goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.engine.feed import Change
from crdtstore.errors import CrdtstoreError
from crdtstore.replica.replica import Replica
from crdtstore.server.forms import encode_json
from crdtstore.server.negotiation import EVENT_STREAM, JSON_LINES, accepted
from crdtstore.server.parameters import cursor_of, flag_of, limit_of, query_of
from crdtstore.server.problems import Problem, document_of
from crdtstore.server.sending import send
from crdtstore.server.service import Service, service_of

_PARAMETERS: Final = frozenset({"since", "limit", "follow", "persons"})
_GREETING: Final = {EVENT_STREAM: b": connected\n\n", JSON_LINES: b""}
_QUIET: Final = {EVENT_STREAM: b": keep-alive\n\n", JSON_LINES: b"\n"}


async def get_changes(request: web.Request) -> web.StreamResponse:
    """Answer changes after a cursor: JSON lines up to the end, or a stream that follows."""
    query = query_of(request, _PARAMETERS)
    limit = limit_of(query, limits.PAGE_CHANGES_DEFAULT, limits.PAGE_CHANGES_MAX)
    since = cursor_of(request, query)
    persons = flag_of(query, "persons")
    media_type = accepted(request, (JSON_LINES, EVENT_STREAM))
    service = service_of(request)
    if media_type == EVENT_STREAM or flag_of(query, "follow"):
        return await _follow(request, service, since, media_type, persons)
    lines = await _page(service.replica, since, limit, persons)
    return web.Response(
        body=b"".join(lines),
        headers={
            hdrs.CONTENT_TYPE: JSON_LINES,
            hdrs.VARY: hdrs.ACCEPT,
            hdrs.CACHE_CONTROL: "no-store",
        },
    )


def change_document(change: Change, *, persons: bool = False) -> dict[str, Any]:
    """Return one change as the API answers it, with its persons if these were asked for."""
    document = {
        "cursor": change.cursor,
        "id": change.id,
        "fields": change.fields,
        "sources": change.sources,
        "erased": change.erased,
        "at": change.at.isoformat() if change.at else None,
        "timestamp": change.timestamp,
        "origin": f"{change.origin:016x}" if change.origin else "",
        "replica": change.replica,
        "conflicts": change.conflicts,
        "settled": change.settled,
    }
    if persons:
        document["persons"] = [
            {"id": person.id, "profiles": person.profiles, "version": person.version}
            for person in change.persons
        ]
        document["persons_complete"] = change.persons_complete
    return document


async def _page(replica: Replica, since: str, limit: int, persons: bool) -> list[bytes]:
    """Return the lines of up to ``limit`` changes that are there already; none is the end.

    Raises InvalidInput or CursorExpired.
    """
    lines: list[bytes] = []
    size = 0
    async with aclosing(replica.changes(since=since, follow=False, persons=persons)) as changes:
        async for change in changes:
            line = _line_of(change, persons)
            lines.append(line)
            size += len(line)
            if len(lines) == limit or size >= limits.PAGE_BYTES_MAX:
                break
    return lines


async def _follow(
    request: web.Request, service: Service, since: str, media_type: str, persons: bool
) -> web.StreamResponse:
    """Stream changes until the caller leaves or the server closes."""
    if service.followers >= limits.FOLLOWERS_MAX:
        raise Problem(
            503,
            "busy",
            "Too many followers",
            f"{limits.FOLLOWERS_MAX:,} requests follow the change feed already",
            headers={"Retry-After": "5"},
        )
    service.followers += 1
    try:
        # A bad cursor shows before the answer begins.
        await _page(service.replica, since, 1, persons)
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: media_type,
                hdrs.VARY: hdrs.ACCEPT,
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        encode = _event_of if media_type == EVENT_STREAM else _line_of
        async with aclosing(_chunks(service, since, encode, persons)) as chunks:
            await anext(chunks)  # nothing to send yet; from here on no change is missed
            await response.prepare(request)
            with suppress(ConnectionError):
                await send(request, response, _GREETING[media_type])
                async for chunk in chunks:
                    await send(request, response, chunk or _QUIET[media_type])
                await response.write_eof()
        return response
    finally:
        service.followers -= 1


async def _chunks(
    service: Service, since: str, encode: Callable[[Change, bool], bytes], persons: bool
) -> AsyncGenerator[bytes, None]:
    """Yield what to send: changes gathered, nothing when there are none, a last error.

    The first yield is empty, and says that the feed is being followed.
    """
    changes = service.replica.changes(since=since, follow=True, persons=persons)
    closing: asyncio.Future[Any] = asyncio.ensure_future(service.closing.wait())
    coming: asyncio.Future[Any] = asyncio.ensure_future(anext(changes))
    gathered: list[bytes] = []
    size = 0
    try:
        await asyncio.sleep(0)
        yield b""
        while not service.closing.is_set():
            await asyncio.wait(
                {coming, closing},
                timeout=0 if gathered else limits.KEEP_ALIVE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if coming.done():
                piece = encode(coming.result(), persons)
                gathered.append(piece)
                size += len(piece)
                coming = asyncio.ensure_future(anext(changes))
                if size < limits.FOLLOW_CHUNK_BYTES:
                    continue
            yield b"".join(gathered)
            gathered, size = [], 0
    except StopAsyncIteration:
        if gathered:
            yield b"".join(gathered)
    except CrdtstoreError as error:
        yield b"".join(gathered) + _last_words(error, encode)
    finally:
        closing.cancel()
        coming.cancel()
        await asyncio.gather(coming, closing, return_exceptions=True)
        await changes.aclose()


def _line_of(change: Change, persons: bool) -> bytes:
    return encode_json(change_document(change, persons=persons)) + b"\n"


def _event_of(change: Change, persons: bool) -> bytes:
    return b"id: %b\nevent: change\ndata: %b\n\n" % (
        change.cursor.encode(),
        encode_json(change_document(change, persons=persons)),
    )


def _last_words(error: CrdtstoreError, encode: Callable[[Change, bool], bytes]) -> bytes:
    """Return how a stream that must end says why."""
    problem = json.dumps(document_of(error)).encode()
    if encode is _event_of:
        return b"event: error\ndata: %b\n\n" % problem
    return b'{"error":%b}\n' % problem
