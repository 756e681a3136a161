"""Pipeline: writes on their way to one replica, over one connection after another.

It keeps the outbox connected, with pauses that grow, for as long as its patience lasts. It runs in
one event loop; who waits may be in it or in another thread.
"""

import asyncio
import secrets
from contextlib import suppress
from random import SystemRandom
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crdtstore import limits
from crdtstore.client.connection import Connection
from crdtstore.errors import (
    ClientClosed,
    ConfigurationError,
    CrdtstoreError,
    ReplicaBusy,
    ReplicaClosed,
    ReplicaUnreachable,
    SessionExpired,
    StorageFailed,
    StorageFull,
)
from crdtstore.stream import bounds
from crdtstore.stream.entries import UnansweredWrite
from crdtstore.stream.messages import CLIENT_ID_BYTES
from crdtstore.stream.outbox import Outbox, Waiter

if TYPE_CHECKING:
    import aiohttp

_PASSING = (ReplicaBusy, ReplicaClosed, StorageFailed, StorageFull)
"""Errors of a replica that may pass: it is asked again."""

_random = SystemRandom()


class Pipeline:
    """The outbox of one client and what keeps it connected.

    ``failure`` is why the client has given up, None while it has not. Every method but
    ``unanswered`` belongs to the event loop in which it was started.
    """

    def __init__(self, url: str, token: str | None, patience_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{url!r} is no address; write it as in http://127.0.0.1:8401")
        if not 0 < patience_s <= bounds.CLIENT_PATIENCE_S_MAX:
            raise ConfigurationError(
                f"patience_s is above 0 and at most {bounds.CLIENT_PATIENCE_S_MAX:,.0f} seconds"
            )
        self.url = url.rstrip("/")
        self.failure: CrdtstoreError | None = ClientClosed("the client is not open: use `with`")
        self.http: aiohttp.ClientSession | None = None
        self._token = token
        self._patience_s = patience_s
        self._outbox = Outbox(lambda: secrets.token_bytes(CLIENT_ID_BYTES))
        self._puts = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; raises ReplicaUnreachable, AccessDenied, NotUnderstood or ReplicaBusy."""
        import aiohttp

        if self._task is not None:
            raise ClientClosed("a client is entered once")
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        self.http = aiohttp.ClientSession(headers=headers)
        self.failure = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._greeted = asyncio.Event()
        self._connection = Connection(self._outbox, self._wake, self._note_results)
        self._task = asyncio.create_task(self._run(), name="crdtstore-client")
        try:
            await self._greeted.wait()
            self.check()
        except BaseException:
            await self.stop()
            raise

    def check(self) -> None:
        """Raise the failure of a client that has given up, or was closed."""
        if self.failure is not None:
            raise self._failure_again()

    def _failure_again(self) -> CrdtstoreError:
        assert self.failure is not None
        return type(self.failure)(*self.failure.args)

    async def put(self, entry: bytes, waiter: Waiter | None = None) -> None:
        """Add a write as soon as there is room; raises the client's failure."""
        self.check()
        while not self._outbox.has_room:
            self._room.clear()
            await self._room.wait()
            self.check()
        self._outbox.add(entry, waiter)
        self._wake.set()
        self._puts += 1
        if self._puts % bounds.SUBMITS_PER_TURN == 0:
            await asyncio.sleep(0)

    def put_anyhow(self, entry: bytes) -> None:
        """Add a write after the end, so that ``unanswered`` has it."""
        self._outbox.add(entry)

    def put_flush(self, waiter: Waiter) -> None:
        """Have somebody told when all that was put so far is answered; raises the failure."""
        self.check()
        self._outbox.add_flush(waiter)

    def unanswered(self) -> list[UnansweredWrite]:
        """Return the writes that are not answered, in order."""
        return self._outbox.unanswered()

    async def finish(self) -> None:
        """End the session when every write is answered, then let everything go."""
        self.failure = self.failure or ClientClosed("the client was closed")
        self._connection.is_ending = True
        self._wake.set()
        try:
            assert self._task is not None
            await self._task
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Let everything go, whatever is not answered."""
        if self._task is None:
            return
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        finally:
            if self.http is not None:
                await self.http.close()
        if not self._task.cancelled():
            self._task.result()

    def _note_results(self) -> None:
        self._greeted.set()
        if self._outbox.has_room:
            self._room.set()

    def _fail(self, error: CrdtstoreError) -> None:
        """Tell everybody who waits that the client has given up."""
        self.failure = self.failure or error
        self._outbox.fail(self._failure_again)
        self._room.set()
        self._greeted.set()

    async def _run(self) -> None:
        """Keep connected until the end is wanted, or there is no point in it any more."""
        failure: CrdtstoreError = ClientClosed("the client was closed")
        try:
            failure = await self._keep_connected() or failure
        finally:
            self._fail(failure)

    async def _keep_connected(self) -> CrdtstoreError | None:
        """Return why the client gives up, None if its end was wanted."""
        now_s = asyncio.get_running_loop().time
        pause_s = limits.RECONNECT_MIN_S
        deadline_s: float | None = now_s() + self._patience_s
        while not (self._connection.is_ending and self._outbox.is_empty):
            started_s, handled = now_s(), self._outbox.handled
            error = await self._connect_once()
            if error is None:
                return None
            if isinstance(error, SessionExpired) and self._outbox.renew():
                error = ReplicaUnreachable(str(error))
            elif not isinstance(error, (ReplicaUnreachable, *_PASSING)):
                return error
            if self._outbox.handled > handled or now_s() - started_s > limits.LINK_SOUND_S:
                pause_s = limits.RECONNECT_MIN_S
            if self._outbox.handled > handled or (self._outbox.is_empty and self._greeted.is_set()):
                deadline_s = None
            if not self._outbox.is_empty and deadline_s is None:
                deadline_s = now_s() + self._patience_s
            if deadline_s is not None and now_s() >= deadline_s:
                return self._given_up(error)
            await self._pause(pause_s, deadline_s)
            pause_s = min(2 * pause_s, limits.RECONNECT_MAX_S)
        return None

    async def _connect_once(self) -> CrdtstoreError | None:
        """Serve one connection; return why it ended, None if that was wanted."""
        import aiohttp

        assert self.http is not None
        try:
            await self._connection.run(self.http, self.url)
        except CrdtstoreError as error:
            return error
        except (ConnectionError, TimeoutError, aiohttp.ClientError) as error:
            return ReplicaUnreachable(str(error) or "the replica does not answer")
        return None

    async def _pause(self, pause_s: float, deadline_s: float | None) -> None:
        """Wait before the next attempt; a client with nothing to send is woken by a write."""
        loop = asyncio.get_running_loop()
        pause_s *= _random.uniform(0.5, 1)
        if deadline_s is not None:
            await asyncio.sleep(min(pause_s, max(0.0, deadline_s - loop.time())))
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wake.wait()

    def _given_up(self, error: CrdtstoreError) -> CrdtstoreError:
        return type(error)(
            f"{self.url} was out of reach for {self._patience_s:g} seconds ({error}); "
            f"{self._outbox.unanswered_count:,} writes are not answered"
        )
