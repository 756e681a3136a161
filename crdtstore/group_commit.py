"""Group commit: many writers share one fsync, made in a worker thread while the next fills.

Where one writer waits alone and the disk is quick, the event loop makes it itself. Documents come
to rest in a second worker thread, while commits go on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeAlias

from crdtstore import limits
from crdtstore.commit_pace import CommitPace
from crdtstore.digesting import compute_in_turns
from crdtstore.engine.commits import Commit
from crdtstore.engine.digests import StoreDigest
from crdtstore.engine.settlement import Settlement
from crdtstore.engine.writes import WriteResult
from crdtstore.errors import ReplicaClosed, StorageError, StorageFailed, StorageFull
from crdtstore.links.exchange import Exchange
from crdtstore.storage.contract import MapFull, Storage, StorageCopy
from crdtstore.turns import in_turn

_Pinned: TypeAlias = "asyncio.Future[tuple[StoreDigest, StorageCopy]]"

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
        self._late: list[asyncio.Future[None]] = []
        self._pins: list[_Pinned] = []
        self._pace = CommitPace()
        self._stopping = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="crdtstore-commit")
        self._settler = ThreadPoolExecutor(1, thread_name_prefix="crdtstore-settle")
        self._settling: tuple[Settlement, asyncio.Future[None]] | None = None

    @property
    def waiting_writers(self) -> int:
        """How many writers wait for the next commit."""
        return len(self._waiters) + len(self._late)

    @property
    def _has_work(self) -> bool:
        """Whether somebody waits, or documents are on their way to rest."""
        return bool(self._waiters or self._late or self._pins or self._settling)

    async def durable(self) -> None:
        """Wait until all that was written so far is durable; raises StorageError."""
        await self.next_commit()

    async def erase(self, profile_id: str, if_version: str | None) -> WriteResult:
        """Erase a profile, and return when that is durable.

        A commit of others that is under way may find no room, and undo what was written after it:
        the erasure is then tried again, for there is room for it. Raises what ``Store.erase`` and a
        commit raise.
        """
        for _ in range(limits.ERASURE_ATTEMPTS_MAX - 1):
            with suppress(StorageFull):
                return await self._erase_once(profile_id, if_version)
        return await self._erase_once(profile_id, if_version)

    async def _erase_once(self, profile_id: str, if_version: str | None) -> WriteResult:
        result = self._exchange.store.erase(profile_id, if_version=if_version)
        await self.durable()
        return result

    def next_commit(self) -> "asyncio.Future[None]":
        """Return a future that is done when all that was written so far is durable, or was undone.

        Then it has the StorageError.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.work.set()
        return waiter

    async def pinned(self) -> tuple[StoreDigest, StorageCopy]:
        """Return the digest of what is durable between two commits, and a copy of just that.

        Raises StorageError or ReplicaClosed.
        """
        if self._stopping.is_set():
            raise ReplicaClosed("the replica is closing")
        await compute_in_turns(self._exchange.store.digests)
        pin: _Pinned = asyncio.get_running_loop().create_future()
        self._pins.append(pin)
        self.work.set()
        try:
            return await pin
        except asyncio.CancelledError:
            if pin.done() and not pin.cancelled() and pin.exception() is None:
                pin.result()[1].close()
            raise

    async def run(self, wake_links: Callable[[], None]) -> None:
        """Commit whenever there is something to commit, until stopped and nobody waits."""
        while self._has_work or not self._stopping.is_set():
            await self.work.wait()
            self.work.clear()
            if self._settling is not None and (self._settling[1].done() or self._is_alone):
                await self._finish_settlement(self._settling[0])
            if self._settling is None:
                await self._prepare()
            elif not (self._waiters or self._exchange.store.commits.has_news):
                continue  # documents that shall rest wait for those on their way
            waiters, self._waiters = self._waiters, []
            pins, self._pins = self._pins, []
            try:
                await self._commit_once(waiters, pins)
            finally:
                wake_links()
            await self._scrub_some()
            if self._interval_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._stopping.wait()

    @property
    def _is_alone(self) -> bool:
        """Whether the next commit needs the storage for itself."""
        store = self._exchange.store
        is_needed = bool(self._pins) or store.erasures.cleaning.scrub is not None
        return is_needed or self._stopping.is_set() or store.commits.waits_for_settlement

    async def _commit_once(self, waiters: list[asyncio.Future[None]], pins: list[_Pinned]) -> None:
        store = self._exchange.store
        try:
            commit = self._exchange.begin_commit(apart=not self._is_alone and not pins)
        except StorageError as failure:
            self._answer_late()
            _answer(waiters, failure)
            _refuse(pins, failure)
            return
        # Nothing may come between: what is in memory now is what this commit makes durable.
        digest = store.digest() if pins else None
        if commit is None:
            self._answer_late()
            _answer(waiters, None)
            self._pin(pins, digest)
            return
        is_for_the_loop = self._settling is None and self._pace.is_for_the_loop(
            commit.batch, len(waiters + self._waiters)
        )
        error = await self._persist(commit, None if is_for_the_loop else self._worker)
        self._exchange.finish_commit(commit, error)
        if error is not None:
            _log.error("a commit failed, and was undone: %s", error)
            waiters += self._waiters
            self._waiters = []
            if isinstance(error, StorageFull):
                self._pin(pins, store.digest() if pins else None)
            else:
                _refuse(pins, error)
        elif commit.makes_room:
            self._waiters = waiters + self._waiters
            self._pins = pins + self._pins
            self.work.set()
            return
        else:
            self._pin(pins, digest)
        self._answer_in_time(waiters, commit, error)
        self._announce()
        if error is None and commit.is_apart and commit.settlement is not None:
            self._settle(commit.settlement)

    def _settle(self, settlement: Settlement) -> None:
        """Begin to bring documents to rest, while commits go on."""
        storage = self._exchange.store.storage
        loop = asyncio.get_running_loop()
        settling = loop.run_in_executor(self._settler, settlement.settle, storage)
        settling.add_done_callback(lambda _: self.work.set())
        self._settling = settlement, settling

    async def _finish_settlement(self, settlement: Settlement) -> None:
        """Wait until documents rest, growing the map as needed; no commit may be running."""
        error: StorageError | None = None
        while self._settling is not None:
            try:
                await self._settling[1]
            except MapFull as failure:
                if self._exchange.store.storage.grow():
                    self._settle(settlement)
                    continue
                error = failure
            except StorageError as failure:
                error = failure
            self._settling = None
        if error is not None:
            _log.error("documents could not be brought to rest: %s", error)
        self._exchange.finish_settlement(settlement, error)

    def _answer_in_time(
        self, waiters: list[asyncio.Future[None]], commit: Commit, error: StorageError | None
    ) -> None:
        """Answer who waited for a commit, later if far too much is dirty: they shall write slower.

        Who is late has an answer already, whatever becomes of the commits after it.
        """
        dirty = self._exchange.store.documents.dirty
        settlement = commit.settlement
        rests_some = self._settling is not None or (settlement is not None and settlement.rested)
        is_behind = len(dirty) > limits.DIRTY_DOCUMENTS_BEFORE_WRITES and rests_some
        if error is None and is_behind:
            self._late += waiters
            self.work.set()
            return
        self._answer_late()
        _answer(waiters, error)

    def _answer_late(self) -> None:
        late, self._late = self._late, []
        _answer(late, None)

    async def _scrub_some(self) -> None:
        """Overwrite some of what was erased, in the worker thread, before the next commit."""
        store = self._exchange.store
        cleaning = store.erasures.cleaning
        if cleaning.scrub is None:
            return
        if self._settling is not None:
            await self._finish_settlement(self._settling[0])
        loop = asyncio.get_running_loop()
        try:
            is_done = await loop.run_in_executor(self._worker, cleaning.scrub.step)
        except StorageError as error:
            cleaning.step_failed(error, store.now_ms())
        else:
            cleaning.stepped(is_done, store.now_ms())
        self.work.set()

    def _pin(self, pins: list[_Pinned], digest: StoreDigest | None) -> None:
        """Pin what is durable, whose digest is given, for each who waits for it."""
        for pin in pins:
            assert digest is not None
            if pin.done():
                continue
            try:
                copy = self._exchange.store.storage.pinned_copy()
            except StorageError as error:
                _refuse([pin], error)
            else:
                pin.set_result((digest, copy))

    async def _persist(
        self, commit: Commit, worker: ThreadPoolExecutor | None
    ) -> StorageError | None:
        """Make a commit durable in the worker thread, or in this one; return the error it met."""
        storage = self._exchange.store.storage
        loop = asyncio.get_running_loop()
        while True:
            try:
                if worker is None:
                    elapsed_s = _timed(commit, storage)
                else:
                    persisting = loop.run_in_executor(worker, _timed, commit, storage)
                    await self._prepare(persisting)
                    elapsed_s = await persisting
            except MapFull as error:
                if self._settling is not None:
                    await asyncio.wait([self._settling[1]])
                if not storage.grow():
                    return error
            except StorageError as error:
                return error
            else:
                self._pace.note(commit.batch, elapsed_s)
                return None

    async def _prepare(self, until: "asyncio.Future[float] | None" = None) -> None:
        """Do in turns what the next commit would else do in one go when it begins."""
        commits = self._exchange.store.commits
        while commits.can_prepare and (until is None or not until.done()):
            await in_turn(commits.prepare)

    def fail(self, error: StorageError) -> None:
        """Answer everybody who waits with an error."""
        self._answer_late()
        waiters, self._waiters = self._waiters, []
        _answer(waiters, error)
        pins, self._pins = self._pins, []
        _refuse(pins, error)

    def task_ended(self, task: "asyncio.Task[None]") -> None:
        """Fail loudly when one of the replica's own tasks ends by an error, which is a bug."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.critical("task %s ended: the replica stops writing", task.get_name(), exc_info=error)
        failure = StorageFailed(f"an internal error ended {task.get_name()}: {error!r}")
        self._exchange.store.failure = failure
        self.fail(failure)

    def stop(self) -> None:
        """Let ``run`` end after what is being written now, and end every wait for a commit."""
        self._stopping.set()
        self.work.set()
        self._announce()

    def _announce(self) -> None:
        self.committed.set()
        self.committed = asyncio.Event()

    def close(self) -> None:
        """End the worker threads, after ``run`` has ended."""
        self._worker.shutdown()
        self._settler.shutdown()


def _timed(commit: Commit, storage: Storage) -> float:
    """Make a commit durable; return the seconds that it took."""
    started_s = time.perf_counter()
    commit.persist(storage)
    return time.perf_counter() - started_s


def _answer(waiters: list[asyncio.Future[None]], error: StorageError | None) -> None:
    if error is not None:
        _refuse(waiters, error)
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _refuse(futures: Sequence["asyncio.Future[Any]"], error: StorageError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(type(error)(*error.args))
