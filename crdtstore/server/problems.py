"""Problems: every error of the HTTP API as RFC 9457 ``application/problem+json``."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from crdtstore import errors, person_errors
from crdtstore.collaboration.revisions import RevisionUnknown
from crdtstore.collaboration.trials import TrialsBusy
from crdtstore.engine.conflict_errors import ConflictNotFound
from crdtstore.errors import CrdtstoreError, LimitExceeded, VersionMismatch
from crdtstore.model.shared import CollaborationMissing
from crdtstore.query.refusals import InvalidFilter

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:crdtstore:error:"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS: Final[dict[type[CrdtstoreError], int]] = {
    errors.InvalidInput: 422,
    errors.KindConflict: 409,
    errors.ProfileNotFound: 404,
    errors.PeerNotLinked: 404,
    errors.ReplicaUnknown: 404,
    errors.PersonNotFound: 404,
    ConflictNotFound: 404,
    errors.ProfileErased: 410,
    errors.VersionMismatch: 412,
    errors.CursorExpired: 410,
    TrialsBusy: 503,
    CollaborationMissing: 501,
    RevisionUnknown: 410,
    errors.Refused: 409,
    person_errors.ErasureNotFound: 404,
    person_errors.ReplicaReturning: 503,
    person_errors.LibraryMissing: 501,
    errors.StorageFull: 507,
    errors.StorageError: 503,
    errors.ReplicaClosed: 503,
    errors.ProtocolError: 400,
}

_TITLES: Final[dict[str, str]] = {
    "invalid-input": "The input is wrong",
    "invalid-value": "A value cannot be stored",
    "invalid-name": "A name is not allowed",
    "invalid-operation": "An operation on a field is malformed",
    "invalid-filter": "The filter, order or cursor of a query is malformed",
    "query-too-broad": "Only an index could answer this query",
    "unknown-source": "The schema does not declare this source",
    "kind-conflict": "The operation does not fit the kind of the field",
    "limit-exceeded": "A limit is exceeded",
    "profile-not-found": "The profile is not known here",
    "profile-erased": "The profile was erased",
    "version-mismatch": "The profile has changed",
    "revision-unknown": "What changed since this revision is not known here",
    "cursor-expired": "The change feed no longer reaches back to the cursor",
    "peer-not-linked": "No link leads to the peer",
    "person-not-found": "The identifier leads to no person",
    "person-ambiguous": "Several persons hold the identifier",
    "identifier-suppressed": "The identifier was erased, and may not come back",
    "erasure-not-found": "The erasure is not known here",
    "replica-returning": "The replica was restored, and has not met a peer yet",
    "library-missing": "A library is not installed here",
    "conflict-not-found": "The conflict is not in the log",
    "conflict-settled": "The conflict is settled",
    "merge-refused": "The rules keep the profiles apart",
    "repair-under-way": "A repair runs already",
    "replica-unknown": "The replica is not known here",
    "replica-removed": "This replica was removed",
    "storage-full": "The disk is full",
    "storage-failed": "The disk failed",
    "replica-fenced": "Another history was written under this replica's identity",
    "storage-corrupt": "Stored data is damaged",
    "policy-failed": "A survivorship policy did not choose",
    "replica-closed": "The replica is closed",
    "native-fault": "An edit cannot be made",
    "update-refused": "An update of a Yjs client was refused",
    "collaboration-busy": "Too many updates of Yjs clients wait",
    "collaboration-missing": "Texts and lists need a library that is not installed",
}


class Problem(Exception):
    """An answer that is an error of the HTTP exchange itself, not of the store.

    ``code`` ends the problem's type; ``headers`` go into the answer; ``members`` into its body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def document_of(error: CrdtstoreError | Problem) -> dict[str, Any]:
    """Return the body of the problem that an error is."""
    if isinstance(error, Problem):
        status, title, detail = error.status, error.title, error.detail
        members = error.members
    else:
        status, title = status_of(error), _TITLES.get(error.code, _title_of(error.code))
        detail, members = str(error), _members_of(error)
    return {
        "type": TYPE_PREFIX + error.code,
        "title": title,
        "status": status,
        "detail": _printable(detail),
        **{name: _printable(v) if isinstance(v, str) else v for name, v in members.items()},
    }


def status_of(error: CrdtstoreError) -> int:
    """Return the HTTP status of an error of the store."""
    for kind in type(error).__mro__:
        status = _STATUS.get(kind)
        if status is not None:
            return status
    return 500


def response_of(error: CrdtstoreError | Problem) -> web.Response:
    """Return the answer that tells of an error."""
    document = document_of(error)
    headers = error.headers if isinstance(error, Problem) else {}
    return web.Response(
        status=document["status"],
        body=json.dumps(document, ensure_ascii=False).encode(),
        content_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the errors of handlers, and aiohttp's own, into problems."""
    try:
        return await handler(request)
    except (CrdtstoreError, Problem) as error:
        return response_of(error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return response_of(
            Problem(
                405,
                "method-not-allowed",
                "The method is not allowed here",
                f"{request.method} is not allowed here; allowed: {allowed}",
                headers={hdrs.ALLOW: allowed},
            )
        )
    except web.HTTPNotFound:
        detail = "there is nothing at this path; /openapi.json lists what there is"
        return response_of(Problem(404, "path-not-found", "The path is not known", detail))


def bad_request(code: str, title: str, detail: str) -> Problem:
    """Return the problem of a request that cannot be understood."""
    return Problem(400, code, title, detail)


def _members_of(error: CrdtstoreError) -> dict[str, Any]:
    if isinstance(error, LimitExceeded):
        return {
            "subject": error.subject,
            "size": error.size,
            "limit": error.limit,
            "unit": error.unit,
        }
    if isinstance(error, RevisionUnknown):
        text = error.text
        return {"revision": text.revision, "delta": text.delta, "kept": error.is_kept}
    if isinstance(error, VersionMismatch):
        return {"expected": error.expected, "actual": error.actual}
    if isinstance(error, InvalidFilter):
        return {"position": error.position}
    return {}


def _title_of(code: str) -> str:
    return code.replace("-", " ").capitalize()


def _printable(text: str) -> str:
    """Return a text that UTF-8 can carry: what was refused may be quoted, lone surrogates too."""
    return text.encode("utf-8", "backslashreplace").decode()
