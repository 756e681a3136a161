"""The addresses that clients of the Segment specification send events to.

They are an application of their own: the world may reach it, and every request has a write key. A
request is answered when its events are durable. Its answer names each event that was refused.
"""

import base64
import binascii
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from aiohttp import hdrs, web

from replicas.cdp import limits
from replicas.cdp.appending import Appending
from replicas.cdp.collecting import Collected, Collecting
from replicas.cdp.errors import (
    BodyInvalid,
    BodyTooLarge,
    CdpError,
    LogUnusable,
    TooBusy,
    WriteKeyUnknown,
)
from replicas.cdp.event_log import now_ms
from replicas.cdp.events import KINDS
from replicas.cdp.handing_over import HandingOver
from replicas.cdp.metrics import request_histogram
from replicas.cdp.room import Room
from replicas.cdp.wire import Envelope, read_envelope, unpacked, write_key_in

_MSGPACK: Final = frozenset({"application/msgpack", "application/x-msgpack"})
_DONE: Final = b'{"success":true}'
_HEADERS: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.CONTENT_TYPE: "application/json",
}
_STATUS: Final = (
    (BodyTooLarge, 413),
    (BodyInvalid, 400),
    (WriteKeyUnknown, 401),
    (TooBusy, 429),
    (LogUnusable, 503),
)


class Collector:
    """What takes requests.

    ``answers`` counts them by status, ``accepted`` their events by kind, repetitions too;
    ``seconds`` is how long they took.
    """

    def __init__(
        self,
        write_keys: Mapping[str, str],
        collecting: Collecting,
        appending: Appending,
        room: Room,
        handing_over: HandingOver | None = None,
    ) -> None:
        self.answers: Counter[int] = Counter()
        self.accepted: Counter[str] = Counter()
        self.seconds = request_histogram()
        self._write_keys = write_keys
        self._collecting = collecting
        self._appending = appending
        self._room = room
        self._handing_over = handing_over

    def application(self) -> web.Application:
        """Return the application. Its runner must leave bodies as they are: auto_decompress."""
        # aiohttp lets a body grow beyond its limit by one chunk; ours is checked again.
        app = web.Application(client_max_size=self._collecting.settings.batch_bytes_max)
        for kind in KINDS:
            for path in (f"/v1/{kind}", f"/v1/{kind[0]}"):
                app.router.add_post(path, self._receiver(kind))
                app.router.add_options(path, self.preflight)
        for path in ("/v1/batch", "/v1/import", "/v1/b"):
            app.router.add_post(path, self._receiver(""))
            app.router.add_options(path, self.preflight)
        app.router.add_get("/healthz", self.health)
        return app

    def _receiver(self, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def receive(request: web.Request) -> web.Response:
            return await self.receive(request, kind)

        return receive

    async def receive(self, request: web.Request, kind: str) -> web.Response:
        """Take events of one kind, or a batch of them."""
        started_s = time.perf_counter()
        try:
            collected = await self._collect(request, kind)
            if self._handing_over is None:
                await self._appending.append(collected.entries)
            else:
                await self._handing_over.append(collected)
            self.accepted.update(collected.kinds)
            answer = _answer_to(collected)
        except CdpError as error:
            answer = _problem(error)
        self.seconds.observe(time.perf_counter() - started_s)
        self.answers[answer.status] += 1
        return answer

    async def _collect(self, request: web.Request, kind: str) -> Collected:
        write_key = self._key_in(request.headers.get(hdrs.AUTHORIZATION))
        self._room.check()
        bytes_max = self._collecting.settings.batch_bytes_max
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise BodyTooLarge(f"a request has at most {bytes_max:,} bytes") from None
        received_at_ms = now_ms()
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
        body = unpacked(body, encoding, bytes_max)
        is_msgpack = request.content_type in _MSGPACK
        if kind:
            envelope = Envelope(batch=[msgspec.Raw(body)])
            key_in_body = None if write_key else write_key_in(body, is_msgpack=is_msgpack)
        else:
            envelope = read_envelope(body, is_msgpack=is_msgpack)
            key_in_body = envelope.write_key
        if write_key is None:
            write_key = self._write_keys.get(key_in_body or "")
            if write_key is None:
                raise WriteKeyUnknown("a request has a write key that is known here")
        return self._collecting.collect(
            envelope, write_key, received_at_ms, kind=kind, is_msgpack=is_msgpack
        )

    def _key_in(self, header: str | None) -> str | None:
        """Return the name of the key in a header, None if there is none; raises WriteKeyUnknown."""
        if header is None:
            return None
        scheme, _, encoded = header.partition(" ")
        try:
            user = base64.b64decode(encoded, validate=True).partition(b":")[0].decode()
        except (binascii.Error, ValueError):
            user = ""
        name = self._write_keys.get(user) if scheme.lower() == "basic" else None
        if name is None:
            raise WriteKeyUnknown("the write key in Basic auth is not known here")
        return name

    async def preflight(self, request: web.Request) -> web.Response:
        """Let pages of any origin send events, as browsers ask for."""
        allowed = {
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, content-type, content-encoding",
            hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
        }
        return web.Response(status=204, headers=allowed)

    async def health(self, request: web.Request) -> web.Response:
        """Answer 200: the service takes requests."""
        return web.json_response({"status": "ok"})


def _answer_to(collected: Collected) -> web.Response:
    """Return the answer: 200, and 400 if everything was refused that might have been right.

    It is 200 where some events were refused: clients send again whatever has another status.
    """
    if not collected.refusals:
        return web.Response(body=_DONE, headers=_HEADERS)
    errors = [
        {"index": one.at, "messageId": one.message_id, "code": one.rule, "message": one.detail}
        for one in collected.refusals
    ]
    body = {
        "success": False,
        "code": errors[0]["code"],
        "message": errors[0]["message"],
        "accepted": len(collected.entries),
        "errors": errors,
    }
    is_bad = not collected.entries and any(one.rule != "suppressed" for one in collected.refusals)
    return _response(body, 400 if is_bad else 200)


def _problem(error: CdpError) -> web.Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    answer = _response({"success": False, "code": error.code, "message": str(error)}, status)
    if status in (429, 503):
        answer.headers[hdrs.RETRY_AFTER] = str(limits.RETRY_AFTER_S)
    return answer


def _response(body: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, headers=_HEADERS)
