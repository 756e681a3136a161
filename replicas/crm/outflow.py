"""Outflow: from the change feed of the replica to a vendor, round by round.

changes of the feed, profiles that are due
  -> plan: which fields differ
  -> commit: what is being sent           (a crash from here on knows what may have arrived)
  -> the vendor, row by row
  -> commit: what became of each, and the cursor of the feed
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from crdtstore import Replica, add
from crdtstore.errors import CursorExpired, ProfileErased, ProfileNotFound, Refused
from replicas.crm import limits
from replicas.crm.crm import Edit, Outcome, RecordKey
from replicas.crm.dead_letters import DeadLetter
from replicas.crm.driver import Driver
from replicas.crm.joint import Joint
from replicas.crm.ledger import Ledger
from replicas.crm.link import Known, Link
from replicas.crm.mapping import CrmMapping
from replicas.crm.plan import Planned, Planner

_log = logging.getLogger("replicas.crm.outflow")

_SCAN_DONE: Final = "done"


class Outflow:
    """The way out to one vendor. ``counters`` tell what became of what was sent."""

    def __init__(
        self,
        replica: Replica,
        driver: Driver,
        mapping: CrmMapping,
        ledger: Ledger,
    ) -> None:
        self.counters = dict.fromkeys(
            ("edits", "fields", "done", "retry", "conflict", "permanent", "created", "deleted"), 0
        )
        self.planner = Planner(replica, mapping, ledger)
        self._replica = replica
        self._driver = driver
        self._mapping = mapping
        self._ledger = ledger
        self._source = driver.crm.source
        self._feed_cursor = f"crm/{self._source}/feed"
        self._scan_cursor = f"crm/{self._source}/scan"

    @property
    def is_compared(self) -> bool:
        """Whether all profiles were compared with their records."""
        return self._replica.cursors.get(self._scan_cursor, "").startswith(_SCAN_DONE)

    async def round(self) -> bool:
        """Send what is due now; say whether there was anything to look at."""
        due = dict(list(self._ledger.due().items())[: limits.FEED_PAGE_MAX])
        if due:
            await self.push(list(due), due=due)
        if not self.is_compared:
            await self._scan(self._replica.cursors.get(self._scan_cursor, ""))
            return True
        changed, cursor = await self._changed()
        if cursor is None:
            return bool(due)
        erased = [profile_id for profile_id, is_erased in changed.items() if is_erased]
        await self.push(list(changed), cursors={self._feed_cursor: cursor}, erased=erased)
        return True

    async def rescan(self) -> None:
        """Have all profiles compared with their records."""
        async with self._replica.notes.commit() as commit:
            commit.move_cursor(self._scan_cursor, "")

    async def wait(self) -> None:
        """Return when the feed has something new."""
        since = self._replica.cursors.get(self._feed_cursor, "")
        async for _ in self._replica.changes(since=since):
            return

    async def _changed(self) -> tuple[dict[str, bool], str | None]:
        """Return what changed, and whether it was erased; and the cursor behind that, if any."""
        since = self._replica.cursors.get(self._feed_cursor, "")
        changed: dict[str, bool] = {}
        cursor = None
        try:
            async for change in self._replica.changes(since=since, follow=False):
                changed[change.id] = change.erased
                cursor = change.cursor
                if len(changed) >= limits.FEED_PAGE_MAX:
                    break
        except CursorExpired:
            _log.warning("the feed no longer reaches back to %s: all profiles are compared", since)
            erased = await self._erased()
            async with self._replica.notes.commit() as commit:
                self._mark_erased(commit, erased)
                commit.move_cursor(self._feed_cursor, "")
                commit.move_cursor(self._scan_cursor, "")
            return {}, None
        return changed, cursor

    async def _erased(self) -> list[str]:
        """Return the erased profiles that have a record: no list of profiles names them."""
        erased: list[str] = []
        linked = self._ledger.linked()
        for at in range(0, len(linked), limits.PLANNED_MAX):
            for profile_id in linked[at : at + limits.PLANNED_MAX]:
                try:
                    self._replica.read(profile_id)
                except ProfileErased:
                    erased.append(profile_id)
                except ProfileNotFound:
                    continue
            await asyncio.sleep(0)
        return erased

    def _mark_erased(self, commit: Joint, erased: Iterable[str]) -> None:
        for profile_id in erased:
            self._forget_erased(commit, profile_id)
            self._ledger.mark_due(commit, profile_id)

    def _forget_erased(self, commit: Joint, profile_id: str) -> None:
        self._ledger.unbury(commit, f"out/{profile_id}")
        self._ledger.unbury(commit, f"gone/{profile_id}")
        self._ledger.withdrawn.drop(commit, profile_id)

    async def _scan(self, after: str) -> None:
        """Compare the next page of all profiles; at the very first, the feed is then at its end.

        Who was erased before that, during the load, is in no page and not in the rest of the feed.
        """
        cursors = self._replica.cursors
        is_first = self._scan_cursor not in cursors and self._feed_cursor not in cursors
        feed_end = {self._feed_cursor: self._replica.notes.feed_end()} if is_first else {}
        if is_first and (erased := await self._erased()):
            async with self._replica.notes.commit() as commit:
                self._mark_erased(commit, erased)
        profiles = self._replica.profiles(after=after, limit=limits.FEED_PAGE_MAX)
        ids = [profile.id for profile in profiles]
        to = ids[-1] if len(ids) == limits.FEED_PAGE_MAX else _SCAN_DONE
        await self.push(ids, cursors={self._scan_cursor: to, **feed_end})

    async def push(
        self,
        profile_ids: Sequence[str],
        *,
        cursors: Mapping[str, str] | None = None,
        due: Mapping[str, bytes] | None = None,
        erased: Sequence[str] = (),
    ) -> list[Outcome]:
        """Send what differs for some profiles; return what became of it, durably noted.

        ``cursors`` are moved and what is ``due`` settled with that. What dead letters say about
        ``erased`` profiles goes, for a vendor's reasons may quote values; and what was kept aside.
        """
        planned: list[Planned] = []
        seen: set[str] = set()
        for at in range(0, len(profile_ids), limits.PLANNED_MAX):
            planned += self.planner.plan(profile_ids[at : at + limits.PLANNED_MAX], seen)
            await asyncio.sleep(0)
        outcomes: list[Outcome] = []
        if planned:
            await self._announce(planned)
            conversation = self._driver.crm.push([each.edit for each in planned])
            outcomes = await self._driver.run(conversation, "push")
        digests = {id(each.edit): each.digests for each in planned}
        async with self._replica.notes.commit() as commit:
            for profile_id in erased:
                self._forget_erased(commit, profile_id)
            for outcome in outcomes:
                self._settle(commit, outcome, digests[id(outcome.edit)])
            for profile_id in (due or {}).keys() - {each.edit.profile_id for each in planned}:
                self._ledger.unbury(commit, f"out/{profile_id}")  # nothing differs any more
            self._ledger.settle_due(commit, due or {})
            for name, place in (cursors or {}).items():
                commit.move_cursor(name, place)
        return outcomes

    async def _announce(self, planned: Iterable[Planned]) -> None:
        """Note durably what is being sent, before the first byte of it goes."""
        async with self._replica.notes.commit() as commit:
            for each in planned:
                edit = each.edit
                self.counters["edits"] += 1
                self.counters["fields"] += len(edit.values)
                self._ledger.touches.touch(edit.profile_id)
                link = self._ledger.link(edit.profile_id) or Link(edit.object, state="new")
                link.sent_in = self._ledger.loads.number(edit.object)
                for name, digest in each.digests.items():
                    known = link.known.setdefault(name, Known())
                    known.sent, known.is_flying = digest, True
                self._ledger.keep_link(commit, edit.profile_id, link)

    def _settle(self, commit: Joint, outcome: Outcome, digests: dict[str, bytes]) -> None:
        edit = outcome.edit
        self.counters[outcome.result] += 1
        self._ledger.touches.touch(edit.profile_id)
        link = self._ledger.link(edit.profile_id)
        if link is None:
            return
        link.sent_in = self._ledger.loads.number(edit.object)
        key = f"out/{edit.profile_id}"
        if outcome.result == "done":
            self._ledger.unbury(commit, key)
            if edit.is_deletion:
                self.counters["deleted"] += 1
                self._ledger.unbury(commit, f"gone/{edit.profile_id}")
                link = Link(link.object, link.record_id, "erased")
            elif link.state == "new" and outcome.record_id:
                self.counters["created"] += 1
                link.record_id, link.state = outcome.record_id, "live"
                self._name_record(commit, edit.profile_id, link)
        else:
            self._ledger.bury(commit, _letter_of(outcome, key))
            doubtful = [*outcome.other_ids]
            if outcome.result == "conflict" and edit.record_id:
                doubtful.append(edit.record_id)
            for record_id in doubtful:
                self._ledger.mark_reread(commit, RecordKey(edit.object, record_id))
        for name, digest in digests.items():
            known = link.known.get(name)
            if known is None or known.sent != digest:
                continue
            known.is_flying = False
            if outcome.result == "done":
                known.value = digest
            else:
                known.sent = None
        self._ledger.keep_link(commit, edit.profile_id, link)

    def _name_record(self, commit: Joint, profile_id: str, link: Link) -> None:
        """Note the record that was made among the identifiers of its person."""
        kind = self._mapping.by_name[link.object].identifier
        try:
            named = {"identifiers": add(f"{kind}:{link.record_id}")}
            commit.write(profile_id, named, source=self._source)
        except Refused as error:
            _log.info("profile %s does not take its record's id: %s", profile_id, error)


def _letter_of(outcome: Outcome, key: str) -> DeadLetter:
    edit: Edit = outcome.edit
    return DeadLetter(
        key=key,
        direction="out",
        profile_id=edit.profile_id,
        object=edit.object,
        record_id=edit.record_id,
        result=outcome.result,
        code=outcome.code,
        message=outcome.message,
        properties=tuple(edit.values),
        other_ids=outcome.other_ids,
        at_ms=time.time_ns() // 1_000_000,
    )
