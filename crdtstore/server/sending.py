"""Sending a long answer piece by piece, to readers that may stop reading."""

import asyncio

from aiohttp import web

from crdtstore import limits


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
