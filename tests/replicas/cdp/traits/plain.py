"""A plain recomputation of traits over a list of events: slow, and with no code of the service."""

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Any

from replicas.cdp.events import Event

DAY_MS = 86_400_000

TOML = """
[traits.orders]
event = "Order Completed"
fold = "count"

[traits.spent]
event = "Order Completed"
fold = "sum"
property = "total"
decimals = 2
unit = "EUR"

[traits.spent_mean]
event = "Order Completed"
fold = "average"
property = "total"
decimals = 2

[traits.cheapest]
event = "Order Completed"
fold = "minimum"
property = "total"
decimals = 2

[traits.dearest]
event = "Order Completed"
fold = "maximum"
property = "total"
decimals = 2
where = { currency = "EUR", total = { ge = 5 } }

[traits.first_item]
event = "Order Completed"
fold = "first"
property = "item"

[traits.last_item]
event = "Order Completed"
fold = "last"
property = "item"

[traits.usual_item]
event = "Order Completed"
fold = "most_frequent"
property = "item"

[traits.items]
event = "Order Completed"
fold = "unique_list"
property = "item"

[traits.pages_seen]
kind = "page"
fold = "unique_count"
property = "context.page.path"

[traits.order_sizes]
event = "Order Completed"
fold = "quantiles"
property = "total"
ranks = [50]

[traits.visits]
kind = "page"
fold = "sessions"
gap = "30m"

[traits.orders_7d]
event = "Order Completed"
fold = "count"
window = "7d"
bucket = "1d"

[traits.spent_today]
event = ["Order Completed", "Order Refunded"]
fold = "sum"
property = "total"
decimals = 2
window = "1d"
bucket = "1d"

[traits.active]
fold = "count"
"""


def traits_of(events: Iterable[Event], now_ms: int) -> dict[str, Any]:
    """Return the traits of one profile, from its events."""
    tracks = [event for event in events if event.kind == "track"]
    pages = [event for event in events if event.kind == "page"]
    orders = [event for event in tracks if event.name == "Order Completed"]
    traits: dict[str, Any] = {}
    if tracks:
        traits["active"] = len(tracks)
    if orders:
        traits |= _of_orders(orders)
    if pages:
        traits["pages_seen"] = len({event.context["page"]["path"] for event in pages})
        traits["visits"] = _visits(sorted(event.timestamp_ms for event in pages))
    today = now_ms // DAY_MS
    week = [event for event in orders if event.timestamp_ms // DAY_MS > today - 7]
    if week:
        traits["orders_7d"] = len(week)
    paid = [e for e in tracks if e.name in ("Order Completed", "Order Refunded")]
    paid = [e for e in paid if e.timestamp_ms // DAY_MS > today - 1 and "total" in e.properties]
    if paid:
        traits["spent_today"] = sum(cents(event) for event in paid) / 100
    return traits


def cents(event: Event) -> int:
    """Return the total of an order in cents."""
    return round(event.properties["total"] * 100)


def _of_orders(orders: list[Event]) -> dict[str, Any]:
    traits: dict[str, Any] = {"orders": len(orders)}
    totals = [cents(event) for event in orders if "total" in event.properties]
    if totals:
        traits["spent"] = sum(totals) / 100
        traits["spent_mean"] = sum(totals) / (100 * len(totals))
        traits["cheapest"] = min(totals) / 100
        traits["order_sizes"] = statistics.median_low([each / 100 for each in totals])
    dear = [
        cents(event)
        for event in orders
        if event.properties.get("currency") == "EUR" and event.properties.get("total", 0) >= 5
    ]
    if dear:
        traits["dearest"] = max(dear) / 100
    in_time = sorted(orders, key=lambda event: (event.timestamp_ms, event.message_id))
    items = [e.properties["item"] for e in in_time if "item" in e.properties]
    if items:
        traits["first_item"], traits["last_item"] = items[0], items[-1]
        traits["items"] = sorted(set(items))
        often = Counter(items)
        most = max(often.values())
        if most >= 2:
            traits["usual_item"] = min(item for item, count in often.items() if count == most)
    return traits


def _visits(times: list[int]) -> dict[str, int]:
    sessions: list[list[int]] = []
    for at_ms in times:
        if not sessions or at_ms - sessions[-1][-1] > 30 * 60_000:
            sessions.append([])
        sessions[-1].append(at_ms)
    return {
        "sessions": len(sessions),
        "events": len(times),
        "duration_ms": sum(session[-1] - session[0] for session in sessions),
        "last_started_ms": sessions[-1][0],
        "last_ended_ms": sessions[-1][-1],
    }


def check_traits(got: dict[str, Any], events: Iterable[Event], now_ms: int) -> None:
    """Compare traits with those of a plain recomputation: all exactly, but for the sketches."""
    expected = traits_of(list(events), now_ms)
    got = dict(got)
    sizes, median = got.pop("order_sizes", None), expected.pop("order_sizes", None)
    assert got == expected
    assert (sizes is None) == (median is None)
    if median is not None:
        assert abs(sizes["p50"] - median) <= 0.0101 * abs(median)
