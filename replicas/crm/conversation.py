"""Conversations with a CRM: generators of requests that are fed with the responses.

    def count(name: str) -> Conversation[int]:
        response = yield Request("GET", f"/{name}/count")
        return int(response.json()["count"])

A conversation knows nothing of sockets, clocks and tokens, so a test runs it from a list of
responses. ``replicas.crm.driver`` runs it over HTTP. Whatever may pass by waiting never reaches it:
the driver repeats the request, as the vendor's ``judge`` says.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from replicas.crm.errors import CrmAnswerInvalid

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``path`` is a path at the vendor's address, or a whole URL.

    ``is_login`` goes without a token, and its body is never shown. ``is_background`` is a load that
    yields to edits when calls become scarce. ``waits`` may stay unanswered for minutes.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_login: bool = False
    is_background: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """One response; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body, read as JSON; raises CrmAnswerInvalid."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            start = self.body[:80]
            raise CrmAnswerInvalid(f"an answer is not JSON: {error}; it begins {start!r}") from None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before going on; the driver adds jitter."""

    seconds: float


Conversation: TypeAlias = Generator[Request | Pause, Response, Result]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a response means for the exchange as a whole.

    ``pass`` hands it to the conversation. ``retry`` sends the request again after ``wait_s``, or
    the backoff. ``pause`` leaves the vendor alone for ``wait_s`` first. ``log_in`` gets a new token
    first, once. ``usage`` is how many of the day's calls are used, and how many there are, where
    the vendor tells.
    """

    kind: Literal["pass", "retry", "pause", "log_in"]
    wait_s: float | None = None
    reason: str = ""
    usage: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gives: the vendor's address, and headers that prove who asks.

    ``tenant`` is the id of the customer's part of the vendor, where the vendor tells it.
    """

    address: str
    headers: Mapping[str, str] = field(repr=False)
    tenant: str = ""


def json_request(
    method: str, path: str, body: Any, *, headers: Mapping[str, str] | None = None
) -> Request:
    """Return a request with a JSON body."""
    packed = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Request(
        method, path, headers={"Content-Type": "application/json", **(headers or {})}, body=packed
    )


def member(answer: Any, name: str, kind: type[Result]) -> Result:
    """Return a member of a JSON object that must be there; raises CrmAnswerInvalid."""
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise CrmAnswerInvalid(f"an answer has no {name} that is a {kind.__name__}")
    return value
