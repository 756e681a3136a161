"""Event stream: the event log as rows of event_stream in PostgreSQL, each event once.

The position in the log moves in the transaction of the rows, so whatever is repeated after a crash
was not there. What is erased is deleted by the change feed, whose position moves with that; who was
erased is remembered beside the rows, so that events that come behind their erasure are left out.
"""

import asyncio
import dataclasses
import json
import logging
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from crdtstore import Replica
from crdtstore.errors import CursorExpired, InvalidInput, ProfileErased, ProfileNotFound, Refused
from replicas.cdp import limits
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.feed import next_changes
from replicas.cdp.projections.backoff import Backoff
from replicas.cdp.projections.errors import PositionMoved, TargetTaken, TargetUnavailable
from replicas.cdp.projections.postgresql import Database, jsonb_of, row_id

if TYPE_CHECKING:
    from replicas.cdp.projections.postgresql import Connection

_log = logging.getLogger("replicas.cdp.projections")

_Row: TypeAlias = tuple[uuid.UUID, str, str, datetime]

_NAME: Final = "event_stream"
_COLUMNS: Final = ("profile_id", "event_type", "properties", "ingested_at")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ERASE: Final = """
with erased as (
    insert into cdp_erased select unnest($1::uuid[]) on conflict do nothing
)
delete from event_stream where profile_id = any($1::uuid[])
"""
_REVIVE: Final = "delete from cdp_erased where profile_id = any($1::uuid[])"
_ERASED: Final = "select profile_id from cdp_erased where profile_id = any($1::uuid[])"


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Whose events these are, how far in the log, and how far in the change feed."""

    replica: str
    origin: str
    sequence: int
    cursor: str


class EventStream:
    """The rows of one event log. ``counters`` only grow; ``trouble`` says why it stands still.

    ``lag_s`` is how long ago the newest event of the last transaction had come; 0 when nothing is
    left to do. ``sequence`` is the last event that was written: up to it the log may forget.
    """

    name = "postgresql_events"

    def __init__(self, replica: Replica, log: EventLog, database: Database) -> None:
        self.counters = dict.fromkeys(
            ("events", "left_out", "deleted", "batches", "failures", "rebuilds"), 0
        )
        self.lag_s = 0.0
        self.trouble = ""
        self.position: StreamPosition | None = None
        self._replica = replica
        self._log = log
        self._database = database
        self._rebuild_wanted = False
        self._work = asyncio.Event()

    @property
    def sequence(self) -> int:
        """The last event that was written, as far as is known."""
        return 0 if self.position is None else self.position.sequence

    @property
    def behind(self) -> int:
        """How many events of the log are still to be written."""
        return max(0, self._log.last_sequence - self.sequence)

    def rebuild(self) -> None:
        """Have all rows removed, and those written that the log still has."""
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
                    self.position = None
                    self.counters["failures"] += 1
                    if str(error) != self.trouble:
                        _log.warning("the event stream stops for a while: %s", error)
                    self.trouble = str(error)
                    await backoff.wait(self._work)
                else:
                    backoff.succeeded()
                    self.trouble = ""
        finally:
            await self._database.close()

    async def step(self) -> None:
        """Write the next events, and delete what was erased; or wait a little for some."""
        self._work.clear()
        if self.position is None or self._rebuild_wanted:
            self.position = await self._begin()
        before = self.position
        erased, revived, cursor = await self._erasures(before.cursor)
        events = await asyncio.to_thread(
            self._log.read, before.sequence, limits.PROJECTED_EVENTS_MAX
        )
        if not events and cursor == before.cursor:
            self.lag_s = 0.0
            await self._rest()
            return
        last = events[-1][0] if events else before.sequence
        after = dataclasses.replace(before, sequence=last, cursor=cursor)
        rows = await asyncio.to_thread(_rows_of, [event for _, event in events])
        async with self._database.transaction() as connection:
            await self._check(connection, before)
            if revived:
                await connection.execute(_REVIVE, revived)
            if erased:
                told = await connection.execute(_ERASE, erased)
                self.counters["deleted"] += int(told.split()[-1])
            kept = await _kept(connection, rows)
            if kept:
                await connection.copy_records_to_table(_NAME, records=kept, columns=_COLUMNS)
            await self._move(connection, after)
        self.position = after
        self.counters["batches"] += 1
        self.counters["events"] += len(kept)
        self.counters["left_out"] += len(rows) - len(kept)
        if events:
            self.lag_s = max(0.0, time.time() - events[-1][1].received_at_ms / 1000)

    # --- inside -------------------------------------------------------------------------------

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(limits.PROJECTION_EVENTS_LOOK_S):
                await self._work.wait()
        except TimeoutError:
            return

    async def _begin(self) -> StreamPosition:
        """Return the position from which to go on; begin with no rows if there is none."""
        async with self._database.transaction() as connection:
            found = _unpacked(await self._database.position(connection, _NAME))
            mine = self._replica.name, self._replica.origin
            if found is not None and not self._rebuild_wanted:
                if found.replica != mine[0]:
                    raise TargetTaken("event_stream", found.replica)
                if found.origin == mine[1]:
                    return found
                # Another incarnation: its journal is not this one, its events are.
                sequence = min(found.sequence, self._log.last_sequence)
                begun = StreamPosition(*mine, sequence, self._replica.status().feed_end)
                await connection.execute(_ERASE, self._all_erased())
            else:
                begun = StreamPosition(*mine, 0, self._replica.status().feed_end)
                await connection.execute("truncate event_stream restart identity")
                await connection.execute(_ERASE, self._all_erased())
                self.counters["rebuilds"] += 1
            await self._move(connection, begun)
        self._rebuild_wanted = False
        return begun

    async def _erasures(self, since: str) -> tuple[list[uuid.UUID], list[uuid.UUID], str]:
        """Return whom the next changes erased, whom they revived, and the cursor behind them."""
        try:
            changes = await next_changes(self._replica, since, limits.PROJECTED_CHANGES_MAX)
        except (CursorExpired, InvalidInput) as error:
            _log.warning("all erasures are looked at: %s", error)
            return self._all_erased(), [], self._replica.status().feed_end
        gone: dict[str, bool] = {}
        for change in changes:
            if change.erased or not change.fields:
                gone[change.id] = self._is_erased(change.id)
        erased = [row_id(profile) for profile, is_erased in gone.items() if is_erased]
        revived = [row_id(profile) for profile, is_erased in gone.items() if not is_erased]
        return erased, revived, changes[-1].cursor if changes else since

    def _all_erased(self) -> list[uuid.UUID]:
        found: list[uuid.UUID] = []
        after: str | None = ""
        while after is not None:
            page = self._replica.erasures.present(after=after)
            found += [row_id(each) for report in page for each in report.profiles]
            after = page[-1].id if page else None
        return found

    def _is_erased(self, profile_id: str) -> bool:
        try:
            self._replica.read(profile_id)
        except ProfileErased:
            return True
        except ProfileNotFound:
            return False
        return False

    async def _check(self, connection: "Connection", before: StreamPosition) -> None:
        if _unpacked(await self._database.position(connection, _NAME)) != before:
            raise PositionMoved("event_stream is not where it was left")

    async def _move(self, connection: "Connection", position: StreamPosition) -> None:
        packed = json.dumps(asdict(position), sort_keys=True)
        await self._database.move(connection, _NAME, packed)


async def _kept(connection: "Connection", rows: list[_Row]) -> list[_Row]:
    """Return the rows without those of erased profiles."""
    profiles = list({row[0] for row in rows})
    erased = {record[0] for record in await connection.fetch(_ERASED, profiles)}
    return [row for row in rows if row[0] not in erased] if erased else rows


def _rows_of(events: list[Event]) -> list[_Row]:
    return [
        (
            row_id(event.profile_id),
            event.name if event.kind == "track" else event.kind,
            jsonb_of(event.properties),
            _EPOCH + timedelta(milliseconds=event.received_at_ms),
        )
        for event in events
    ]


def _unpacked(text: str | None) -> StreamPosition | None:
    try:
        return None if text is None else StreamPosition(**json.loads(text))
    except (ValueError, TypeError):
        return None
