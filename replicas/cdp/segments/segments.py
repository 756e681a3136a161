"""Segments: membership kept up to date from the change feed, by time, and when definitions change.

changes of the feed -> the persons that they touched -> their golden records, judged
  -> one commit: the segments of their profiles, what is remembered of them, and the cursor

A change is looked at only if it may change a verdict: what definitions read, who is of one person,
an erasure. Where another region says of somebody's segments what we do not, it knows more, or less,
and will not for long: the person is evaluated again some minutes later. So regions agree when they
know the same, and two with different definitions do not undo one another's word without end.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from crdtstore import Change, Person, Replica, edit_set
from crdtstore.errors import (
    ConfigurationError,
    CursorExpired,
    InvalidInput,
    LimitExceeded,
    ProfileErased,
    ProfileNotFound,
    Refused,
    StorageFull,
)
from replicas.cdp import limits
from replicas.cdp.feed import is_there, next_changes, touched_by, wait_for_change
from replicas.cdp.segments.definitions import SEGMENTS, SOURCE, SegmentDefinitions
from replicas.cdp.segments.membership import planned_edits
from replicas.cdp.segments.memory import MINUTE_MS, Commit, Memory

_log = logging.getLogger("replicas.cdp.segments")

_FEED: Final = "cdp/segments/feed"
_SCAN: Final = "cdp/segments/scan"
_MINUTE: Final = "cdp/segments/minute"
_DONE: Final = "done"
_IDENTIFIERS: Final = "identifiers"
_IDENTITY: Final = "identity."
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Scan:
    """How far the evaluation of all persons is: profiles looked at, and of how many."""

    done: int
    of: int
    is_done: bool


def wall_ms() -> int:
    """Return the present in milliseconds."""
    return time.time_ns() // 1_000_000


class Segments:
    """The segments of one replica. ``counters`` only grow; ``lag_s`` is that of the last changes.

    The replica's schema comes from ``with_segments``.
    """

    def __init__(
        self,
        replica: Replica,
        definitions: SegmentDefinitions,
        *,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        declared = replica.schema.fields.get(SEGMENTS)
        if declared is None or declared.kind != "set" or not declared.indexed:
            raise ConfigurationError(
                f"field {SEGMENTS!r} is no indexed set: open the replica with with_segments(schema)"
            )
        self.definitions = definitions
        self.counters = dict.fromkeys(
            ("changes", "evaluated", "due", "entered", "exited", "disputed", "refused", "scans"),
            0,
        )
        self.lag_s = 0.0
        self.trouble = ""
        self._replica = replica
        self._memory = Memory(replica)
        self._clock_ms = clock_ms
        self._now_ms = 0
        self._managed = frozenset(definitions.segments)
        self._has_begun = False
        self._rescanned_s = float("-inf")

    # --- what is asked from outside -----------------------------------------------------------

    @property
    def scan(self) -> Scan:
        """How far the evaluation of all persons is."""
        done, after = self._scanned()
        is_done = after == _DONE
        total = self._replica.status().profiles
        return Scan(done, max(done, total), is_done)

    async def rescan(self) -> None:
        """Have all persons evaluated anew."""
        self.counters["scans"] += 1
        self._rescanned_s = time.monotonic()
        async with self._replica.notes.commit() as commit:
            commit.move_cursor(_SCAN, "0/")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                is_busy = await self.step()
            except (StorageFull, Refused) as error:
                self.trouble = str(error)
                _log.warning("segments stop for a while: %s", error)
                await asyncio.sleep(_RETRY_S)
                continue
            self.trouble = ""
            if not is_busy:
                until_s = (MINUTE_MS - self._clock_ms() % MINUTE_MS) / 1000
                await wait_for_change(self._replica, self._cursor(_FEED), until_s)

    async def step(self) -> bool:
        """Do what is due now: a page of each kind of work; say whether there was any."""
        if not self._has_begun:
            await self._begin()
        is_busy = await self._follow()
        is_busy |= await self._follow_time()
        return await self._scan_on() or is_busy

    # --- the kinds of work --------------------------------------------------------------------

    async def _begin(self) -> None:
        """Take note of the definitions; have everybody evaluated if they are new."""
        digest, names = self._memory.definitions()
        present = sorted(self.definitions.segments)
        self._managed = frozenset((*present, *names))
        if digest != self.definitions.digest:
            self.counters["scans"] += 1
            async with self._replica.notes.commit() as commit:
                managed = sorted(self._managed)
                self._memory.keep_definitions(commit, self.definitions.digest, managed)
                commit.move_cursor(_SCAN, "0/")
                if not self._cursor(_FEED):
                    commit.move_cursor(_FEED, self._replica.status().feed_end)
                    commit.move_cursor(_MINUTE, str(self._clock_ms() // MINUTE_MS))
        self._has_begun = True

    async def _follow(self) -> bool:
        since = self._cursor(_FEED)
        try:
            changes = await next_changes(self._replica, since, limits.SEGMENT_FEED_PAGE_MAX)
        except (CursorExpired, InvalidInput) as error:
            _log.warning("segments of everybody are evaluated anew: %s", error)
            async with self._replica.notes.commit() as commit:
                commit.move_cursor(_FEED, self._replica.status().feed_end)
            await self.rescan()
            return True
        if not changes:
            self.lag_s = 0.0
            return False
        self.counters["changes"] += len(changes)
        newest_ms = max(change.timestamp for change in changes) >> 16
        # As late as what we know of: so another region's word never comes from our future.
        self._now_ms = max(self._now_ms, newest_ms)
        touched = await touched_by(self._replica, filter(self._matters, changes))
        relatives = {
            relative for gone in touched.gone for relative in self._memory.profile(gone).relatives
        }
        if touched.gone:
            async with self._replica.notes.commit() as commit:
                for profile_id in touched.gone:
                    if not is_there(self._replica, profile_id):
                        self._memory.forget(commit, profile_id)
        await self._evaluate([*touched.persons, *sorted(relatives - touched.gone)])
        await self._recheck(changes)
        async with self._replica.notes.commit() as commit:
            commit.move_cursor(_FEED, changes[-1].cursor)
        self.lag_s = max(0.0, (self._clock_ms() - newest_ms) / 1000)
        is_time = time.monotonic() - self._rescanned_s > limits.RESCAN_S
        if not touched.is_complete and is_time:
            await self.rescan()
        return True

    async def _follow_time(self) -> bool:
        """Evaluate those that are due by now."""
        now = self._clock_ms() // MINUTE_MS
        since = int(self._cursor(_MINUTE) or now)
        last = min(now, since + limits.DUE_MINUTES_MAX)
        for minute in range(since + 1, last + 1):
            due = self._memory.due(minute)
            self.counters["due"] += len(due)
            await self._evaluate(due, minute)
        if last > since:
            async with self._replica.notes.commit() as commit:
                commit.move_cursor(_MINUTE, str(last))
        return last < now

    async def _scan_on(self) -> bool:
        """Evaluate the persons of the next page of all profiles; say whether there were any."""
        done, after = self._scanned()
        if after == _DONE:
            return False
        last = after.removeprefix("@")
        page = self._replica.profiles(after=last, limit=limits.SEGMENT_SCAN_PAGE_MAX)
        await self._evaluate([profile.id for profile in page], is_scan=True)
        if self._scanned() != (done, after):
            return True  # it began anew meanwhile
        is_last = len(page) < limits.SEGMENT_SCAN_PAGE_MAX
        done += len(page)
        async with self._replica.notes.commit() as commit:
            commit.move_cursor(_SCAN, f"{done}/{_DONE if is_last else '@' + page[-1].id}")
            if is_last:
                self._managed = frozenset(self.definitions.segments)
                present = sorted(self._managed)
                self._memory.keep_definitions(commit, self.definitions.digest, present)
        return True

    # --- evaluating ---------------------------------------------------------------------------

    def _matters(self, change: Change) -> bool:
        """Say whether a change may change a verdict."""
        if not change.fields:
            return True
        return any(
            field in self.definitions.fields or field == _IDENTIFIERS or field.startswith(_IDENTITY)
            for field in change.fields
        )

    async def _evaluate(
        self, profile_ids: Iterable[str], minute: int = 0, *, is_scan: bool = False
    ) -> None:
        """Judge the persons of some profiles; in a scan each by its first profile only."""
        waiting = list(profile_ids)
        while waiting:
            part, waiting = waiting[: limits.EVALUATED_MAX], waiting[limits.EVALUATED_MAX :]
            async with self._replica.notes.commit() as commit:
                now_ms = self._now()
                for profile_id in part:
                    if minute:
                        self._memory.settle(commit, minute, profile_id)
                    person = self._person(profile_id)
                    if person is None or (is_scan and profile_id != min(person.profiles)):
                        continue
                    verdict = self.definitions.judge(person.record, now_ms)
                    self.counters["evaluated"] += 1
                    self._write(commit, person, verdict.segments)
                    self._remember(commit, person, verdict.due_ms)
            await asyncio.sleep(0)

    async def _recheck(self, changes: Iterable[Change]) -> None:
        """Have those looked at again, later, of whom another region says what we do not."""
        own = int(self._replica.origin, 16)
        told = [
            change
            for change in changes
            if SEGMENTS in change.fields and change.origin != own and not self._matters(change)
        ]
        persons = [*(await touched_by(self._replica, told)).persons]
        due_ms = self._now() + int(limits.SEGMENT_RECHECK_S * 1000)
        for at in range(0, len(persons), limits.EVALUATED_MAX):
            async with self._replica.notes.commit() as commit:
                for person_id in persons[at : at + limits.EVALUATED_MAX]:
                    person = self._person(person_id)
                    if person is not None and self._is_disputed(person):
                        self.counters["disputed"] += 1
                        self._remember(commit, person, due_ms)
            await asyncio.sleep(0)

    def _is_disputed(self, person: Person) -> bool:
        wanted = self.definitions.judge(person.record, self._now()).segments
        present = self._present(person)
        return bool(planned_edits(person.id, present, wanted, self._managed))

    def _person(self, profile_id: str) -> Person | None:
        try:
            return self._replica.persons.read(profile_id)
        except (ProfileNotFound, ProfileErased):
            return None  # gone meanwhile: a later change tells, or told already

    def _present(self, person: Person) -> dict[str, frozenset[str]]:
        """Return the segments of each profile of a person."""
        standing = _standing(person.record.get(SEGMENTS))
        if len(person.profiles) == 1 or not standing:
            return {person.id: standing}
        return {each: _standing(self._replica.read(each).get(SEGMENTS)) for each in person.profiles}

    def _write(self, commit: Commit, person: Person, wanted: frozenset[str]) -> None:
        standing = _standing(person.record.get(SEGMENTS))
        present = self._present(person)
        for edit in planned_edits(person.id, present, wanted, self._managed):
            fields = {SEGMENTS: edit_set(add=edit.add, remove=edit.remove)}
            try:
                commit.write(edit.profile_id, fields, source=SOURCE)
            except (Refused, LimitExceeded) as error:
                self.counters["refused"] += 1
                _log.warning("the segments of a profile cannot be written: %s", error)
        self.counters["entered"] += len(wanted & self._managed - standing)
        self.counters["exited"] += len(standing & self._managed - wanted)

    def _remember(self, commit: Commit, person: Person, due_ms: int | None) -> None:
        for profile_id in person.profiles:
            relatives = [each for each in person.profiles if each != profile_id]
            is_asked = profile_id == person.id
            self._memory.keep(commit, profile_id, relatives, due_ms if is_asked else None)

    def _now(self) -> int:
        self._now_ms = max(self._now_ms, self._clock_ms())
        return self._now_ms

    def _cursor(self, name: str) -> str:
        return self._replica.cursors.get(name, "")

    def _scanned(self) -> tuple[int, str]:
        done, _, after = (self._cursor(_SCAN) or "0/").partition("/")
        return int(done), after


def _standing(value: object) -> frozenset[str]:
    elements = value if isinstance(value, list) else []
    return frozenset(each for each in elements if isinstance(each, str))
