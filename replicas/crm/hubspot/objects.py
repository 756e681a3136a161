"""Reading and writing HubSpot's records.

All records are read through the list of an object, in the order of their ids, then the archived
ones; later changes through the search by their last modification, and each record found is read
with the history of its properties, which tells who changed what, and when, also where a value was
overwritten since.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from replicas.crm.conversation import Conversation, Request, json_request, member
from replicas.crm.crm import Edit, Page, RecordKey, Sighting
from replicas.crm.forms import ms_from
from replicas.crm.hubspot.answers import check, rows_of
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.hubspot.webhooks import is_own
from replicas.crm.mapping import ObjectMapping
from replicas.crm.rounds import Row


def pull(settings: HubSpotSettings, mapped: ObjectMapping, cursor: str) -> Conversation[Page]:
    """Read the next page of records.

    The cursor is "load" or "archived" with a moment and the place in the list, or "pass" or "done"
    with the moment from which to search, and the place among records of that very moment.
    """
    kind, *places = cursor.split(" ")
    if kind == "":
        total, since_ms = yield from _latest(settings, mapped)
        page = yield from _list(settings, mapped, since_ms, "", is_archived=False)
        return Page(page.sightings, page.cursor, page.is_last, total)
    since_ms, place = int(places[0]), places[1] if len(places) > 1 else ""
    if kind in ("load", "archived"):
        return (yield from _list(settings, mapped, since_ms, place, is_archived=kind == "archived"))
    if kind == "done":
        since_ms = max(0, since_ms - int(settings.overlap_s * 1000))
    return (yield from _search_page(settings, mapped, since_ms, int(place or 0)))


def _latest(settings: HubSpotSettings, mapped: ObjectMapping) -> Conversation[tuple[int, int]]:
    """Return how many records there are, and when the last one was modified."""
    name = _modified(mapped)
    sort = {"propertyName": name, "direction": "DESCENDING"}
    body = {"filterGroups": [], "sorts": [sort], "properties": [name], "limit": 1}
    response = yield json_request("POST", f"{settings.path(mapped.name)}/search", body)
    check(response, "a search")
    answer = response.json()
    results = member(answer, "results", list)
    latest_ms = ms_from(results[0]["properties"][name]) if results else 0
    return member(answer, "total", int), latest_ms


def _list(
    settings: HubSpotSettings,
    mapped: ObjectMapping,
    since_ms: int,
    after: str,
    *,
    is_archived: bool,
) -> Conversation[Page]:
    query = {
        "limit": str(settings.batch_max),
        "properties": ",".join(_properties(mapped)),
        "archived": "true" if is_archived else "false",
    }
    if after:
        query["after"] = after
    response = yield Request("GET", settings.path(mapped.name), query=query, is_background=True)
    check(response, "a list")
    answer = response.json()
    sightings = [_state(mapped, result) for result in member(answer, "results", list)]
    following = ((answer.get("paging") or {}).get("next") or {}).get("after")
    kind = "archived" if is_archived else "load"
    if following:
        return Page(sightings, f"{kind} {since_ms} {following}", False)
    if not is_archived:
        return Page(sightings, f"archived {since_ms}", False)
    return Page(sightings, f"done {since_ms}", True)


def _search_page(
    settings: HubSpotSettings, mapped: ObjectMapping, since_ms: int, place: int
) -> Conversation[Page]:
    name = _modified(mapped)
    above = {"propertyName": name, "operator": "GTE", "value": str(since_ms)}
    body: dict[str, Any] = {
        "filterGroups": [{"filters": [above]}],
        "sorts": [{"propertyName": name, "direction": "ASCENDING"}],
        "properties": [name],
        "limit": settings.batch_max,
    }
    if place:
        body["after"] = str(place)
    response = yield json_request("POST", f"{settings.path(mapped.name)}/search", body)
    check(response, "a search")
    found = member(response.json(), "results", list)
    if not found:
        return Page([], f"done {since_ms}", True)
    sightings = yield from read(settings, mapped, [str(one["id"]) for one in found])
    last_ms = ms_from(found[-1]["properties"][name])
    if len(found) < settings.batch_max:
        return Page(sightings, f"done {last_ms}", True)
    # The next page begins at the last moment of this one: records may move while we read.
    stays = last_ms <= since_ms and place + 2 * settings.batch_max <= settings.search_max
    following = place + settings.batch_max if stays else 0
    since_ms = max(last_ms, since_ms) if stays or last_ms > since_ms else since_ms + 1
    return Page(sightings, f"pass {since_ms} {following}", False)


def read(
    settings: HubSpotSettings, mapped: ObjectMapping, ids: Sequence[str]
) -> Conversation[list[Sighting]]:
    """Read records by id, with the history of their properties; then those that are archived."""
    sightings, found = yield from _read(settings, mapped, ids, is_archived=False)
    missing = [one for one in ids if one not in found]
    if missing:
        archived, also_found = yield from _read(settings, mapped, missing, is_archived=True)
        sightings += archived
        missing = [one for one in missing if one not in also_found]
    return [*sightings, *(Sighting("vanished", RecordKey(mapped.name, one)) for one in missing)]


def _read(
    settings: HubSpotSettings, mapped: ObjectMapping, ids: Sequence[str], *, is_archived: bool
) -> Conversation[tuple[list[Sighting], set[str]]]:
    """Return what is told of records, living or archived ones, and the ids of those found."""
    names = _properties(mapped)
    body = {
        "inputs": [{"id": one} for one in ids],
        "properties": names,
        "propertiesWithHistory": list(mapped.properties),
    }
    path = f"{settings.path(mapped.name)}/batch/read"
    response = yield json_request("POST", path + ("?archived=true" if is_archived else ""), body)
    check(response, "reading a batch")
    sightings: list[Sighting] = []
    found: set[str] = set()
    for result in member(response.json(), "results", list):
        found.add(str(result["id"]))
        if not result.get("archived"):
            sightings += _history(settings, mapped, result)
        sightings.append(_state(mapped, result))
    return sightings, found


def _history(
    settings: HubSpotSettings, mapped: ObjectMapping, result: dict[str, Any]
) -> list[Sighting]:
    """Return the changes that the history of a record tells of, oldest first."""
    key = RecordKey(mapped.name, str(result["id"]))
    changes = [
        Sighting(
            "change",
            key,
            ms_from(entry["timestamp"]),
            {name: entry.get("value")},
            is_own=is_own(settings, entry),
        )
        for name, entries in (result.get("propertiesWithHistory") or {}).items()
        for entry in entries
    ]
    return sorted(changes, key=lambda change: change.at_ms)


def _state(mapped: ObjectMapping, result: dict[str, Any]) -> Sighting:
    key = RecordKey(mapped.name, str(result["id"]))
    if result.get("archived"):
        return Sighting("deleted", key, ms_from(result.get("archivedAt") or result["updatedAt"]))
    properties = member(result, "properties", dict)
    values = {name: properties.get(name) for name in (mapped.key, *mapped.properties)}
    times_ms = {
        name: ms_from(entries[0]["timestamp"])
        for name, entries in (result.get("propertiesWithHistory") or {}).items()
        if entries
    }
    return Sighting("state", key, ms_from(result["updatedAt"]), values, times_ms=times_ms)


def send(settings: HubSpotSettings, edits: Sequence[Edit]) -> Conversation[list[Row]]:
    """Send edits; return a row for each, in order."""
    rows: dict[int, Row] = {}
    mapping = settings.mapping.by_name
    for name in dict.fromkeys(edit.object for edit in edits):
        mine = [edit for edit in edits if edit.object == name]
        for edit in (one for one in mine if one.is_deletion):
            rows[id(edit)] = yield from _erase(settings, edit)
        for is_known, verb in ((True, "update"), (False, "upsert")):
            batch = [e for e in mine if not e.is_deletion and bool(e.record_id) == is_known]
            if batch:
                said = yield from _write(settings, mapping[name], batch, verb)
                rows.update((id(edit), row) for edit, row in zip(batch, said, strict=True))
    return [rows[id(edit)] for edit in edits]


def _write(
    settings: HubSpotSettings, mapped: ObjectMapping, edits: Sequence[Edit], verb: str
) -> Conversation[list[Row]]:
    traces = [_trace(edit) for edit in edits]
    inputs: list[dict[str, Any]] = []
    for edit, trace in zip(edits, traces, strict=True):
        values = {
            name: "" if value is None else _word(value) for name, value in edit.values.items()
        }
        one: dict[str, Any] = {"objectWriteTraceId": trace, "properties": values}
        if verb == "update":
            one["id"] = edit.record_id
        else:
            one |= {"id": edit.profile_id, "idProperty": mapped.key}
            values[mapped.key] = edit.profile_id
        inputs.append(one)
    path = f"{settings.path(mapped.name)}/batch/{verb}"
    response = yield json_request("POST", path, {"inputs": inputs})
    return rows_of(response, edits, traces)


def _erase(settings: HubSpotSettings, edit: Edit) -> Conversation[Row]:
    path = f"{settings.path(edit.object)}/gdpr-delete"
    response = yield json_request("POST", path, {"objectId": edit.record_id})
    if response.status != 404:
        check(response, "an erasure")
    return Row("done", record_id=edit.record_id)


def _trace(edit: Edit) -> str:
    """Return the id by which a row is known again: the same whenever the same row is sent."""
    text = "\0".join((edit.object, edit.profile_id, edit.record_id))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _word(value: Any) -> str:
    """Return a value as HubSpot's properties have it: a text."""
    return str(value).lower() if type(value) is bool else str(value)


def _modified(mapped: ObjectMapping) -> str:
    return "lastmodifieddate" if mapped.name == "contacts" else "hs_lastmodifieddate"


def _properties(mapped: ObjectMapping) -> list[str]:
    return list(dict.fromkeys((mapped.key, *mapped.properties, _modified(mapped))))
