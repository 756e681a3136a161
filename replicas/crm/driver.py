"""The driver: runs conversations with one vendor over HTTP.

Here is all the waiting: repetitions with backoff and jitter, turns within the budget of calls, the
open circuit, new tokens. A conversation sees only answers that are meant for it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiohttp

from replicas.crm import limits
from replicas.crm.budget import Breaker, Budget, Window
from replicas.crm.conversation import (
    Conversation,
    Pause,
    Request,
    Response,
    Result,
    Session,
    Verdict,
)
from replicas.crm.crm import Crm
from replicas.crm.errors import CrmAccessDenied, CrmAnswerInvalid, CrmUnavailable
from replicas.crm.redaction import Redaction
from replicas.crm.turnstile import Turnstile

_log = logging.getLogger("replicas.crm.driver")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how patiently a vendor is asked."""

    windows: Sequence[Window] = ()
    concurrency: int = limits.CONCURRENCY_MAX
    attempts: int = limits.ATTEMPTS_MAX
    backoff_min_s: float = limits.BACKOFF_MIN_S
    backoff_max_s: float = limits.BACKOFF_MAX_S
    pause_s: float = limits.PAUSE_S
    request_timeout_s: float = limits.REQUEST_TIMEOUT_S


class Driver:
    """The HTTP side of one vendor. ``redaction`` learns every token."""

    def __init__(
        self, crm: Crm, client: aiohttp.ClientSession, pace: Pace, redaction: Redaction
    ) -> None:
        self.crm = crm
        self.budget = Budget(pace.windows)
        self.breaker = Breaker()
        self.requests: dict[str, int] = {}
        self.retries = 0
        self.logins = 0
        self._client = client
        self._pace = pace
        self._redaction = redaction
        self._turnstile = Turnstile(self.budget, self.breaker, pace.concurrency)
        self._session: Session | None = None
        self._login = asyncio.Lock()

    async def run(
        self, conversation: Conversation[Result], lane: str, *, is_background: bool = False
    ) -> Result:
        """Run a conversation to its end; return its result.

        ``lane`` names the kind of work, which shares the vendor with others in turn. With
        ``is_background`` all its requests yield to edits. Raises CrmUnavailable, CrmAccessDenied,
        and what the conversation raises.
        """
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds * random.uniform(0.5, 1.0))
                    step = conversation.send(Response(0))
                else:
                    if is_background:
                        step = replace(step, is_background=True)
                    step = conversation.send(await self._exchange(step, lane))
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            conversation.close()

    async def _exchange(self, request: Request, lane: str) -> Response:
        """Send a request until an answer is for the conversation."""
        has_new_token = False
        failures = 0
        while True:
            session = None if request.is_login else await self.session()
            response, verdict = await self._attempt(request, session, lane)
            if verdict.usage is not None:
                self.budget.heard(verdict.usage)
            if verdict.kind == "pass" or (verdict.kind == "log_in" and request.is_login):
                self.breaker.succeeded()
                assert response is not None
                return response
            now_s = asyncio.get_running_loop().time()
            if verdict.kind == "log_in":
                if has_new_token:
                    raise CrmAccessDenied(f"{self.crm.source} refuses a new token too")
                has_new_token = True
                assert session is not None
                self.forget(session)
            elif verdict.kind == "pause":
                seconds = self._pace.pause_s if verdict.wait_s is None else verdict.wait_s
                _log.warning("%s asks to pause %.1f s: %s", lane, seconds, verdict.reason)
                self.breaker.pause(now_s, seconds, verdict.reason)
            else:
                failures += 1
                self.retries += 1
                self.breaker.failed(now_s, verdict.reason)
                _log.info("%s: attempt %d failed: %s", lane, failures, verdict.reason)
                if failures >= self._pace.attempts:
                    raise CrmUnavailable(
                        f"{self.crm.source}: {request.method} {_path(request)} failed "
                        f"{failures} times, the last one: {verdict.reason}"
                    )
                await asyncio.sleep(self._backoff_s(failures, verdict.wait_s))

    async def _attempt(
        self, request: Request, session: Session | None, lane: str
    ) -> tuple[Response | None, Verdict]:
        try:
            if request.waits:
                response = await self._send(request, session, limits.FOLLOW_TIMEOUT_S)
            else:
                background = request.is_background
                async with self._turnstile.turn(lane, is_background=background):
                    self.requests[lane] = self.requests.get(lane, 0) + 1
                    response = await self._send(request, session, self._pace.request_timeout_s)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return None, Verdict("retry", reason=repr(error))
        return response, self.crm.judge(response)

    async def _send(self, request: Request, session: Session | None, seconds: float) -> Response:
        url, headers = request.path, dict(request.headers)
        if session is not None:
            if not url.startswith(("http://", "https://")):
                url = session.address + url
            headers.update(session.headers)
        async with self._client.request(
            request.method,
            url,
            params=request.query or None,
            headers=headers,
            data=request.body or None,
            timeout=aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > limits.ANSWER_BYTES_MAX:
                    raise CrmAnswerInvalid(
                        f"{_path(request)}: the answer is too large, above "
                        f"{limits.ANSWER_BYTES_MAX:,} bytes; ask for smaller pages (page_max, "
                        "results_max, batch_max)"
                    )
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status, headers, bytes(body))

    async def session(self) -> Session:
        """Return the session, made anew by whoever comes first if there is none.

        Raises CrmUnavailable or CrmAccessDenied.
        """
        async with self._login:
            if self._session is None:
                self._session = await self.run(self.crm.log_in(time.time()), "login")
                self.logins += 1
                for value in self._session.headers.values():
                    self._redaction.add(value, value.rpartition(" ")[2])
            return self._session

    def forget(self, session: Session) -> None:
        """Take note that the vendor no longer takes a session."""
        if self._session is session:
            self._session = None

    def _backoff_s(self, failures: int, wait_s: float | None) -> float:
        if wait_s is not None:
            return wait_s
        longest_s = self._pace.backoff_min_s * 2.0 ** (failures - 1)
        return min(longest_s, self._pace.backoff_max_s) * random.uniform(0.5, 1.0)


def _path(request: Request) -> str:
    return request.path.partition("?")[0]
