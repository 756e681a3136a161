"""A connection: everything that goes on between the replica and one vendor.

| task    | does                                                                             |
|---------|----------------------------------------------------------------------------------|
| pull    | loads all records of an object, then those that changed, page by page            |
| follow  | waits for the vendor's events                                                    |
| sweep   | reads all known records again, now and then: some went, and no event told          |
| reread  | reads single records again of which an event said too little                     |
| push    | sends what differs, once all objects are loaded: what exists is not made again   |
| forget  | lets go of what was kept aside for a merge that nobody told of                   |

A vendor's failure stops the task that met it for a while, and shows on the health page.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from crdtstore import Replica
from crdtstore.errors import StorageFull
from replicas.crm import limits
from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.dead_letters import DeadLetter
from replicas.crm.driver import Driver
from replicas.crm.errors import CrmError, PositionExpired
from replicas.crm.events import Events
from replicas.crm.intake import Intake
from replicas.crm.ledger import Ledger
from replicas.crm.mapping import CrmMapping
from replicas.crm.outflow import Outflow

_log = logging.getLogger("replicas.crm.connection")


class Connection:
    """One vendor beside a replica.

    ``troubles`` says which task met which failure last, until it works again; ``heard`` counts the
    webhook requests. With ``is_dry`` nothing is sent.
    """

    def __init__(
        self,
        replica: Replica,
        driver: Driver,
        mapping: CrmMapping,
        *,
        events: Events | None = None,
        poll_s: float = limits.POLL_S,
        resend_after_s: float = limits.RESEND_AFTER_S,
        sweep_s: float = limits.SWEEP_S,
        is_dry: bool = False,
    ) -> None:
        mapping.check_against(replica.schema)
        self.source = driver.crm.source
        self.driver = driver
        self.mapping = mapping
        self.ledger = Ledger(replica, self.source)
        self.intake = Intake(replica, self.source, mapping, self.ledger)
        self.outflow = Outflow(replica, driver, mapping, self.ledger)
        self.troubles: dict[str, str] = {}
        self.heard = {"webhooks": 0, "webhooks_refused": 0}
        self.is_dry = is_dry
        self._replica = replica
        self._events = events
        self._poll_s = poll_s
        self._resend_after_s = resend_after_s
        self._sweep_s = sweep_s
        self._push_work = asyncio.Event()
        self._reread_work = asyncio.Event()
        self._pull_work = {name: asyncio.Event() for name in mapping.by_name}

    # --- what is asked from outside -----------------------------------------------------------

    async def hear(self, sightings: list[Sighting]) -> None:
        """Bring what a vendor told by itself into the store, durably."""
        await self.intake.absorb(sightings)
        self._wake()

    async def backfill(self) -> None:
        """Load all records anew, and compare all profiles with them."""
        async with self._replica.notes.commit() as commit:
            for name in self.mapping.by_name:
                commit.move_cursor(self._cursor("pull", name), "")
                commit.move_cursor(self._cursor("progress", name), "0/")
        await self.outflow.rescan()
        for event in self._pull_work.values():
            event.set()
        self._push_work.set()

    async def drop(self, letters: list[DeadLetter]) -> None:
        """Forget dead letters: somebody has dealt with them."""
        async with self._replica.notes.commit() as commit:
            for letter in letters:
                self.ledger.unbury(commit, letter.key)

    async def retry(self, letters: list[DeadLetter]) -> None:
        """Try again what became dead letters."""
        async with self._replica.notes.commit() as commit:
            for letter in letters:
                if letter.direction == "in":
                    key = RecordKey(letter.object, letter.record_id)
                    self.ledger.mark_reread(commit, key)
                else:
                    self.ledger.mark_due(commit, letter.profile_id)
        self._wake()

    async def forget(self) -> None:
        """Let go of what was kept aside for longer than a merge may be told late."""
        stale = self.ledger.withdrawn.stale(time.time_ns() // 1_000_000)
        for at in range(0, len(stale), limits.FEED_PAGE_MAX):
            async with self._replica.notes.commit() as commit:
                for profile_id in stale[at : at + limits.FEED_PAGE_MAX]:
                    self.ledger.withdrawn.drop(commit, profile_id)

    def profile_ids(self, after: str) -> list[str]:
        """Return the ids of the next profiles above one, in order."""
        profiles = self._replica.profiles(after=after, limit=limits.FEED_PAGE_MAX)
        return [profile.id for profile in profiles]

    @property
    def is_loaded(self) -> bool:
        """Whether all records of all objects were read at least once."""
        cursors = self._replica.cursors
        return all(cursors.get(self._cursor("loaded", n)) == "yes" for n in self.mapping.by_name)

    @property
    def is_compared(self) -> bool:
        """Whether all profiles were compared with their records since the last load began."""
        return self.is_loaded and self.outflow.is_compared

    @property
    def progress(self) -> dict[str, tuple[int, int | None]]:
        """How many records of each object were loaded, and of how many, if that is known."""
        shown = {}
        cursors = self._replica.cursors
        for name in self.mapping.by_name:
            done, _, total = cursors.get(self._cursor("progress", name), "0/").partition("/")
            shown[name] = int(done), int(total) if total else None
        return shown

    # --- the tasks ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            if self._events is not None:
                stack.push_async_callback(self._events.close)
            for name in self.mapping.by_name:
                group.create_task(self._forever(f"pull {name}", self._puller(name)))
            group.create_task(self._forever("reread", self._reread))
            group.create_task(self._forever("push", self._push))
            group.create_task(self._forever("forget", self._forget))
            if self._sweep_s:
                group.create_task(self._forever("sweep", self._sweep))
            if self._events is not None:
                group.create_task(self._forever("follow", self._follow))

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (CrmError, StorageFull) as error:
                self.troubles[name] = str(error)
                _log.warning("%s of %s stops for a while: %s", name, self.source, error)
                await asyncio.sleep(self._resend_after_s)
            else:
                self.troubles.pop(name, None)

    def _puller(self, name: str) -> Callable[[], Awaitable[None]]:
        async def pull() -> None:
            work = self._pull_work[name]
            work.clear()
            if not await self._pull_page(name):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await work.wait()

        return pull

    async def _pull_page(self, name: str) -> bool:
        """Read the next page of an object; say whether there is more."""
        cursors = self._replica.cursors
        cursor = cursors.get(self._cursor("pull", name), "")
        if not cursor:
            async with self._replica.notes.commit() as commit:
                self.ledger.loads.begin(commit, name)
        since = self.ledger.touches.tick()
        page = await self.driver.run(self.driver.crm.pull(name, cursor), f"pull {name}")
        moved = {self._cursor("pull", name): page.cursor}
        is_loaded = cursors.get(self._cursor("loaded", name)) == "yes"
        done, total = self.progress[name]
        if not is_loaded or done != total:
            done += len(page.sightings)
            known = page.total if total is None else total
            shown = done if page.is_last else "" if known is None else max(done, known)
            moved[self._cursor("progress", name)] = f"{done}/{shown}"
        if page.is_last and not is_loaded:
            moved[self._cursor("loaded", name)] = "yes"
        if self._replica.cursors.get(self._cursor("pull", name), "") != cursor:
            return True  # a backfill began meanwhile: this page is not its first
        await self.intake.absorb(
            page.sightings, since=since, is_snapshot=page.is_snapshot, cursors=moved
        )
        self._wake()
        return not page.is_last

    async def _reread(self) -> None:
        self._reread_work.clear()
        marks = self.ledger.rereads()
        if not marks:
            await self._reread_work.wait()
            return
        await self._read_records(marks, "reread", is_background=False)
        strange = {key: mark for key, mark in marks.items() if key.object not in self._pull_work}
        if strange:
            await self.intake.absorb([], reread=strange)

    async def _read_records(
        self, marks: Mapping[RecordKey, bytes], lane: str, *, is_background: bool
    ) -> None:
        """Read records by id; those of one mark are no longer due then."""
        crm = self.driver.crm
        for name in self.mapping.by_name:
            keys = [key for key in marks if key.object == name][: limits.REREADS_MAX]
            for at in range(0, len(keys), crm.read_max):
                part = {key: marks[key] for key in keys[at : at + crm.read_max]}
                since = self.ledger.touches.tick()
                read = crm.read(name, [key.id for key in part])
                sightings = await self.driver.run(read, lane, is_background=is_background)
                await self.intake.absorb(sightings, since=since, reread=part)
                self._wake()

    async def _sweep(self) -> None:
        """Read the next page of all known records, if a sweep is under way or due."""
        name = f"crm/{self.source}/sweep"
        kind, _, place = self._replica.cursors.get(name, "").partition(" ")
        now_s = time.time()
        if not self.is_loaded:
            await asyncio.sleep(min(self._poll_s, self._sweep_s))
        elif kind == "":
            await self.intake.absorb([], cursors={name: f"done {now_s:.3f}"})
        elif kind == "done" and now_s < float(place) + self._sweep_s:
            await asyncio.sleep(min(float(place) + self._sweep_s - now_s, self._sweep_s))
        else:
            ids = self.profile_ids("" if kind == "done" else place)
            links = [self.ledger.link(profile_id) for profile_id in ids]
            keys = [RecordKey(link.object, link.record_id) for link in links
                    if link is not None and link.state == "live"]  # fmt: skip
            await self._read_records(dict.fromkeys(keys, b""), "sweep", is_background=True)
            is_last = len(ids) < limits.FEED_PAGE_MAX
            await self.intake.absorb(
                [], cursors={name: f"done {now_s:.3f}" if is_last else f"at {ids[-1]}"}
            )

    async def _forget(self) -> None:
        await self.forget()
        await asyncio.sleep(limits.FORGET_S)

    async def _push(self) -> None:
        self._push_work.clear()
        if self.is_dry or not self.is_loaded:
            await self._push_work.wait()
            return
        if await self.outflow.round():
            self._reread_work.set()
            return
        wait_s = await self._revive()
        feed = asyncio.ensure_future(self.outflow.wait())
        mark = asyncio.ensure_future(self._push_work.wait())
        try:
            await asyncio.wait((feed, mark), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            feed.cancel()
            mark.cancel()
            await asyncio.gather(feed, mark, return_exceptions=True)

    async def _revive(self) -> float | None:
        """Have rows sent again that the vendor was too busy for; return when the next is due."""
        now_ms = time.time_ns() // 1_000_000
        times_ms = {
            letter: again_ms
            for letter in self.ledger.dead_letters()
            if (again_ms := letter.again_ms(self._resend_after_s)) is not None
        }
        ripe = [letter for letter, again_ms in times_ms.items() if again_ms <= now_ms]
        if ripe:
            await self.retry(ripe)
        return max(0.0, (min(times_ms.values()) - now_ms) / 1000) if times_ms else None

    async def _follow(self) -> None:
        assert self._events is not None
        name = f"crm/{self.source}/events"
        position = self._replica.cursors.get(name, "")
        try:
            page = await self._events.next_page(position)
        except PositionExpired as error:
            _log.warning("%s: %s", self.source, error)
            lost = {self._cursor("pull", each): "" for each in self.mapping.by_name}
            await self.intake.absorb([], cursors={name: "", **lost})
        else:
            lost = {self._cursor("pull", each): "" for each in page.lost if each in self._pull_work}
            if page.sightings or lost or page.cursor != position:
                await self.intake.absorb(page.sightings, cursors={name: page.cursor, **lost})
        for each in lost:
            self._pull_work[each.rpartition("/")[2]].set()
        self._wake()

    def _cursor(self, what: str, name: str) -> str:
        return f"crm/{self.source}/{what}/{name}"

    def _wake(self) -> None:
        self._push_work.set()
        self._reread_work.set()
