"""Attacks on the HTTP side: connections that never finish, bombs, and thousands of requests."""

import asyncio
import contextlib
import gzip
import json
import resource
import socket
import time

from tests.faults.ground import Ground
from tests.faults.siege import Siege, besiege
from tests.patience import PATIENCE_S

SLOW_CONNECTIONS = 1_500
HOARDERS = 12
REQUESTS_IN_FLIGHT = 3_000

HEAD = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"


def slowloris(ground: Ground) -> None:
    """More connections than a process may usually open, each sending a byte now and then."""
    _allow_many_files()
    besiege(ground, _drip, memory_mib_max=96.0)


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))


def _drip(siege: Siege) -> None:
    """Drip into request lines, headers of API requests, and handshakes of links."""
    beginnings = (
        b"PATCH /v1/pro",
        b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: ",
    )
    slow = []
    for number in range(SLOW_CONNECTIONS):
        each = socket.create_connection(("127.0.0.1", siege.eu.port), PATIENCE_S)
        each.sendall(beginnings[number % len(beginnings)])
        slow.append(each)
    until_s = time.monotonic() + 2
    while time.monotonic() < until_s:
        for each in slow:
            try:
                each.send(b"a")
            except OSError:
                continue
    for each in slow:
        each.close()


def hoarded_bodies(ground: Ground) -> None:
    """Bodies of 8 MiB that lack their last byte, more of them than may be held at one time."""
    besiege(ground, _hoard, memory_mib_max=192.0)


def _hoard(siege: Siege) -> None:
    size = 8 * 1024 * 1024
    begun = b"POST /v1/writes HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size
    hoarders = [
        socket.create_connection(("127.0.0.1", siege.eu.port), PATIENCE_S) for _ in range(HOARDERS)
    ]
    for each in hoarders:
        try:
            each.sendall(begun + b" " * (size - 1))
        except OSError:
            siege.ground.tally.count("refused")
    time.sleep(2)
    for each in hoarders:
        each.close()


def hostile_requests(ground: Ground) -> None:
    """Bodies that are bombs, lengths that lie, and bytes that are no HTTP."""
    besiege(ground, _send_hostile_requests, memory_mib_max=160.0)


def _send_hostile_requests(siege: Siege) -> None:
    deep = b"[" * 1_000_000
    many = b"[" + b"[]," * 2_000_000 + b"[]]"
    digits = b'{"source": "a", "fields": {"n": ' + b"9" * 4_000_000 + b"}}"
    keys = json.dumps({"source": "a", "fields": {f"f{n}": n for n in range(200_000)}}).encode()
    for body in (deep, many, digits, keys, b"{", b"\xff\xfe", b"null"):
        assert _patch(siege, body, b"") in (400, 413, 422), body[:40]
    bomb = gzip.compress(bytes(20_000_000))
    for encoding in (b"gzip", b"deflate", b"br"):
        assert _patch(siege, bomb, b"Content-Encoding: " + encoding + b"\r\n") in (400, 415)
    msgpack = b"Content-Type: application/msgpack\r\n"
    for body in (b"\xdd\xff\xff\xff\xff", b"\x91" * 1_000_000, b"\xdb\xff\xff\xff\xff"):
        assert _patch(siege, body, msgpack) in (400, 413, 415, 422), body[:40]
    assert _raw(siege, b"PATCH /v1/profiles/a HTTP/1.1\r\n" + HEAD
                + b"Content-Length: 99999999999999\r\n\r\n") == 413  # fmt: skip
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\x00" * 2_000,
        b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"POST /v1/writes HTTP/1.1\r\n" + HEAD
        + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/writes HTTP/1.1\r\n" + HEAD
        + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ):  # fmt: skip
        status = _raw(siege, noise)
        assert status in (400, 404, 413, 431, 505), (status, noise[:200])
        siege.ground.tally.count("requests that are no HTTP")


def _patch(siege: Siege, body: bytes, headers: bytes) -> int:
    siege.ground.tally.count("hostile bodies")
    head = HEAD if b"Content-Type" not in headers else b"Host: 127.0.0.1\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    request = b"PATCH /v1/profiles/attack HTTP/1.1\r\n" + head + headers + length + body
    return _raw(siege, request)


def _raw(siege: Siege, request: bytes) -> int:
    """Send bytes and return the status of the answer, 400 if the connection was just closed."""
    with socket.create_connection(("127.0.0.1", siege.eu.port), PATIENCE_S) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        try:
            answer = connection.recv(4_096)
        except OSError:
            return 400
    return int(answer.split()[1]) if answer else 400


def thousands_of_requests(ground: Ground) -> None:
    """3,000 writes in flight at one time, each on a connection of its own."""
    _allow_many_files()
    besiege(ground, lambda siege: asyncio.run(_flood(siege)), memory_mib_max=160.0)


async def _flood(siege: Siege) -> None:
    """Send all but the end of every request, then all the ends at one time."""
    body = json.dumps({"source": "flood", "fields": {"n": 1, "text": "x" * 200}}).encode()
    waiting = []
    for number in range(REQUESTS_IN_FLIGHT):
        reader, writer = await asyncio.open_connection("127.0.0.1", siege.eu.port)
        path = b"/v1/profiles/attack-%d-%d" % (siege.ground.tally.times, number)
        head = b"PATCH " + path + b" HTTP/1.1\r\n" + HEAD
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        waiting.append((reader, writer))
    for _, writer in waiting:
        writer.write(body[-1:])
    answers = await asyncio.gather(*(reader.readuntil(b"\r\n") for reader, _ in waiting))
    for _, writer in waiting:
        writer.close()
    kept = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    busy = sum(answer.startswith(b"HTTP/1.1 503") for answer in answers)
    assert kept + busy == REQUESTS_IN_FLIGHT, set(answers)
    siege.ground.tally.count("answered 200", kept)
    siege.ground.tally.count("answered 503", busy)
