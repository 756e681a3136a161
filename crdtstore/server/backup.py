"""The backup over HTTP: taken whole, beside the data, and then sent."""

import asyncio
import os
from contextlib import suppress
from typing import BinaryIO

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.server.negotiation import OCTETS, accepted
from crdtstore.server.parameters import query_of
from crdtstore.server.problems import Problem
from crdtstore.server.sending import send
from crdtstore.server.service import Service, service_of


async def get_backup(request: web.Request) -> web.StreamResponse:
    """Answer a backup of what is durable now; one at a time."""
    query_of(request, frozenset())
    accepted(request, (OCTETS,))
    service = service_of(request)
    if service.is_backing_up:
        raise Problem(
            503,
            "busy",
            "A backup is being taken",
            "another request takes a backup now, and one at a time is taken",
            headers={"Retry-After": "10"},
        )
    service.is_backing_up = True
    try:
        with await service.replica.backups.nameless() as file:
            return await _answer(request, service, file)
    finally:
        service.is_backing_up = False


async def _answer(request: web.Request, service: Service, file: BinaryIO) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: OCTETS,
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="crdtstore.backup"',
        }
    )
    response.content_length = os.fstat(file.fileno()).st_size
    await response.prepare(request)
    with suppress(ConnectionError):
        while chunk := await asyncio.to_thread(file.read, limits.COPY_CHUNK_BYTES):
            if service.closing.is_set() and request.transport is not None:
                request.transport.abort()  # what is cut short is no backup, and says so
            await send(request, response, chunk)
        await response.write_eof()
    return response
