"""What HubSpot's answers mean: whole ones, and the rows of a batch by their trace ids."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from replicas.crm.conversation import Response, Verdict
from replicas.crm.crm import Edit
from replicas.crm.errors import CrmRefused
from replicas.crm.rounds import Row

RETRY: Final = frozenset({"RATE_LIMITS", "TIMEOUT", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE"})
CONFLICT: Final = frozenset({"CONFLICT", "OBJECT_ALREADY_EXISTS", "OBJECT_NOT_FOUND"})
_DAY_PAUSE_S: Final = 600.0
_LOST: Final = Row("retry", code="UNPROCESSED", message="the answer tells nothing of this row")


def judge(response: Response) -> Verdict:
    """Say what a response means for the exchange as a whole."""
    usage = _usage(response.headers)
    if response.status == 401:
        return Verdict("log_in", reason="the token is not taken", usage=usage)
    if response.status == 429:
        return Verdict("pause", _pause_s(response), "its limit of calls is reached", usage)
    if response.status >= 500 or response.status in (408, 423, 477):
        return Verdict("retry", reason=f"status {response.status}", usage=usage)
    return Verdict("pass", usage=usage)


def check(response: Response, what: str) -> None:
    """Raise CrmRefused if a request was refused as a whole."""
    if response.status in (200, 201, 204, 207):
        return
    category, message = str(response.status), ""
    if response.body[:1] == b"{":
        answer = response.json()
        category = str(answer.get("category", category))
        message = str(answer.get("message", ""))
    raise CrmRefused(what, response.status, category, message)


def rows_of(response: Response, edits: Sequence[Edit], traces: Sequence[str]) -> list[Row]:
    """Return what was said of each row of a batch; ``traces`` are the rows' own trace ids.

    Errors name the rows by trace id, and if not, by the ids that were sent.
    """
    check(response, "a batch")
    answer = response.json()
    rows: dict[str, Row] = {}
    ids = {
        edit.record_id or edit.profile_id: trace for edit, trace in zip(edits, traces, strict=True)
    }
    for error in answer.get("errors") or []:
        context = error.get("context") or {}
        named = context.get("objectWriteTraceId") or [
            ids[one] for one in map(str, context.get("ids") or ()) if one in ids
        ]
        for trace in named:
            rows[trace] = _row(error)
    for result in answer.get("results") or []:
        trace = result.get("objectWriteTraceId") or ids.get(str(result.get("id")))
        if trace is not None:
            rows[trace] = Row("done", record_id=str(result.get("id", "")))
    return [rows.get(trace, _LOST) for trace in traces]


def _row(error: Mapping[str, Any]) -> Row:
    category = str(error.get("category", "UNKNOWN"))
    message = str(error.get("message", ""))
    details = [str(one.get("message", "")) for one in error.get("errors") or []]
    text = "; ".join([message, *details])
    others = tuple(map(str, (error.get("context") or {}).get("existingObjectId") or ()))
    if category in RETRY:
        return Row("retry", code=category, message=text)
    if category in CONFLICT:
        return Row("conflict", code=category, message=text, other_ids=others)
    return Row("permanent", code=category, message=text)


def _pause_s(response: Response) -> float | None:
    wait = response.headers.get("retry-after", "")
    if wait.isdigit():
        return float(wait)
    policy = ""
    if response.body[:1] == b"{":
        policy = str(response.json().get("policyName", ""))
    if policy == "DAILY":
        return _DAY_PAUSE_S
    interval = response.headers.get("x-hubspot-ratelimit-interval-milliseconds", "")
    return int(interval) / 1000 if interval.isdigit() else None


def _usage(headers: Mapping[str, str]) -> tuple[int, int] | None:
    total = headers.get("x-hubspot-ratelimit-daily", "")
    left = headers.get("x-hubspot-ratelimit-daily-remaining", "")
    if not (total.isdigit() and left.isdigit()):
        return None
    return int(total) - int(left), int(total)
