"""Writing many records through Bulk API 2.0: a job, its rows as CSV, and three lists of results.

The order of rows in the results is not that of the rows sent: each row is known again by its
external id or id. Rows in none of the three lists count as not processed, and are sent again.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from replicas.crm import limits
from replicas.crm.conversation import Conversation, Pause, Request, json_request, member
from replicas.crm.crm import Edit
from replicas.crm.mapping import ObjectMapping
from replicas.crm.rounds import Row
from replicas.crm.salesforce.answers import check, row_of_error
from replicas.crm.salesforce.settings import SalesforceSettings

_ENDED: Final = ("JobComplete", "Failed", "Aborted")
_NULL: Final = "#N/A"
_POLL_S: Final = 2.0
_LOST: Final = Row("retry", code="UNPROCESSED", message="the job ended without this row")


def send_in_bulk(
    settings: SalesforceSettings, mapped: ObjectMapping, edits: Sequence[Edit]
) -> Conversation[list[Row]]:
    """Send edits of one object and one kind as one job; return a row for each, in order."""
    is_update = bool(edits[0].record_id)
    column = "Id" if is_update else mapped.key
    job = {"object": mapped.name, "operation": "update" if is_update else "upsert"}
    job |= {"lineEnding": "LF", "columnDelimiter": "COMMA"}
    if not is_update:
        job["externalIdFieldName"] = mapped.key
    response = yield json_request("POST", f"{settings.root}/jobs/ingest", job)
    check(response, "a bulk job")
    path = f"{settings.root}/jobs/ingest/{member(response.json(), 'id', str)}"
    response = yield Request(
        "PUT",
        f"{path}/batches",
        headers={"Content-Type": "text/csv"},
        body=rows_as_csv(column, mapped.properties, edits),
    )
    check(response, "the rows of a bulk job")
    response = yield json_request("PATCH", path, {"state": "UploadComplete"})
    check(response, "the end of the rows of a bulk job")
    while member(response.json(), "state", str) not in _ENDED:
        yield Pause(min(_POLL_S, settings.waits.longest_s))
        response = yield Request("GET", path)
        check(response, "asking for a bulk job")
    rows = yield from _results(path, column)
    return [rows.get(edit.record_id or edit.profile_id, _LOST) for edit in edits]


def in_jobs(edits: Sequence[Edit]) -> Iterator[Sequence[Edit]]:
    """Cut edits into parts whose rows fit into one job each."""
    part: list[Edit] = []
    size_bytes = 0
    for edit in edits:
        # Four bytes a character, twice that for quotes: an upper bound that needs no encoding.
        texts = sum(len(str(value)) for value in edit.values.values())
        edit_bytes = 8 * (texts + len(edit.profile_id) + len(edit.values))
        if part and size_bytes + edit_bytes > limits.SALESFORCE_BULK_BYTES_MAX:
            yield part
            part, size_bytes = [], 0
        part.append(edit)
        size_bytes += edit_bytes
    if part:
        yield part


def rows_as_csv(column: str, properties: Sequence[str], edits: Sequence[Edit]) -> bytes:
    """Return the rows of a job; a property that is not to change is left empty."""
    names = [name for name in properties if any(name in edit.values for edit in edits)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column, *names])
    for edit in edits:
        cells = [_cell(edit.values, name) for name in names]
        writer.writerow([edit.record_id or edit.profile_id, *cells])
    return text.getvalue().encode()


def _cell(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    if value is None:
        return _NULL
    return str(value).lower() if type(value) is bool else str(value)


def _results(path: str, column: str) -> Conversation[dict[str, Row]]:
    rows: dict[str, Row] = {}
    for name in ("unprocessedrecords", "failedResults", "successfulResults"):
        response = yield Request("GET", f"{path}/{name}")
        check(response, f"the {name} of a bulk job")
        for line in csv.DictReader(io.StringIO(response.body.decode())):
            rows[line.get(column) or ""] = _row(name, line)
    return rows


def _row(name: str, line: Mapping[str, str]) -> Row:
    if name == "successfulResults":
        return Row("done", record_id=line["sf__Id"])
    if name == "failedResults":
        code, _, message = line["sf__Error"].partition(":")
        return row_of_error(code, message.removesuffix(" --"))
    return _LOST
