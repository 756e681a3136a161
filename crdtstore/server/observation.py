"""Observation: one log line and one count per request, with nothing personal in either."""

import logging
import time

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from crdtstore.server.problems import Handler
from crdtstore.server.service import service_of
from crdtstore.turns import note_read

_logger = logging.getLogger("crdtstore.access")

http_log = logging.getLogger("crdtstore.http")
"""Where a web server shall log what its parser refuses: ``AppRunner(..., logger=http_log)``."""


def without_bytes(record: logging.LogRecord) -> bool:
    """Let a parser's error say what kind it is, in one line, and nothing of what was sent."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.args = "refused what is no HTTP: %s", (type(error).__name__,)
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


http_log.addFilter(without_bytes)
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@web.middleware
async def observation_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log and count a request by its route: no profile id, no query, no header, no body."""
    service = service_of(request)
    started_s = time.monotonic()
    if request.method == "GET":
        note_read()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        duration_s = time.monotonic() - started_s
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        method = request.method if request.method in _KNOWN_METHODS else "other"
        service.statistics.count[method, route, status] += 1
        service.statistics.duration_s[method, route] += duration_s
        if _logger.isEnabledFor(logging.INFO):
            context = {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(duration_s * 1000, 1),
            }
            level = logging.WARNING if status >= 500 else logging.INFO
            _logger.log(level, "request", extra={"context": context})
