"""SyncClient: writes to a replica elsewhere, for programs without asyncio.

An event loop in a thread of its own does the work. What other threads hand over is gathered, so
that a write costs them no switch of threads.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from crdtstore.client.pipeline import Pipeline
from crdtstore.client.reading import read_profile
from crdtstore.errors import ClientClosed, CrdtstoreError
from crdtstore.model.profile import Profile
from crdtstore.stream import bounds
from crdtstore.stream.entries import ERASE, REVIVE, UnansweredWrite, pack_epoch, pack_write

_T = TypeVar("_T")


class SyncClient:
    """A client of one replica, to be entered with ``with``; any thread may use it.

    It promises what ``crdtstore.Client`` does. The writes of one thread are applied in their order.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        patience_s: float = bounds.CLIENT_PATIENCE_S_DEFAULT,
    ) -> None:
        self._pipeline = Pipeline(url, token, patience_s)
        self._handed_over = asyncio.Event()
        self._room = threading.Condition()
        self._buffer: list[tuple[bytes | None, Future[Any] | None]] = []
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "SyncClient":
        if self._is_stopping or self._loop is not None:
            raise ClientClosed("a client is entered once")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="crdtstore-client", daemon=True
        )
        self._thread.start()
        try:
            self._in_loop(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._stop()

    def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> str:
        """Write what a source says about a profile; return its version when that is durable.

        Raises InvalidInput or Refused with nothing changed, or the reason why the client gave up.
        """
        return self._answered(pack_write(profile_id, source, fields, if_version, tell=True))

    def submit(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> None:
        """Hand a write over, waiting for room only; ``flush`` tells what became of it.

        Raises InvalidInput for what cannot be sent, or the reason why the client gave up.
        """
        self._hand_over(pack_write(profile_id, source, fields, if_version, tell=False), None)

    def flush(self) -> None:
        """Wait until everything that was submitted so far, by any thread, is durable.

        Raises WritesRefused if submitted writes were refused since the last time; all others are
        durable. Raises the reason why the client gave up.
        """
        waiter: Future[None] = Future()
        self._hand_over(None, waiter)
        waiter.result()

    def erase(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Erase a profile for good, in order with the writes; return its version."""
        return self._answered(pack_epoch(ERASE, profile_id, if_version))

    def revive(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Let an erased profile take writes again; return its version when that is durable."""
        return self._answered(pack_epoch(REVIVE, profile_id, if_version))

    def _answered(self, entry: bytes) -> str:
        waiter: Future[str] = Future()
        self._hand_over(entry, waiter)
        return waiter.result()

    def read(self, profile_id: str) -> Profile:
        """Return the golden record that the replica has, with every write that was answered.

        Raises ProfileNotFound, ProfileErased, InvalidName, ReplicaUnreachable.
        """
        self._pipeline.check()
        return self._in_loop(read_profile(self._pipeline, profile_id))

    @property
    def unanswered(self) -> list[UnansweredWrite]:
        """The writes whose results are not known, in order; those that were sent may be kept.

        Complete when the client has given up or was left.
        """
        return self._pipeline.unanswered()

    def close(self) -> None:
        """Wait until everything is durable, and let the connection go.

        Raises WritesRefused as ``flush`` does, or the reason why the client gave up.
        """
        try:
            self.flush()
            self._in_loop(self._pipeline.finish())
        finally:
            self._stop()

    # --- between the threads ------------------------------------------------------------------

    def _hand_over(self, entry: bytes | None, waiter: Future[Any] | None) -> None:
        """Give a write, or without an entry a flush, to the thread of the loop."""
        with self._room:
            while len(self._buffer) >= bounds.SYNC_BUFFER_WRITES_MAX:
                self._room.wait()
            self._pipeline.check()
            self._buffer.append((entry, waiter))
            if len(self._buffer) == 1:
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._handed_over.set)

    async def _start(self) -> None:
        await self._pipeline.start()
        self._mover = asyncio.create_task(self._move(), name="crdtstore-client-mover")

    async def _move(self) -> None:
        """Move what was handed over into the pipeline, until the client ends."""
        while not self._is_stopping:
            await self._handed_over.wait()
            self._handed_over.clear()
            for entry, waiter in self._taken():
                try:
                    if entry is not None:
                        await self._pipeline.put(entry, waiter)
                    elif waiter is not None:
                        self._pipeline.put_flush(waiter)
                except CrdtstoreError as error:
                    self._give_back(entry, waiter, error)

    def _taken(self) -> list[tuple[bytes | None, Future[Any] | None]]:
        with self._room:
            taken, self._buffer = self._buffer, []
            self._room.notify_all()
        return taken

    def _give_back(
        self, entry: bytes | None, waiter: Future[Any] | None, error: CrdtstoreError
    ) -> None:
        """Note a write that came too late, so that ``unanswered`` has it, and tell who waits."""
        if entry is not None:
            self._pipeline.put_anyhow(entry)
        if waiter is not None:
            waiter.set_exception(error)

    def _in_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        """End everything; whoever waits is told."""
        if self._thread is not None:
            self._in_loop(self._stop_tasks())
            self._end()

    async def _stop_tasks(self) -> None:
        await self._pipeline.stop()
        self._is_stopping = True
        self._handed_over.set()
        await self._mover

    def _end(self) -> None:
        """End the thread, and give back what was handed over meanwhile."""
        assert self._loop is not None
        assert self._thread is not None
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None
        for entry, waiter in self._taken():
            self._give_back(entry, waiter, ClientClosed("the client was closed"))
        self._loop.close()
