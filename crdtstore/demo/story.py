"""Story: the demo, step by step."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from crdtstore.demo import limits, persons
from crdtstore.demo.audit import Audit, audit
from crdtstore.demo.failure import DemoFailed
from crdtstore.demo.fleet import Fleet
from crdtstore.demo.golden import choose, explain, linked_pairs, parted_pairs
from crdtstore.demo.ledger import Ledger
from crdtstore.demo.records import Record, first_persons, number_of, read_side
from crdtstore.demo.report import Report
from crdtstore.demo.screen import Screen
from crdtstore.demo.watch import Watch, have_converged, not_converged
from crdtstore.demo.writers import (
    cdp_writes,
    connected_writes,
    crm_writes,
    cut_off_writes,
    send,
)

_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How the demo is to run. ``is_cut_kept`` leaves the cut open, so that it must fail."""

    persons: int = limits.DEMO_RECORDS_MAX
    cut_s: float = limits.DEMO_CUT_S
    patience_s: float = limits.DEMO_PATIENCE_S
    is_cut_kept: bool = False


class Story:
    """One run of the demo over a fleet. ``report`` fills up as it goes.

    Every step raises DemoFailed if it does not end as it must.
    """

    def __init__(self, fleet: Fleet, screen: Screen, plan: Plan) -> None:
        self.report = Report()
        self._fleet = fleet
        self._screen = screen
        self._plan = plan
        self._ledger = Ledger()
        self._watch = Watch(list(fleet.clients.values()), self._ledger)
        self._originals = first_persons(read_side("a"), plan.persons)
        self._duplicates = first_persons(read_side("b"), plan.persons)
        contested = min(limits.DEMO_CONTESTED_MAX, max(plan.persons // 2, 1))
        self._contested: list[Record] = self._originals[:contested]

    async def tell(self) -> None:
        """Run every step, up to the final count."""
        started_s = time.monotonic()
        try:
            await self._start()
            await self._load()
            await self._cut()
            await self._heal()
            await self._explain()
            await self._count()
            await self._steward()
        except BaseExceptionGroup as errors:
            raise _first_error(errors) from None
        finally:
            self.report.seconds["total"] = round(time.monotonic() - started_s, 3)

    async def _start(self) -> None:
        self._screen.step(1, "Three replicas of one space start: eu, us and ap, a process each.")
        with self._timed("start"):
            await self._fleet.start()
            await self._until_linked()
        for name, client in self._fleet.clients.items():
            self.report.urls[name] = client.url
            self._screen.say(f"{name}: {client.url}")
        self._screen.say(f"ready and fully linked after {self._took('start')}")

    async def _load(self) -> None:
        count = f"{len(self._originals):,}"
        self._screen.step(
            2, f"A CRM writes {count} records into eu, while a CDP writes {count} into us."
        )
        self._screen.say(
            "The records are FEBRL data set 4: both sides know the same persons, and disagree.",
            "Each system has profiles of its own. That two are of one person must be found out, by",
            "the social security number; the person's number in the ids is for counting alone.",
        )
        clients = self._fleet.clients
        with self._timed("load"):
            await self._while_watching(
                asyncio.gather(
                    send(clients["eu"], crm_writes(self._originals), self._ledger),
                    send(clients["us"], cdp_writes(self._duplicates), self._ledger),
                )
            )
        edits = self._ledger.edits.total()
        self.report.persons = len(self._originals)
        self.report.load_edits_per_s = round(edits / self.report.seconds["load"])
        with self._timed("load_converged"):
            await self._converge()
        self._screen.say(
            f"{edits:,} field edits acknowledged in {self._took('load')}, each after an fsync: "
            f"{self.report.load_edits_per_s:,.0f} edits/s.",
            f"All three were equal {self._took('load_converged')} later.",
        )

    async def _cut(self) -> None:
        self._screen.step(3, "ap is cut off: its connections are reset, old and new. Life goes on.")
        self._screen.say(
            f"For {self._plan.cut_s:g} s, eu and ap edit the same {len(self._contested):,} "
            "persons, and cannot agree:",
            "other e-mails, other phone numbers (invented ones); eu adds the tag 'lead' that ap",
            "removes; both count logins; ap revokes a consent to marketing, eu grants it.",
        )
        self._fleet.cut("ap")
        self._ledger.part()
        with self._timed("cut"):
            await self._while_watching(self._edit_apart())

    async def _edit_apart(self) -> None:
        pause_s = self._plan.cut_s / limits.DEMO_CUT_ROUNDS
        clients = self._fleet.clients
        for turn in range(limits.DEMO_CUT_ROUNDS):
            due_s = time.monotonic() + pause_s
            connected = [one for each in self._contested for one in connected_writes(each, turn)]
            cut_off = [one for each in self._contested for one in cut_off_writes(each, turn)]
            await asyncio.gather(
                send(clients["eu"], connected, self._ledger),
                send(clients["ap"], cut_off, self._ledger),
            )
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _heal(self) -> None:
        if self._plan.is_cut_kept:
            self._screen.step(4, "The cut is kept, as --keep-cut asks: this must fail.")
        else:
            self._screen.step(
                4, "The cut heals: the replicas dial again, and fetch what they lack."
            )
            self._fleet.mend("ap")
        with self._timed("healed"):
            self.report.seconds["relinked"] = await self._converge()
        self._screen.say(
            f"All three were equal {self._took('healed')} after the cut healed; "
            f"ap was linked again after {self._took('relinked')}."
        )

    async def _explain(self) -> None:
        self._screen.step(
            5, "Persons, explained: profiles of both systems, who said what, which rule chose."
        )
        contested = [record.profile_id for record in self._contested]
        for choice in choose(self._originals, self._duplicates, contested):
            record = await explain(self._fleet.clients["us"], choice)
            self.report.golden_records.append(record)
            self._screen.show_record(record)
        self._screen.say(
            "The e-mails come from two sources, and both keep their say. The phone number is the",
            "CRM's in both regions: a source has one value, so the newer write replaced the other.",
        )

    async def _count(self) -> None:
        self._screen.step(6, "The count: everything that was acknowledged is read back.")
        ledger = self._ledger
        with self._timed("count"):
            found = await audit(list(self._fleet.clients.values()), ledger)
        self.report.audit = found
        self.report.writes_acknowledged = dict(ledger.writes)
        self.report.edits_acknowledged = dict(ledger.edits)
        self.report.counters_expected = ledger.counter_total
        _check_sums(found, ledger, 2 * self._plan.persons)
        await self._compare_digests()
        self.report.converged = True
        self._screen.say(
            f"{ledger.writes.total():,} writes were acknowledged, {found.writes:,} of which "
            "changed something: all are there.",
            f"{found.values:,} values of sources, {found.sets:,} sets and {found.consents:,} "
            "consents are as they must be;",
            f"{found.counters:,} counters sum up to exactly {found.counted:,}. "
            "Equal digests, nothing lost.",
        )
        linked = [profiles for profiles in found.persons if len(profiles) > 1]
        wrongly = [profiles for profiles in linked if len(set(map(number_of, profiles))) > 1]
        self.report.linked, self.report.linked_wrongly = len(linked), len(wrongly)
        self._screen.say(
            f"{len(linked):,} of {len(self._originals):,} people were found to be one person with "
            f"two profiles, {len(wrongly):,} of them wrongly.",
            "The others have no number, or another one on each side: `crdtstore person suggest`",
            "finds nearly all of them by likeness, and a steward decides.",
        )

    async def _compare_digests(self) -> None:
        observations = await self._watch.look()
        if not have_converged(observations):
            raise not_converged(observations, 0.0)
        for seen in observations:
            self.report.digests[seen.name] = seen.digest
            self._screen.say(f"{seen.name}: {seen.profiles:,} profiles, digest {seen.digest}")

    async def _steward(self) -> None:
        self._screen.step(7, "A steward merges two profiles and parts them; a person is forgotten.")
        clients = self._fleet.clients
        merge_s = unmerge_s = 0.0
        apart = parted_pairs(self._originals, self._duplicates)[:1]
        with self._timed("steward"):
            for pair in apart:
                before = await persons.persons(clients["us"], pair)
                record, merge_s = await persons.merge(clients, pair)
                self._screen.show_record(record)
                self.report.golden_records.insert(0, record)
                unmerge_s = await persons.unmerge(clients, pair, before)
                self._screen.say(
                    f"Merged in ap, shown everywhere after {_short(merge_s)}. Unmerged in us, both "
                    f"golden records as before on all three after {_short(unmerge_s)}.",
                )
            erased: tuple[str, ...] = ()
            erase_s = confirm_s = 0.0
            for one, _ in linked_pairs(self._originals, self._duplicates)[-1:]:
                erased, erase_s, confirm_s = await persons.forget(clients, one)
                self._screen.say(
                    f"{' and '.join(erased)} are one person, who asks to be forgotten: erased in "
                    f"us. After {_short(erase_s)}",
                    "no replica shows either profile, or finds anybody by the number; after "
                    f"{_short(confirm_s)} all three confirm that none of their files holds her.",
                )
            await self._compare_digests()
        merged = tuple(record.profile_id for pair in apart for record in pair)
        self.report.steward = persons.StewardStory(
            merged, erased, round(merge_s, 4), round(unmerge_s, 4), bool(apart),
            round(erase_s, 4), round(confirm_s, 4),
        )  # fmt: skip

    async def _until_linked(self) -> None:
        try:
            async with asyncio.timeout(limits.DEMO_START_TIMEOUT_S):
                while any(len(seen.links) < 2 for seen in await self._watch.look()):
                    self._fleet.check_alive()
                    await asyncio.sleep(limits.DEMO_LOOK_S)
        except TimeoutError:
            raise DemoFailed(
                f"the replicas were not linked within {limits.DEMO_START_TIMEOUT_S:g} s"
            ) from None

    async def _converge(self) -> float:
        """Wait until the replicas are equal; return after how many seconds all had a link."""
        started_s = time.monotonic()
        linked_s: float | None = None
        self._watch.restart()
        with self._screen.watching():
            while True:
                seen = await self._watch.look()
                waited_s = time.monotonic() - started_s
                if linked_s is None and all(one.links for one in seen):
                    linked_s = waited_s
                if linked_s is not None and have_converged(seen):
                    self._screen.show(await self._watch.look(), is_last=True)
                    return round(linked_s, 3)
                if waited_s > self._plan.patience_s:
                    raise not_converged(seen, self._plan.patience_s)
                self._fleet.check_alive()
                self._screen.show(seen)
                await asyncio.sleep(limits.DEMO_LOOK_S)

    async def _while_watching(self, work: Awaitable[object]) -> None:
        """Do some work, and show the replicas until it is done."""
        task = asyncio.ensure_future(work)
        self._watch.restart()
        try:
            with self._screen.watching():
                while not task.done():
                    self._fleet.check_alive()
                    self._screen.show(await self._watch.look())
                    await asyncio.wait([task], timeout=limits.DEMO_LOOK_S)
                self._screen.show(await self._watch.look(), is_last=True)
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started_s = time.monotonic()
        yield
        self.report.seconds[step] = round(time.monotonic() - started_s, 3)

    def _took(self, step: str) -> str:
        return _short(self.report.seconds[step])


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _check_sums(found: Audit, ledger: Ledger, profiles: int) -> None:
    """Raise DemoFailed, with the first of the problems, if anything does not add up."""
    problems = list(found.problems)
    if found.profiles != profiles:
        problems.insert(0, f"there are {found.profiles:,} profiles, expected {profiles:,}")
    if found.counted != ledger.counter_total:
        problems.insert(
            0, f"the counters sum up to {found.counted:,}, expected {ledger.counter_total:,}"
        )
    if problems:
        shown = "\n".join(f"    {problem}" for problem in problems[:_PROBLEMS_SHOWN])
        raise DemoFailed(f"{len(problems):,} things do not add up:\n{shown}")


def _first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group of tasks: the others follow from it."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
