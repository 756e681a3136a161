"""Negotiation: which of the media types on offer an Accept header asks for (RFC 9110, 12.5.1)."""

from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web

from crdtstore.server.forms import FORMS, Form
from crdtstore.server.problems import Problem

EVENT_STREAM: Final = "text/event-stream"
JSON_LINES: Final = "application/x-ndjson"
OCTETS: Final = "application/octet-stream"


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the offered media type that suits best, the first among equals; None if none does.

    Of the ranges that match a type the most specific one decides, so ``*/*;q=0.1`` and
    ``application/json;q=0`` together mean anything but JSON.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range_of(part) for part in accept.split(",") if part.strip()]
    best, best_weight = None, 0.0
    for media_type in offered:
        weight = _weight_of(media_type, ranges)
        if weight > best_weight:
            best, best_weight = media_type, weight
    return best


def answer_form(request: web.Request) -> Form:
    """Return the form in which to answer; raises the 406 problem."""
    media_type = accepted(request, [form.media_type for form in FORMS])
    return next(form for form in FORMS if form.media_type == media_type)


def accepted(request: web.Request, offered: Sequence[str]) -> str:
    """Return the offered media type that the request asks for; raises the 406 problem."""
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, [])) or None
    chosen = choose(accept, offered)
    if chosen is None:
        raise Problem(
            406,
            "not-acceptable",
            "None of the media types asked for is on offer",
            f"Accept asks for none of {', '.join(offered)}",
        )
    return chosen


def _range_of(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        if key.strip() == "q":
            try:
                weight = min(max(float(text), 0.0), 1.0)
            except ValueError:
                weight = 0.0
            break
    return name, weight


def _weight_of(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    group = media_type.partition("/")[0] + "/*"
    for name in (media_type, group, "*/*"):
        weights = [weight for candidate, weight in ranges if candidate == name]
        if weights:
            return max(weights)
    return 0.0
