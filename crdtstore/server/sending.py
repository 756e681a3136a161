"""Sending a long answer piece by piece, to readers that may stop reading."""

import asyncio
import os
from contextlib import suppress
from typing import BinaryIO

from aiohttp import hdrs, web

from crdtstore import limits
from crdtstore.server.negotiation import OCTETS
from crdtstore.server.service import Service


async def send(request: web.Request, response: web.StreamResponse, chunk: bytes) -> None:
    """Send a chunk; a reader that does not read for too long is cut off (ConnectionError)."""
    if not chunk:
        return
    try:
        async with asyncio.timeout(limits.SEND_TIMEOUT_S):
            await response.write(chunk)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader of a long answer does not read") from None


async def send_file(
    request: web.Request, service: Service, file: BinaryIO, name: str
) -> web.StreamResponse:
    """Answer a file that is whole, to be kept under a name; its length comes first."""
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: OCTETS,
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        }
    )
    response.content_length = os.fstat(file.fileno()).st_size
    await response.prepare(request)
    with suppress(ConnectionError):
        while chunk := await asyncio.to_thread(file.read, limits.COPY_CHUNK_BYTES):
            if service.closing.is_set() and request.transport is not None:
                request.transport.abort()  # what is cut short is shorter than was said
            await send(request, response, chunk)
        await response.write_eof()
    return response
