"""Reading Salesforce's records: whole, since a moment, or by id.

Pages are cut by (SystemModstamp, Id), not by the vendor's query locators, so a load goes on after
any interruption where it was. Each pass begins some time before the end of the one before: records
of a long transaction become visible later than their time says.
"""

from collections.abc import Sequence
from typing import Any

from replicas.crm.conversation import Conversation, Request, member
from replicas.crm.crm import Page, RecordKey, Sighting
from replicas.crm.forms import ms_from, text_from_ms
from replicas.crm.mapping import ObjectMapping
from replicas.crm.salesforce import loads
from replicas.crm.salesforce.answers import check
from replicas.crm.salesforce.duplicates import quoted
from replicas.crm.salesforce.rows import columns_of, sighting_of
from replicas.crm.salesforce.settings import SalesforceSettings


def pull(settings: SalesforceSettings, mapped: ObjectMapping, cursor: str) -> Conversation[Page]:
    """Read the next page of records, the deleted ones too.

    The cursor is "load" or "pass" with the place of the last record, within a pass; or "done" with
    the time of the last record of the pass before; or "job" with a job and the place in it.
    """
    kind, _, place = cursor.partition(" ")
    is_load = kind in ("", "load")
    total = None
    if kind == "job":
        return (yield from loads.results(settings, mapped, place))
    if not cursor:
        total = yield from _count(settings, mapped)
        if total >= settings.bulk_min:
            return (yield from loads.begin(settings, mapped, total))
    where = ""
    if kind == "done":
        since_ms = ms_from(place) - int(settings.overlap_s * 1000)
        where = f" WHERE SystemModstamp >= {text_from_ms(since_ms)}"
    elif place:
        moment, _, last_id = place.partition(" ")
        where = (
            f" WHERE SystemModstamp > {moment} "
            f"OR (SystemModstamp = {moment} AND Id > '{quoted(last_id)}')"
        )
    text = (
        f"SELECT {', '.join(columns_of(mapped))} FROM {mapped.name}{where} "
        f"ORDER BY SystemModstamp, Id LIMIT {settings.page_max}"
    )
    records = yield from _query(settings, text, is_background=is_load)
    sightings = [sighting_of(mapped, record) for record in records]
    if not records:
        return Page([], _done(place), True, total)
    last = text_from_ms(ms_from(records[-1]["SystemModstamp"]))
    if len(records) < settings.page_max:
        return Page(sightings, f"done {last}", True, total)
    return Page(
        sightings, f"{'load' if is_load else 'pass'} {last} {records[-1]['Id']}", False, total
    )


def _done(place: str) -> str:
    moment = place.partition(" ")[0]
    return f"done {moment}" if moment else "done 1970-01-01T00:00:00.000Z"


def read(
    settings: SalesforceSettings, mapped: ObjectMapping, ids: Sequence[str]
) -> Conversation[list[Sighting]]:
    """Read records by id; those that are in no recycle bin either have vanished."""
    names = ", ".join(f"'{quoted(one)}'" for one in ids)
    text = f"SELECT {', '.join(columns_of(mapped))} FROM {mapped.name} WHERE Id IN ({names})"
    records = yield from _query(settings, text, is_background=False)
    found = {record["Id"] for record in records}
    gone = [Sighting("vanished", RecordKey(mapped.name, one)) for one in ids if one not in found]
    return [*(sighting_of(mapped, record) for record in records), *gone]


def _count(settings: SalesforceSettings, mapped: ObjectMapping) -> Conversation[int]:
    response = yield Request(
        "GET", f"{settings.root}/query", query={"q": f"SELECT COUNT() FROM {mapped.name}"}
    )
    check(response, f"counting {mapped.name}")
    return member(response.json(), "totalSize", int)


def _query(
    settings: SalesforceSettings, text: str, *, is_background: bool
) -> Conversation[list[dict[str, Any]]]:
    """Run a query over living and deleted records; the vendor may cut its answer into several."""
    path, query = f"{settings.root}/queryAll", {"q": text}
    records: list[dict[str, Any]] = []
    while True:
        response = yield Request("GET", path, query=query, is_background=is_background)
        check(response, "a query")
        answer = response.json()
        records += member(answer, "records", list)
        if member(answer, "done", bool):
            return records
        path, query = member(answer, "nextRecordsUrl", str), {}
