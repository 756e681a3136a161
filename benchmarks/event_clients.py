"""Clients that send events over HTTP at a set rate, in processes of their own.

    python -m benchmarks.event_clients '{"url": …, "name": …, "per_s": …, "seconds": …, …}'

Requests are due at fixed times, whatever became of those before: the latency of each is counted
from when it was due, so one that waits for a free connection has waited too. What has another
status than 200, or no answer, is sent again, as clients do, until some time after the end. A peer
that speaks another dialect is sent the same events in its own.
"""

import asyncio
import json
import sys
import time
from typing import Any, Final

import aiohttp

from benchmarks.event_dialects import DIALECTS, Dialect, Request
from benchmarks.event_mix import Visitors

BATCH: Final = 100
_CONNECTIONS: Final = 32
_AGAIN_S: Final = 0.2
_GIVEN_UP_S: Final = 20.0
"""Seconds after the end for which what is late is still sent; the rest counts as not accepted."""


class Sending:
    """One client process: what it has sent, and how long each request took that was accepted.

    ``latencies_s`` count from when it was due, ``served_s`` from when it was sent the last time.
    """

    def __init__(self, url: str, visitors: Visitors, dialect: Dialect) -> None:
        self.latencies_s: list[float] = []
        self.served_s: list[float] = []
        self.accepted = 0
        self.again = 0
        self._url = url
        self._dialect = dialect
        self._visitors = visitors

    async def send(self, per_s: float, start: float, seconds: float) -> None:
        """Send requests, so many a second, from a time of the monotonic clock on."""
        count, end = int(per_s * seconds), start + seconds + _GIVEN_UP_S
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, force_close=False)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            pending: set[asyncio.Task[None]] = set()
            for number in range(count):
                due = start + number / per_s
                if (wait_s := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                while len(pending) >= _CONNECTIONS:
                    _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if time.monotonic() > end:
                    break
                pending.add(asyncio.create_task(self._send(session, due, end)))
            await asyncio.gather(*pending)

    async def _send(self, session: aiohttp.ClientSession, due: float, end: float) -> None:
        """Send a batch: it is answered when each of its requests is."""
        requests = self._dialect(self._visitors.batch(BATCH), BATCH)
        taken_s = await asyncio.gather(*(self._deliver(session, each, end) for each in requests))
        served_s = [each for each in taken_s if each is not None]
        if len(served_s) == len(requests):
            self.latencies_s.append(time.monotonic() - due)
            self.served_s.append(max(served_s))

    async def _deliver(
        self, session: aiohttp.ClientSession, request: Request, end: float
    ) -> float | None:
        """Send a request until it is accepted; return how long that took the last time."""
        url = self._url + request.path
        while (sent := time.monotonic()) < end:
            try:
                async with session.post(url, data=request.body, headers=request.headers) as answer:
                    await answer.read()
                    if answer.status == 200:
                        self.accepted += request.events
                        return time.monotonic() - sent
            except aiohttp.ClientError:
                pass
            self.again += 1
            await asyncio.sleep(_AGAIN_S)
        return None


async def run(given: dict[str, Any]) -> dict[str, Any]:
    """Send what is asked for; return what became of it."""
    visitors = Visitors(given["name"], given["persons"], given["seed"])
    sending = Sending(given["url"], visitors, DIALECTS[given.get("dialect", "segment")])
    print(json.dumps({"ready": True}), flush=True)
    start = float(json.loads(await asyncio.to_thread(sys.stdin.readline))["start"])
    await sending.send(given["per_s"] / BATCH, start, given["seconds"])
    return {
        "accepted": sending.accepted,
        "ended": time.monotonic(),
        "again": sending.again,
        "latencies_s": sending.latencies_s,
        "served_s": sending.served_s,
        "processor_s": time.process_time(),
    }


def main(given: dict[str, Any]) -> None:
    """Be one client process."""
    import uvloop

    print(json.dumps(uvloop.run(run(given))), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
