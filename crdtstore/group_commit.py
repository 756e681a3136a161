"""Group commit: many writers share one fsync, made in a worker thread while the next fills."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from crdtstore.engine.commits import Commit
from crdtstore.errors import StorageError
from crdtstore.exchange import Exchange
from crdtstore.storage.contract import MapFull

_log = logging.getLogger("crdtstore.replica")


class GroupCommit:
    """The commits of one replica, one after the other.

    ``work`` is set by whoever may have left something to commit. ``committed`` is set, and replaced
    by a new event, when a commit is durable. Create it inside the event loop.
    """

    def __init__(self, exchange: Exchange, *, interval_s: float) -> None:
        self.work = asyncio.Event()
        self.committed = asyncio.Event()
        self._exchange = exchange
        self._interval_s = interval_s
        self._waiters: list[asyncio.Future[None]] = []
        self._stopping = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="crdtstore-commit")

    @property
    def waiting_writers(self) -> int:
        """How many writers wait for the next commit."""
        return len(self._waiters)

    async def durable(self) -> None:
        """Wait until all that was written so far is durable; raises StorageError."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.work.set()
        await waiter

    async def run(self, wake_links: Callable[[], None]) -> None:
        """Commit whenever there is something to commit, until stopped and nobody waits."""
        while not self._stopping.is_set() or self._waiters:
            await self.work.wait()
            self.work.clear()
            waiters, self._waiters = self._waiters, []
            try:
                await self._commit_once(waiters)
            finally:
                wake_links()
            if self._interval_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._stopping.wait()

    async def _commit_once(self, waiters: list[asyncio.Future[None]]) -> None:
        try:
            commit = self._exchange.begin_commit()
        except StorageError as failure:
            _answer(waiters, failure)
            return
        if commit is None:
            _answer(waiters, None)
            return
        error = await self._persist(commit)
        self._exchange.finish_commit(commit, error)
        if error is not None:
            _log.error("a commit failed, and was undone: %s", error)
            waiters += self._waiters
            self._waiters = []
        elif commit.makes_room:
            self._waiters = waiters + self._waiters
            self.work.set()
            return
        _answer(waiters, error)
        self._announce()

    async def _persist(self, commit: Commit) -> StorageError | None:
        """Make a commit durable in the worker thread; return the error that it met."""
        storage = self._exchange.store.storage
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._worker, commit.persist, storage)
            except MapFull as error:
                if not storage.grow():
                    return error
            except StorageError as error:
                return error
            else:
                return None

    def fail(self, error: StorageError) -> None:
        """Answer everybody who waits with an error."""
        waiters, self._waiters = self._waiters, []
        _answer(waiters, error)

    def stop(self) -> None:
        """Let ``run`` end after what is being written now, and end every wait for a commit."""
        self._stopping.set()
        self.work.set()
        self._announce()

    def _announce(self) -> None:
        self.committed.set()
        self.committed = asyncio.Event()

    def close(self) -> None:
        """End the worker thread, after ``run`` has ended."""
        self._worker.shutdown()


def _answer(waiters: list[asyncio.Future[None]], error: StorageError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(type(error)(*error.args))
