"""Target: HTTP requests to a real application over a real socket, with any target, headers, body.

The first line of an input is the method and the target, the lines up to an empty one are headers,
the rest is the body. Length and connection are made right: framing is aiohttp's to decode.
"""

import asyncio
import json
import logging
import random
from functools import cache

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from crdtstore.replica.replica import Replica
from crdtstore.server import application
from crdtstore.storage.memory_storage import MemoryStorage
from tests.fuzzing.mutation import mutated_tree
from tests.fuzzing.stores import SCHEMA
from tests.fuzzing.target import Broken, Target
from tests.fuzzing.texts import mutated_text, request_bodies

TOKEN = "a-token-of-the-fuzzing-tests"
KNOWN = f"Bearer {TOKEN}"
LOCAL = "Host: localhost"
REQUESTS_MAX = 400
ANSWER_TIMEOUT_S = 10.0
"""Longest wait for an answer: an endpoint that hangs is a finding."""

_FRAMING = ("content-length", "transfer-encoding", "connection", "upgrade", "expect", "host",
            "authorization", "content-encoding", "sec-websocket-key")  # fmt: skip
_WRITING = frozenset({"PATCH", "POST", "DELETE"})


class Server:
    """A replica in memory behind its application, and one connection to it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.errors: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(str(context)))
        logging.getLogger("aiohttp.server").addHandler(_Kept(self.errors))
        self.requests = 0
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self.replica = Replica.open(MemoryStorage(), name="here", schema=SCHEMA)
        await self.replica.__aenter__()
        await self.replica.write("ann", {"name": "Ann"}, source="crm")
        await self.replica.erase("gone")
        self.runner = web.AppRunner(application(self.replica, token=TOKEN))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def _stop(self) -> None:
        await self.runner.cleanup()
        await self.replica.__aexit__(None, None, None)

    def ask(self, head: str, headers: list[str], body: bytes, *, who: str = KNOWN) -> int:
        """Send one request; return the status of its answer, checked."""
        self.requests += 1
        if self.requests % REQUESTS_MAX == 0:
            self.loop.run_until_complete(self._stop())
            self.loop.run_until_complete(self._start())
        before = self.replica.digest().digest
        status, answered = self.loop.run_until_complete(self._exchange(head, headers, body, who))
        if self.errors:
            errors = "; ".join(self.errors)
            self.errors.clear()
            raise Broken(f"a handler failed: {errors[-2_000:]}")
        if status >= 500 and status not in (503, 507):
            raise Broken(f"{head!r} is answered by {status}")
        is_changed = self.replica.digest().digest != before
        if is_changed and (status >= 400 or head.split(" ")[0] not in _WRITING):
            raise Broken(f"{head!r} was answered by {status}, and has changed something")
        if len(answered) > 200_000 + 20 * len(body):
            raise Broken(f"{len(body)} bytes are answered by {len(answered):,}")
        return status

    async def _exchange(
        self, head: str, headers: list[str], body: bytes, who: str
    ) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            lines = [
                f"{head} HTTP/1.1", f"Authorization: {who}",
                f"Content-Length: {len(body)}", "Connection: close", *headers, "", "",
            ]  # fmt: skip
            writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                first = await reader.readline()
                follows = "follow=true" in head or any("event-stream" in line for line in headers)
                answered = b"" if follows else await reader.read()
        finally:
            writer.close()
        parts = first.split(b" ")
        if len(parts) < 2 or not parts[1].isdigit():
            raise Broken(f"{head!r} is answered by {first[:80]!r}")
        status = int(parts[1])
        if (
            status >= 400
            and not head.startswith("HEAD")
            and b"application/problem+json" in answered
        ):
            document = json.loads(answered.partition(b"\r\n\r\n")[2])
            if document["status"] != status:
                raise Broken(f"a problem says {document['status']} and is {status}")
        return status, answered


class _Kept(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or not issubclass(kind, HttpProcessingError):
            self.kept.append(self.format(record))


@cache
def server() -> Server:
    """Return the server of this process."""
    return Server()


def run(data: bytes) -> None:
    """A request is answered, by a problem if it is wrong, and then changes nothing."""
    first, _, rest = data.partition(b"\n")
    head, _, body = rest.partition(b"\n\n")
    method, _, target = _text(first).partition(" ")
    headers = [
        line
        for line in _text(head).splitlines()
        if ":" in line and line.partition(":")[0].strip().lower() not in _FRAMING
    ]
    if not method.isalpha() or not target.startswith("/") or "/backup" in target:
        return
    target = target.replace(" ", "%20").replace("#", "%23")
    server().ask(f"{method} {target}", [LOCAL, *headers], body)


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    return "".join(c for c in text if c == "\n" or (c >= " " and c != "\x7f" and c not in ODD))


ODD = "\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"
"""Characters at which splitlines would split, and which no header line has."""


def requests() -> list[bytes]:
    """Requests to every endpoint."""
    as_json, as_msgpack = b"Content-Type: application/json", b"Content-Type: application/msgpack"
    writes = [body for body in request_bodies() if b"writes" in body]
    plain = [
        b"GET /v1/profiles?after=a&limit=2\nAccept: application/msgpack;q=0.5, */*;q=0.1",
        b"GET /v1/profiles/ann\nIf-None-Match: \"0-1\", W/\"x\"",
        b"GET /v1/profiles/%61nn/explain?field=name", b"GET /v1/profiles/gone",
        b"HEAD /v1/profiles/ann", b"DELETE /v1/profiles/bob\nIf-Match: *",
        b"POST /v1/profiles/gone/revive\nIf-None-Match: *", b"GET /v1/digest", b"GET /v1/peers",
        b"GET /v1/changes?since=1.0&limit=5\nAccept: application/x-ndjson",
        b"GET /v1/changes?follow=true\nLast-Event-ID: 1.0",
        b"GET /v1/status", b"GET /v1/verify", b"GET /healthz", b"GET /readyz", b"GET /metrics",
        b"GET /openapi.json", b"GET /v1/link", b"OPTIONS /v1/writes", b"GET /nothing",
    ]  # fmt: skip
    body = b'{"source":"crm","fields":{"x":1}}'
    return [
        *(each + b"\n\n" for each in plain),
        b"PATCH /v1/profiles/ann\n" + as_json + b'\nIf-Match: "0-1"\n\n' + body,
        b"PATCH /v1/profiles/new\n" + as_json + b"; charset=utf-8\n\n" + body,
        b"POST /v1/repair\n" + as_json + b'\n\n{"peer":"us"}',
        *(
            b"POST /v1/writes\n" + (as_msgpack if each[:1] == b"\1" else as_json) + b"\n\n"
            + each[1:]
            for each in writes
        ),
    ]  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change the head or the body of a request."""
    head, _, body = data.partition(b"\n\n")
    if body and chance.random() < 0.5:
        change = mutated_tree if b"msgpack" in head else mutated_text
        return head + b"\n\n" + change(body, chance)
    if b" /" in head and chance.random() < 0.9:
        start = head.index(b" /") + 2
        return head[:start] + mutated_text(head[start:], chance) + b"\n\n" + body
    return mutated_text(head, chance) + b"\n\n" + body


def run_caller(data: bytes) -> None:
    """Who does not know the token, or comes by a name that is not this machine's, is refused.

    The lines of an input are the headers Authorization, Host and Origin.
    """
    who, host, origin = (*_text(data).split("\n"), "", "", "")[:3]
    status = server().ask("GET /v1/digest", [LOCAL], b"", who=who)
    if (status == 200 and TOKEN not in who) or status not in (200, 400, 401):
        raise Broken(f"{who!r} is answered by {status}")
    named = [f"Host: {host}", *([f"Origin: {origin}"] if origin else [])]
    status = server().ask("GET /v1/link", named, b"")
    if status not in (400, 403, 426) or (status == 426 and not _may_be_local(host)):
        raise Broken(f"a link from {named!r} is answered by {status}")


def _may_be_local(host: str) -> bool:
    return any(part in host.lower() for part in ("localhost", "127.", "::1", "0:1"))


def callers() -> list[bytes]:
    """Headers of callers that may come in, and of some that may not."""
    return [
        f"{KNOWN}\nlocalhost:80\nhttp://localhost:80".encode(),
        f"bearer  {TOKEN}\n[::1]:8401".encode(),
        b"Basic YTpi\n127.0.0.1\nnull",
        b"Bearer x\nevil.example\nhttp://evil.example",
    ]


CALLER = Target("caller", run_caller, callers, mutated_text, 512, 5.0, memory_bytes=16 << 20)
HTTP = Target("http", run, requests, mutated, seconds_max=5.0, memory_bytes=16 << 20)
