"""Webhooks: from HubSpot's events to sightings.

Events may come twice, ten times, and in any order: what they mean is decided by their own times,
record by record. An event of an unknown kind in a signed request is passed over: refusing it would
have the whole request sent again for a day.
"""

import json
from typing import Any, Final

from replicas.crm import limits
from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.errors import WebhookRefused
from replicas.crm.hubspot.settings import HubSpotSettings

_OBJECTS: Final = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "line_item": "line_items",
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "0-7": "products",
    "0-8": "line_items",
}
_INTEGRATION: Final = "INTEGRATION"


def sightings_of(settings: HubSpotSettings, body: bytes) -> list[Sighting]:
    """Return what the events of a request mean, oldest first; raises WebhookRefused."""
    try:
        events = json.loads(body)
    except ValueError:
        raise WebhookRefused("the request is not JSON") from None
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise WebhookRefused("the request is not a list of events")
    if len(events) > limits.HUBSPOT_WEBHOOK_EVENTS_MAX:
        raise WebhookRefused(f"the request has {len(events):,} events, which HubSpot never sends")
    sightings = [sighting for event in events for sighting in _sightings(settings, event)]
    return sorted(sightings, key=lambda sighting: sighting.at_ms)


def _sightings(settings: HubSpotSettings, event: dict[str, Any]) -> list[Sighting]:
    kind = str(event.get("subscriptionType", ""))
    subject, _, action = kind.rpartition(".")
    if subject == "object":
        subject = str(event.get("objectTypeId", ""))
    name = _OBJECTS.get(subject, subject)
    at_ms = event.get("occurredAt")
    record_id = event.get("objectId")
    is_known = name in settings.mapping.by_name
    if not is_known or type(at_ms) is not int or type(record_id) is not int:
        return []
    key = RecordKey(name, str(record_id))
    if action == "propertyChange":
        values = {str(event.get("propertyName")): event.get("propertyValue")}
        return [Sighting("change", key, at_ms, values, is_own=is_own(settings, event))]
    if action in ("creation", "restore"):
        return [Sighting("unclear", key, at_ms)]
    if action == "deletion":
        return [Sighting("deleted", key, at_ms)]
    if action == "privacyDeletion":
        return [Sighting("erased", key, at_ms)]
    if action == "merge":
        return _merged(name, event, at_ms)
    return []


def is_own(settings: HubSpotSettings, event: dict[str, Any]) -> bool:
    """Say whether this service made a change: an event, or an entry of a property's history."""
    source = event.get("changeSource", event.get("sourceType"))
    return source == _INTEGRATION and str(event.get("sourceId", "")) == settings.app_id


def _merged(name: str, event: dict[str, Any], at_ms: int) -> list[Sighting]:
    merged = [str(one) for one in event.get("mergedObjectIds", [])]
    primary = str(event.get("primaryObjectId", event.get("objectId", "")))
    into = str(event.get("newObjectId") or primary)
    gone = [one for one in dict.fromkeys((*merged, primary)) if one != into]
    return [
        *(Sighting("deleted", RecordKey(name, one), at_ms, into=into) for one in gone),
        Sighting("unclear", RecordKey(name, into), at_ms),
    ]
