"""Loading very many records from Salesforce by a query job of Bulk API 2.0.

    "" -> a job, whose id is the cursor -> its results, page by page -> "done", from the job's time

The job finds the records as they are while it runs, in one pass of the vendor's own; it keeps its
results for a week, and a locator is a place in them. So a load goes on where it was after any
interruption, and what changed meanwhile is read by the passes behind it. A job that failed, or that
is no longer kept, leads to a load by plain pages.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from replicas.crm.conversation import Conversation, Pause, Request, Response, json_request, member
from replicas.crm.crm import Page
from replicas.crm.errors import CrmAnswerInvalid, CrmRefused
from replicas.crm.forms import ms_from, text_from_ms
from replicas.crm.mapping import ObjectMapping
from replicas.crm.salesforce.answers import check
from replicas.crm.salesforce.rows import columns_of, sighting_of
from replicas.crm.salesforce.settings import SalesforceSettings

PAGES: Final = "load"
_ENDED: Final = ("Failed", "Aborted")
_POLL_S: Final = 2.0
_START: Final = "-"


def begin(settings: SalesforceSettings, mapped: ObjectMapping, total: int) -> Conversation[Page]:
    """Start a job that finds all records, the deleted ones too; return no sightings yet."""
    query = f"SELECT {', '.join(columns_of(mapped))} FROM {mapped.name}"
    body = {"operation": "queryAll", "query": query}
    response = yield json_request("POST", f"{settings.root}/jobs/query", body)
    try:
        check(response, "a query job")
    except CrmRefused:
        return Page([], PAGES, False, total)
    answer = response.json()
    began = text_from_ms(ms_from(member(answer, "createdDate", str)))
    return Page([], f"job {began} {member(answer, 'id', str)} {_START}", False, total)


def results(settings: SalesforceSettings, mapped: ObjectMapping, place: str) -> Conversation[Page]:
    """Wait for a job, and return the next page of its results."""
    began, job, locator = place.split(" ")
    path = f"{settings.root}/jobs/query/{job}"
    if locator == _START and not (yield from _is_complete(settings, path)):
        return Page([], PAGES, False)
    query = {"maxRecords": str(settings.results_max)}
    if locator != _START:
        query["locator"] = locator
    response = yield Request("GET", f"{path}/results", query=query, is_background=True)
    if response.status in (400, 404):
        return Page([], PAGES, False)
    check(response, "the results of a query job")
    sightings = [sighting_of(mapped, row) for row in _rows(response)]
    following = response.headers.get("sforce-locator", "null")
    if following == "null":
        return Page(sightings, f"done {began}", True, is_snapshot=True)
    return Page(sightings, f"job {began} {job} {following}", False, is_snapshot=True)


def _is_complete(settings: SalesforceSettings, path: str) -> Conversation[bool]:
    """Wait for the end of a job; say whether it has results."""
    while True:
        response = yield Request("GET", path, is_background=True)
        if response.status == 404:
            return False
        check(response, "asking for a query job")
        state = member(response.json(), "state", str)
        if state == "JobComplete":
            return True
        if state in _ENDED:
            return False
        yield Pause(min(_POLL_S, settings.waits.longest_s))


def _rows(response: Response) -> Sequence[dict[str, Any]]:
    try:
        text = response.body.decode()
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CrmAnswerInvalid(f"the results of a query job are no CSV: {error}") from None
