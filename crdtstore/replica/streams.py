"""Streams: the write streams of a running replica, each a client's writes in their order.

Writes are applied as they come, and their results told when their commit is durable. The session of
a client moves in the commit of its writes: see ``crdtstore.engine.stream_sessions``.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from crdtstore.engine.stream_sessions import StreamSession
from crdtstore.errors import (
    InvalidInput,
    MessageInvalid,
    Refused,
    SessionExpired,
    SessionTaken,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
)
from crdtstore.group_commit import GroupCommit
from crdtstore.store import Store
from crdtstore.stream import bounds
from crdtstore.stream.entries import ERASE, TELL, WRITE, read_entry
from crdtstore.stream.messages import Hello, Item, Results, Welcome, Writes
from crdtstore.stream.refusals import refusal_of

_Pending = tuple["asyncio.Future[None] | None", int, list[Item], int]
"""Until when to wait, up to which number, its results, and the bytes that its writes took."""


class Streams:
    """The write streams of one replica. A client has one stream: a newer one ends the older."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits
        self._live: dict[str, Stream] = {}

    async def open(self, hello: Hello) -> "Stream":
        """Begin a client's stream or go on with it; raises SessionExpired, ReplicaBusy.

        When this returns, everything that the client sent before and that is handled is durable.
        Raises StorageError if it cannot be made so, and SessionTaken if the client came twice.
        """
        store = self._store
        identity = store.replication.identity
        if hello.origin and hello.origin != identity.origin:
            raise SessionExpired(
                "this is not the incarnation of the replica that the client wrote to: "
                "it is another replica, or its data was copied or restored"
            )
        session = store.streams.open(
            hello.client_id,
            is_new=not hello.origin,
            confirmed=hello.confirmed,
            now_ms=store.now_ms(),
        )
        stream = Stream(store, self._commits, session, self._is_live)
        older = self._live.get(session.name)
        self._live[session.name] = stream
        if older is not None:
            older.take_away()
        try:
            await self._commits.durable()
        except BaseException:
            self.close(stream)
            raise
        stream.begin(hello.confirmed)
        return stream

    def welcome(self, stream: "Stream") -> Welcome:
        """Return what a client is told when its stream is open."""
        identity = self._store.replication.identity
        return Welcome(
            identity.name,
            identity.origin,
            stream.handled,
            bounds.STREAM_WINDOW_WRITES,
            bounds.STREAM_WINDOW_BYTES,
        )

    def close(self, stream: "Stream") -> None:
        """Take note that a stream's connection is gone."""
        stream.end()
        if self._is_live(stream):
            del self._live[stream.name]

    def _is_live(self, stream: "Stream") -> bool:
        return self._live.get(stream.name) is stream


class Stream:
    """One client's stream over one connection."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        session: StreamSession,
        is_live: Callable[["Stream"], bool],
    ) -> None:
        self._store = store
        self._commits = commits
        self._session = session
        self._is_live = is_live
        self._pending: deque[_Pending] = deque()
        self._work = asyncio.Event()
        self._held_bytes = 0

    @property
    def name(self) -> str:
        """The client's id, 32 hex digits."""
        return self._session.name

    @property
    def handled(self) -> int:
        """The number up to which the client's writes were handled."""
        return self._session.handled

    def begin(self, confirmed: int) -> None:
        """Have the client told the results that it may have missed; they are durable."""
        self._check_own()
        for last, items in self._session.items():
            self._pending.append((None, last, [i for i in items if i[0] > confirmed], 0))
        if self._session.handled > confirmed:
            self._pending.append((None, self._session.handled, [], 0))
        self._work.set()

    def receive(self, writes: Writes, size_bytes: int, turn_s: float = math.inf) -> bool:
        """Apply writes in their order; one that is refused does not stop the others.

        What was handled before is passed over. It stops when ``turn_s`` is over, and returns
        whether all were handled; given the same writes again it goes on. Raises MessageInvalid for
        what no client may send, SessionTaken, or StorageError: then the stream has to end, and what
        was handled stands.
        """
        self._check_own()
        session = self._session
        skipped = session.handled + 1 - writes.first
        last = writes.first + len(writes.entries) - 1
        if skipped < 0 or writes.confirmed > session.handled:
            raise MessageInvalid(
                f"write {writes.first:,} came after {session.handled:,}, with "
                f"{writes.confirmed:,} confirmed"
            )
        if (
            last - writes.confirmed > bounds.STREAM_WINDOW_WRITES
            or self._held_bytes > bounds.STREAM_WINDOW_BYTES + bounds.STREAM_MESSAGE_BYTES_MAX
        ):
            raise MessageInvalid("the client does not keep to its window")
        if (refusal := self._store.refusal) is not None:
            raise refusal
        handled, items = session.handled, list[Item]()
        now_ms = self._store.now_ms()
        until_s = time.perf_counter() + turn_s
        try:
            for entry in islice(writes.entries, skipped, None):
                try:
                    version = self._apply(entry, now_ms)
                    if version is not None:
                        items.append([handled + 1, version])
                except (InvalidInput, Refused, StorageCorrupt) as error:
                    items.append([handled + 1, *refusal_of(error)])
                handled += 1
                if time.perf_counter() > until_s:
                    break
        finally:
            confirmed = max(session.confirmed, writes.confirmed)
            self._store.streams.move(
                session, handled=handled, confirmed=confirmed, items=items, now_ms=now_ms
            )
            self._held_bytes += size_bytes
            self._pending.append((self._commits.next_commit(), handled, items, size_bytes))
            self._work.set()
        return handled >= last

    def _apply(self, entry: Any, now_ms: int) -> str | None:
        """Apply one write; return the profile's version if it is to be told."""
        kind, profile_id, source, fields, if_version = read_entry(entry)
        store = self._store
        operation = kind & ~TELL
        if operation == WRITE:
            document, _ = store.writing.apply(profile_id, fields, source, if_version, now_ms)
            return document.version if kind & TELL else None
        move = store.erase if operation == ERASE else store.revive
        version = move(profile_id, if_version=if_version).version
        return version if kind & TELL else None

    async def results(self) -> Results:
        """Wait until more is durable, and return what the client is told.

        Raises SessionTaken, or StorageError if it could not be made durable: then the stream has
        to end.
        """
        while not self._pending:
            self._check_own()
            self._work.clear()
            await self._work.wait()
        future, handled, items, size_bytes = self._pending.popleft()
        if future is not None:
            await future
        while self._pending and _is_durable(self._pending[0][0]):
            _, handled, more, more_bytes = self._pending.popleft()
            items += more
            size_bytes += more_bytes
        self._held_bytes -= size_bytes
        return Results(handled, items)

    def seen(self) -> None:
        """Take note that the client is there."""
        self._check_own()
        self._store.streams.touch(self._session, self._store.now_ms())

    def forget(self, confirmed: int) -> None:
        """Drop the session of a client that knows all its results and does not come back."""
        self._check_own()
        if confirmed == self._session.handled:
            self._store.streams.forget(self._session)
            self._commits.work.set()

    def take_away(self) -> None:
        """Have ``results`` look whose the session is."""
        self._work.set()

    def end(self) -> None:
        """Wait for no commit any more."""
        while self._pending:
            future, *_ = self._pending.popleft()
            if future is not None and not future.cancel() and not future.cancelled():
                future.exception()  # told, if there was anybody to tell

    def _check_own(self) -> None:
        """Check that the session is still this stream's; raises SessionTaken or StorageError."""
        if not self._is_live(self):
            raise SessionTaken("another connection goes on with this client's session")
        if not self._store.streams.is_present(self._session):
            if self._store.failure is not None:
                raise StorageFailed(f"the store stopped writing: {self._store.failure}")
            raise StorageFull("a commit found no room, and what was not answered was undone")


def _is_durable(future: "asyncio.Future[None] | None") -> bool:
    """Say whether results that wait for a commit may be told: it has ended, and without error."""
    return future is None or (future.done() and future.exception() is None)
