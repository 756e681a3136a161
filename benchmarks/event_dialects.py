"""How a batch of the shop's events is put to a service: the requests that carry it.

Segment's specification takes any 100 events in one request. Apache Unomi knows a visitor by a
cookie, so that each request carries the events of one person.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

KEY: Final = "benchmark"
SCOPE: Final = "shop"
"""What Unomi calls the place where events happen."""

_JSON: Final = {"Content-Type": "application/json"}
_SEGMENT_HEADERS: Final = {**_JSON, "Authorization": aiohttp.encode_basic_auth(KEY, "")}
_VISITOR_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the end of its address, its body, its headers, and how many events it has."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    events: int


Dialect = Callable[[bytes, int], Sequence[Request]]
"""Returns the requests for the body of a batch of Segment's specification, of so many events."""


def segment(body: bytes, count: int) -> Sequence[Request]:
    """Return the batch as it is, in one request."""
    return (Request("/v1/batch", body, _SEGMENT_HEADERS, count),)


def unomi(body: bytes, _: int) -> Sequence[Request]:
    """Return a request for every person of the batch, with that person's events in their order."""
    persons: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(body)["batch"]:
        persons.setdefault(item["userId"], []).append(_unomi_event(item))
    return [
        Request(
            "/cxs/eventcollector",
            json.dumps({"sessionId": f"session-{person}", "events": events}).encode(),
            {
                **_JSON,
                "Cookie": f"context-profile-id={person}",
                "User-Agent": _VISITOR_AGENT,
            },
            len(events),
        )
        for person, events in persons.items()
    ]


def _unomi_event(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as Unomi has it: what Segment says beside the properties is among them."""
    properties = dict(item.get("properties") or item.get("traits") or {})
    for key in ("event", "name", "messageId", "timestamp"):
        if key in item:
            properties[key] = item[key]
    return {"eventType": item["type"], "scope": SCOPE, "properties": properties}


DIALECTS: Final[Mapping[str, Dialect]] = {"segment": segment, "unomi": unomi}
