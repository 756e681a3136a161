"""Events drawn at random, for profiles that are few, over some weeks."""

import random
from typing import Any

from replicas.cdp.events import Event
from tests.replicas.cdp.traits.plain import DAY_MS

NOW_MS = 1_800_000_000_000


def drawn_events(
    chance: random.Random, count: int, *, first: int = 0, profiles: int = 20, prefix: str = "m"
) -> list[Event]:
    """Return events with message ids of their own."""
    return [_drawn(chance, f"{prefix}{first + number}", profiles) for number in range(count)]


def _drawn(chance: random.Random, message_id: str, profiles: int) -> Event:
    at_ms = NOW_MS - chance.randrange(20 * DAY_MS)
    profile = f"p{int(profiles * chance.random() ** 2)}"
    kind = chance.choice(["track", "track", "track", "page", "identify"])
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}
    name = ""
    if kind == "track":
        name = chance.choice(["Order Completed"] * 4 + ["Order Refunded", "Signed Up"])
        if chance.random() < 0.95:
            sign = -1 if name == "Order Refunded" else 1
            properties["total"] = sign * chance.choice([5, 19.99, 0.1, 250, chance.random() * 100])
        if chance.random() < 0.9:
            properties["item"] = chance.choice(["book", "pen", "ink", "désk", "lamp"])
        properties["currency"] = chance.choice(["EUR", "EUR", "USD"])
    if kind == "page":
        context = {"page": {"path": f"/{chance.randrange(60)}"}}
    return Event(
        kind, message_id, profile, name, properties=properties, context=context,
        timestamp_ms=at_ms, received_at_ms=NOW_MS,
    )  # fmt: skip
