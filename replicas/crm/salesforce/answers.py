"""What Salesforce's answers mean: its error codes by class, and whole answers.

The classes are those of the table "error classes" of our notes on the vendor; its codes are
documented in the Object Reference, under StatusCode.
"""

from typing import Any, Final, Literal

from replicas.crm.conversation import Response, Verdict
from replicas.crm.errors import CrmAnswerInvalid, CrmRefused
from replicas.crm.rounds import Row

ErrorClass = Literal["retry", "pause", "rolled_back", "conflict", "permanent"]

RETRY: Final = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "SERVER_UNAVAILABLE",
        "QUERY_TIMEOUT",
        "REQUEST_RUNNING_TOO_LONG",
        "INVALID_SESSION_ID",
    }
)
PAUSE: Final = frozenset({"REQUEST_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS"})
ROLLED_BACK: Final = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
CONFLICT: Final = frozenset(
    {"DUPLICATES_DETECTED", "DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID", "ENTITY_IS_DELETED"}
)


def class_of(code: str) -> ErrorClass:
    """Return the class of an error code; what is not known will not help itself: permanent."""
    if code in RETRY:
        return "retry"
    if code in PAUSE or code.startswith(("CONCURRENT", "ConcurrentRequests", "ConcurrentPerOrg")):
        return "pause"
    if code == ROLLED_BACK:
        return "rolled_back"
    return "conflict" if code in CONFLICT else "permanent"


def judge(response: Response) -> Verdict:
    """Say what a response means for the exchange as a whole."""
    usage = _usage(response.headers.get("sforce-limit-info", ""))
    codes = _codes(response)
    if response.status == 401:
        return Verdict("log_in", reason="the session has ended", usage=usage)
    if response.status == 429 or any(class_of(code) == "pause" for code in codes):
        wait = response.headers.get("retry-after", "")
        wait_s = float(wait) if wait.replace(".", "", 1).isdigit() else None
        return Verdict("pause", wait_s, f"status {response.status} {' '.join(codes)}", usage)
    if response.status >= 500:
        return Verdict("retry", reason=f"status {response.status} {' '.join(codes)}", usage=usage)
    return Verdict("pass", usage=usage)


def rows_of(response: Response, count: int, what: str) -> list[Row]:
    """Return what was said of each row of a Collections request; raises CrmRefused."""
    check(response, what)
    answer = response.json()
    if not isinstance(answer, list) or len(answer) != count:
        raise CrmAnswerInvalid(f"{what}: {count} rows were sent, and not as many results came")
    return [_row(result) for result in answer]


def check(response: Response, what: str) -> None:
    """Raise CrmRefused if a request was refused as a whole."""
    if response.status in (200, 201, 202, 204):
        return
    code, message = str(response.status), ""
    if response.status == 300:
        code, message = "DUPLICATE_EXTERNAL_ID", "several records have this external id"
    elif response.body[:1] in (b"[", b"{"):
        answer = response.json()
        first = answer[0] if isinstance(answer, list) and answer else answer
        if isinstance(first, dict):
            code, message = str(first.get("errorCode", code)), str(first.get("message", ""))
    raise CrmRefused(what, response.status, code, message)


def row_of_error(code: str, message: str, other_ids: tuple[str, ...] = ()) -> Row:
    """Return the row that an error code makes."""
    return Row(class_of(code), code=code, message=message, other_ids=other_ids)


def _row(result: Any) -> Row:
    if not isinstance(result, dict) or type(result.get("success")) is not bool:
        raise CrmAnswerInvalid("a result does not say whether its row succeeded")
    if result["success"]:
        return Row("done", record_id=str(result.get("id") or ""))
    errors = result.get("errors") or [{}]
    # Of several errors the one decides that needs the most attention.
    order = ("permanent", "conflict", "pause", "retry", "rolled_back")
    error = min(errors, key=lambda one: order.index(class_of(str(one.get("statusCode", "")))))
    fields = ", ".join(map(str, error.get("fields") or ()))
    message = str(error.get("message", "")) + (f" ({fields})" if fields else "")
    others = tuple(_ids_in(error))
    return row_of_error(str(error.get("statusCode", "UNKNOWN")), message, others)


def _ids_in(error: dict[str, Any]) -> list[str]:
    """Return the ids of the records that a duplicate rule found."""
    found = error.get("extendedErrorDetails") or error.get("duplicateResult") or {}
    matches = found.get("matchResults", []) if isinstance(found, dict) else []
    return [
        str(record.get("record", {}).get("Id", ""))
        for match in matches
        for record in match.get("matchRecords", [])
    ]


def _codes(response: Response) -> list[str]:
    if response.status < 400 or response.body[:1] != b"[":
        return []
    answer = response.json()
    return [str(one.get("errorCode", "")) for one in answer if isinstance(one, dict)]


def _usage(header: str) -> tuple[int, int] | None:
    """Return used and total of "api-usage=18/5000"."""
    for part in header.split(";"):
        name, _, numbers = part.strip().partition("=")
        used, slash, total = numbers.partition("/")
        if name == "api-usage" and slash and used.isdigit() and total.split("(")[0].isdigit():
            return int(used), int(total.split("(")[0])
    return None
