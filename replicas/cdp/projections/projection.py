"""Projection: the golden records of all persons in a target, kept from the change feed.

load: all profiles, page by page -> their persons' rows
follow: changes of the feed -> the persons that they touched -> rows that change
each page is one transaction of the target, and the position goes with it

What is applied twice changes nothing: rows are written whole. Whatever the target says of its
position is believed, so a target that lost its data, or went back to an older copy, is made whole.
"""

import asyncio
import dataclasses
import logging
import time
import uuid
from typing import Protocol

from crdtstore import Replica
from crdtstore.errors import CursorExpired, InvalidInput, Refused
from replicas.cdp import limits
from replicas.cdp.feed import next_changes, touched_by, wait_for_change
from replicas.cdp.projections.backoff import Backoff
from replicas.cdp.projections.errors import PositionMoved, TargetTaken, TargetUnavailable
from replicas.cdp.projections.position import FOLLOWING, LOADING, Position
from replicas.cdp.projections.rows import Batch, RowsOf, batch_of

_log = logging.getLogger("replicas.cdp.projections")


class Target(Protocol):
    """Where rows are kept. All may raise TargetUnavailable."""

    @property
    def name(self) -> str:
        """What it is called in notes, metrics and logs."""
        ...

    @property
    def rows_of(self) -> RowsOf:
        """Find the rows that hold any of some profiles."""
        ...

    async def position(self) -> Position | None:
        """Return what the target says of itself."""
        ...

    async def clear(self, position: Position) -> None:
        """Remove all rows, and begin at a position."""
        ...

    async def apply(self, batch: Batch, before: Position, after: Position) -> None:
        """Write rows, and move the position, in one; raises PositionMoved if it is not before."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


class Projection:
    """One target beside a replica. ``counters`` only grow; ``trouble`` says why it stands still.

    ``lag_s`` is how old the newest change of the last transaction was when that was there; 0 when
    nothing is left to do.
    """

    def __init__(self, replica: Replica, target: Target) -> None:
        self.target = target
        self.counters = dict.fromkeys(
            ("changes", "persons", "rows_gone", "batches", "failures", "rebuilds", "found_moved"), 0
        )
        self.lag_s = 0.0
        self.trouble = ""
        self.position: Position | None = None
        self._replica = replica
        self._note = f"cdp/projection/{target.name}"
        self._rebuild_wanted = False
        self._work = asyncio.Event()
        self._reloaded_s = float("-inf")

    @property
    def progress(self) -> tuple[int, int | None]:
        """How many profiles were loaded, and of how many; the latter is None when it follows."""
        if self.position is None or self.position.state == FOLLOWING:
            return 0, None
        return self.position.done, max(self.position.done, self._replica.status().profiles)

    def rebuild(self) -> None:
        """Have the target cleared, and loaded from zero."""
        self._rebuild_wanted = True
        self._work.set()

    async def run(self) -> None:
        """Work until cancelled."""
        backoff = Backoff()
        try:
            while True:
                try:
                    await self.step()
                except (TargetUnavailable, TargetTaken, PositionMoved, Refused) as error:
                    self._failed(error)
                    await backoff.wait(self._work)
                else:
                    backoff.succeeded()
                    self.trouble = ""
        finally:
            await self.target.close()

    async def step(self) -> None:
        """Do the next page of work, or wait a little for some."""
        self._work.clear()
        if self.position is None or self._rebuild_wanted:
            self.position = None
            self.position = await self._begin()
        if self.position.state == LOADING:
            await self._load(self.position)
        else:
            await self._follow(self.position)

    # --- inside -------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        self.position = None
        if isinstance(error, PositionMoved):
            self.counters["found_moved"] += 1
        else:
            self.counters["failures"] += 1
        if str(error) != self.trouble:
            _log.warning("projection %s stops for a while: %s", self.target.name, error)
        self.trouble = str(error)

    async def _begin(self) -> Position:
        """Return the position from which to go on; begin from zero if the target's is no good."""
        found = await self.target.position()
        if found is not None and not self._rebuild_wanted:
            if self._is_ours(found):
                return found
            if found.replica != self._replica.name:
                raise TargetTaken(self.target.name, found.replica)
        begun = Position(
            replica=self._replica.name,
            origin=self._replica.origin,
            schema=self._replica.schema.digest,
            generation=uuid.uuid4().hex,
            state=LOADING,
            cursor=self._replica.status().feed_end,
        )
        async with self._replica.notes.commit() as commit:
            commit.note(self._note, begun.generation.encode())
        _log.info("projection %s is built from zero", self.target.name)
        await self.target.clear(begun)
        self._rebuild_wanted = False
        self.counters["rebuilds"] += 1
        return begun

    def _is_ours(self, found: Position) -> bool:
        note = self._replica.notes.get(self._note)
        return (
            found.generation.encode() == note
            and found.origin == self._replica.origin
            and found.schema == self._replica.schema.digest
        )

    async def _load(self, position: Position) -> None:
        """Write the rows of the next page of all profiles."""
        count = limits.PROJECTED_PROFILES_MAX
        ids = [each.id for each in self._replica.profiles(after=position.after, limit=count)]
        is_last = len(ids) < count
        after = dataclasses.replace(
            position,
            state=FOLLOWING if is_last else LOADING,
            after="" if is_last else ids[-1],
            done=position.done + len(ids),
        )
        await self._apply(await batch_of(self._replica, ids, self.target.rows_of), position, after)

    async def _follow(self, position: Position) -> None:
        """Bring the next changes of the feed into the target, or wait for some."""
        try:
            changes = await next_changes(
                self._replica, position.cursor, limits.PROJECTED_CHANGES_MAX
            )
        except (CursorExpired, InvalidInput) as error:
            _log.warning("projection %s is built anew: %s", self.target.name, error)
            self.rebuild()
            return
        if not changes:
            self.lag_s = 0.0
            await wait_for_change(self._replica, position.cursor, limits.PROJECTION_LOOK_S)
            if await self.target.position() != position:
                raise PositionMoved(f"{self.target.name} is not where it was left")
            return
        touched = await touched_by(self._replica, changes)
        profiles = touched.gone.union(*touched.persons.values())
        batch = await batch_of(self._replica, profiles, self.target.rows_of)
        after = dataclasses.replace(position, cursor=changes[-1].cursor)
        if not touched.is_complete and time.monotonic() - self._reloaded_s > limits.RESCAN_S:
            self._reloaded_s = time.monotonic()
            after = dataclasses.replace(after, state=LOADING, after="", done=0)
        await self._apply(batch, position, after)
        self.counters["changes"] += len(changes)
        newest_ms = max(change.timestamp for change in changes) >> 16
        self.lag_s = max(0.0, time.time() - newest_ms / 1000)

    async def _apply(self, batch: Batch, before: Position, after: Position) -> None:
        await self.target.apply(batch, before, after)
        self.position = after
        self.counters["batches"] += 1
        self.counters["persons"] += len(batch.persons)
        self.counters["rows_gone"] += len(batch.rows_gone)
