"""Forgetting: the events of who was erased are removed from the log, with their bytes.

It follows the change feed of the replica, from a durable cursor, and the notes of what learning
found refused. Doing it again changes nothing, so the cursor moves when it is done. The feed is read
only if somebody was erased: otherwise its end is where to go on.
"""

import asyncio
import logging
from typing import Final

from crdtstore import Replica
from crdtstore.errors import CursorExpired, StorageError
from replicas.cdp import limits
from replicas.cdp.collecting import Collecting
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.learning import FORGET_NOTE, Learning

_CURSOR: Final = "cdp/forgotten"

_log = logging.getLogger("replicas.cdp.forgetting")


class Forgetting:
    """What removes events for one replica: ``forgotten`` of them; ``trouble`` says what fails."""

    def __init__(
        self, replica: Replica, log: EventLog, collecting: Collecting, learning: Learning
    ) -> None:
        self.forgotten = 0
        self.trouble = ""
        self._replica = replica
        self._log = log
        self._collecting = collecting
        self._learning = learning
        self._since = replica.cursors.get(_CURSOR, "")
        self._erased_writes = -1

    async def run(self) -> None:
        """Follow the feed for ever; what the disk refuses now is tried again."""
        while True:
            try:
                await self.forget_once()
                self.trouble = ""
            except (StorageError, LogUnusable) as error:
                self.trouble = str(error)
                _log.warning("forgetting waits: %s", error)
            await asyncio.sleep(limits.FORGET_S)

    async def forget_once(self) -> int:
        """Remove the events of all who were erased by now; return how many there were."""
        erased_writes = self._replica.erasures.erased_writes
        if erased_writes == self._erased_writes:
            since, erased = self._replica.notes.feed_end(), set[str]()
        else:
            since, erased = await self._erased_since(self._since)
        notes = self._replica.notes.starting_with(FORGET_NOTE)
        if since == self._since and not notes:
            self._erased_writes = erased_writes
            return 0
        removed = 0
        if erased or notes:
            # First these: what is accepted from now on is judged by what is erased, and what is on
            # its way into the log is judged when it is learned from.
            self._collecting.forget_standing()
            self._learning.forget_known()
            sequences = [int(name.removeprefix(FORGET_NOTE)) for name in notes]
            removed = await asyncio.to_thread(self._log.forget, erased, sequences)
            self.forgotten += removed
        async with self._replica.notes.commit() as commit:
            for name in notes:
                commit.note(name, None)
            commit.move_cursor(_CURSOR, since)
        self._since = since
        self._erased_writes = erased_writes
        return removed

    async def _erased_since(self, since: str) -> tuple[str, set[str]]:
        """Return how far the feed was followed, and the profiles that it erased."""
        async with self._replica.notes.commit():
            pass  # the feed tells what is durable: by now, all that was counted
        erased: set[str] = set()
        count = 0
        try:
            async for change in self._replica.changes(since=since, follow=False):
                since = change.cursor
                if change.erased:
                    erased.add(change.id)
                count += 1
                if count % limits.CHANGES_MAX == 0:
                    await asyncio.sleep(0)
        except CursorExpired:
            _log.warning("the feed no longer reaches back: all profiles of the log are looked at")
            since, erased = "", await self._erased_in_log()
        return since, erased

    async def _erased_in_log(self) -> set[str]:
        """Return the profiles with events in the log that are erased by now."""
        met: set[str] = set()
        after = 0
        while events := await asyncio.to_thread(self._log.read, after, limits.READ_MAX):
            after = events[-1][0]
            met.update(event.profile_id for _, event in events)
        return {profile_id for profile_id in met if self._replica.erasures.refuses(profile_id)}
