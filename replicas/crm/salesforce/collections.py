"""Writing through sObject Collections: up to 200 records a request, each with its own result.

Records that are known are updated by id, new ones upserted by external id, so that a request whose
answer was lost can be sent again. Types are sorted: mixed ones are cut into runs, of which a
request has at most ten.
"""

from collections.abc import Sequence
from typing import Any, Final

from replicas.crm.conversation import Conversation, Request, json_request
from replicas.crm.crm import Edit
from replicas.crm.mapping import ObjectMapping
from replicas.crm.rounds import Row
from replicas.crm.salesforce.answers import rows_of
from replicas.crm.salesforce.settings import SalesforceSettings

RUNS_PER_REQUEST: Final = 10


def sorted_edits(settings: SalesforceSettings, edits: Sequence[Edit]) -> list[Edit]:
    """Return edits by type, parent and id: rows that lock one parent are in one request."""

    def order(edit: Edit) -> tuple[bool, bool, str, str, str]:
        parent = settings.mapping.by_name[edit.object].parent
        return (
            edit.is_deletion,
            not edit.record_id,
            edit.object,
            str(edit.values.get(parent, "")) if parent else "",
            edit.record_id or edit.profile_id,
        )

    return sorted(edits, key=order)


def send(settings: SalesforceSettings, edits: Sequence[Edit]) -> Conversation[list[Row]]:
    """Send edits that are sorted; return a row for each, in order."""
    rows: list[Row] = []
    at = 0
    while at < len(edits):
        run = _run(edits, at)
        if run[0].is_deletion:
            rows += yield from _delete(settings, run)
        elif run[0].record_id:
            rows += yield from _update(settings, run)
        else:
            rows += yield from _upsert(settings, settings.mapping.by_name[run[0].object], run)
        at += len(run)
    return rows


def _run(edits: Sequence[Edit], at: int) -> Sequence[Edit]:
    """Return the edits from a place on that go into one request."""
    first = edits[at]
    runs, last, end = 1, first.object, at
    while end < len(edits) and _is_alike(edits[end], first):
        if edits[end].object != last:
            runs, last = runs + 1, edits[end].object
            if runs > RUNS_PER_REQUEST:
                break
        end += 1
    return edits[at:end]


def _is_alike(edit: Edit, first: Edit) -> bool:
    """Say whether two edits may be in one request: upserts only if they are of one type."""
    if edit.is_deletion != first.is_deletion or bool(edit.record_id) != bool(first.record_id):
        return False
    return bool(first.record_id) or edit.object == first.object


def _update(settings: SalesforceSettings, edits: Sequence[Edit]) -> Conversation[list[Row]]:
    records = [{**_typed(edit), "id": edit.record_id, **edit.values} for edit in edits]
    response = yield _request(settings, "", records)
    return rows_of(response, len(edits), "an update")


def _upsert(
    settings: SalesforceSettings, mapped: ObjectMapping, edits: Sequence[Edit]
) -> Conversation[list[Row]]:
    records = [{**_typed(edit), mapped.key: edit.profile_id, **edit.values} for edit in edits]
    response = yield _request(settings, f"/{mapped.name}/{mapped.key}", records)
    return rows_of(response, len(edits), "an upsert")


def _delete(settings: SalesforceSettings, edits: Sequence[Edit]) -> Conversation[list[Row]]:
    response = yield Request(
        "DELETE",
        f"{settings.root}/composite/sobjects",
        query={"ids": ",".join(edit.record_id for edit in edits), "allOrNone": "false"},
    )
    rows = rows_of(response, len(edits), "a deletion")
    return [Row("done") if row.code == "ENTITY_IS_DELETED" else row for row in rows]


def _typed(edit: Edit) -> dict[str, Any]:
    return {"attributes": {"type": edit.object}}


def _request(settings: SalesforceSettings, where: str, records: list[dict[str, Any]]) -> Request:
    body = {"allOrNone": False, "records": records}
    return json_request("PATCH", f"{settings.root}/composite/sobjects{where}", body)
