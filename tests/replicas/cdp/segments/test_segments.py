"""Membership follows the golden records: writes, persons, time, erasures, new definitions."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Replica, add, fold_in, increment, set_value
from crdtstore.errors import ConfigurationError
from replicas.cdp.segments.audience import sample_of, size_of
from replicas.cdp.segments.definitions import SegmentDefinitions
from replicas.cdp.segments.events import MembershipEvent, membership_events
from replicas.cdp.segments.segments import Segments, wall_ms
from tests.patience import until
from tests.replicas.cdp.segments.running import ACTIVE, VIP, Clock, opened, settle, standing


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def events(replica: Replica, since: str = "") -> list[MembershipEvent]:
    return [each async for each in membership_events(replica, since=since, follow=False)]


def told(found: list[MembershipEvent]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.segment, each.profile_id) for each in found]


async def gold(replica: Replica, *profiles: str, orders: int = 3) -> None:
    for profile in profiles:
        fields = {"plan": "gold", "orders": increment(orders)}
        await replica.write(profile, fields, source="crm")


def test_entering_and_leaving_is_told_by_the_change_feed(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await gold(replica, "ann", "bob", orders=2)
            await settle(segments)
            assert standing(replica, "ann") == []
            await replica.write("ann", {"orders": increment(1)}, source="web")
            await settle(segments)
            assert standing(replica, "ann") == ["vip"]
            (entered,) = await events(replica)
            assert told([entered]) == [("entered", "vip", "ann")]
            assert entered.person_id == "ann"
            assert abs(entered.at_ms - wall_ms()) < 60_000
            await replica.write("ann", {"plan": "tin"}, source="crm")
            await settle(segments)
            assert told(await events(replica, entered.cursor)) == [("exited", "vip", "ann")]
            assert segments.counters["entered"] == segments.counters["exited"] == 1

    run(main)


def test_only_those_are_evaluated_whom_a_change_concerns(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await gold(replica, *(f"p{number}" for number in range(60)))
            await settle(segments)
            before = dict(segments.counters)
            await replica.write("p7", {"plan": "tin"}, source="crm")
            await replica.write("p8", {"name": "Ann"}, source="crm")
            await settle(segments)
            assert segments.counters["evaluated"] == before["evaluated"] + 1
            assert segments.counters["changes"] >= before["changes"] + 2
            assert await size_of(replica, "vip") == 59

    run(main)


def test_persons_that_merge_and_part(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await gold(replica, "ann", "bea", orders=3)
            await replica.write("cleo", {"orders": increment(1)}, source="web")
            await settle(segments)
            assert await size_of(replica, "vip") == 2
            (*_, last) = [each.cursor async for each in replica.changes(follow=False)]
            await replica.persons.merge("ann", "bea")
            await settle(segments)
            assert standing(replica, "bea") == ["vip"]
            assert await size_of(replica, "vip") == 1, "one person is counted once"
            assert await sample_of(replica, "vip", count=10) == [replica.persons.read("ann").id]
            assert await events(replica, last) == [], "nobody left who is still in"
            await replica.persons.unmerge("ann", "bea")
            await settle(segments)
            assert (standing(replica, "ann"), standing(replica, "bea")) == (["vip"], ["vip"])
            await replica.write("dan", {"plan": "gold", "orders": increment(2)}, source="crm")
            await settle(segments)
            assert standing(replica, "dan") == []
            await replica.persons.merge("cleo", "dan")
            await settle(segments)
            assert standing(replica, "cleo") == ["vip"], "their orders add up"
            await replica.persons.unmerge("cleo", "dan")
            await settle(segments)
            assert (standing(replica, "cleo"), standing(replica, "dan")) == ([], [])

    run(main)


def test_erasures(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP + ACTIVE) as (replica, segments):
            seen = {"seen": datetime.now(UTC)}
            await replica.write("ann", {"plan": "gold", **seen}, source="crm")
            await replica.write("old", {"orders": increment(3)}, source="web")
            await replica.persons.merge("ann", "old")
            await gold(replica, "bob")
            await replica.write("bob", seen, source="crm")
            await settle(segments)
            assert standing(replica, "ann") == ["active", "vip"]
            await replica.persons.erase("old", alone=True)
            await settle(segments)
            assert standing(replica, "ann") == ["active"], "what the other profile knew is gone"
            await replica.persons.erase("bob")
            await settle(segments)
            assert (await size_of(replica, "vip"), await size_of(replica, "active")) == (0, 1)
            notes = replica.notes.starting_with("cdp/segments/")
            assert not [name for name in notes if "bob" in name or "old" in name]

    run(main)


def test_time_alone_moves_people(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock(wall_ms())
        async with opened(tmp_path, ACTIVE, clock_ms=clock) as (replica, segments):
            start = datetime.fromtimestamp(clock.now_ms / 1000, UTC)
            await replica.write("ann", {"seen": start}, source="web")
            await replica.write("bob", {"seen": start - timedelta(days=10)}, source="web")
            await settle(segments)
            assert await size_of(replica, "active") == 2
            notes = len(replica.notes.starting_with("cdp/segments/due/"))
            assert notes == 2
            clock.now_ms += 5 * 86_400_000
            await replica.write("bob", {"seen": start + timedelta(days=4)}, source="web")
            await settle(segments)
            assert len(replica.notes.starting_with("cdp/segments/due/")) == 2
        async with opened(tmp_path, ACTIVE, clock_ms=clock) as (replica, segments):
            clock.now_ms += 24 * 86_400_000  # the service stood still for so long
            await settle(segments)
            assert await size_of(replica, "active") == 2
            clock.now_ms += 86_400_000 + 60_000
            await settle(segments)
            assert standing(replica, "ann") == []
            assert standing(replica, "bob") == ["active"]
            clock.now_ms += 30 * 86_400_000
            await settle(segments)
            assert await size_of(replica, "active") == 0
            assert not replica.notes.starting_with("cdp/segments/due/")
            assert segments.counters["due"] == 3, "bob was due early once, and then anew"

    run(main)


def test_who_has_a_window_full_leaves_when_it_empties(tmp_path: Path) -> None:
    day_ms = 86_400_000

    async def main() -> None:
        clock = Clock(wall_ms())
        busy = '[segments.busy]\nall = [{ trait = "orders_30d", ge = 2 }]'
        async with opened(tmp_path, busy, clock_ms=clock) as (replica, segments):
            buckets = [[clock.now_ms // day_ms - 20, 1], [clock.now_ms // day_ms, 1]]
            orders = fold_in("windows", buckets, options=[day_ms, 30, "count", []])
            await replica.write("ann", {"orders_30d": orders}, source="cdp")
            await settle(segments)
            assert standing(replica, "ann") == ["busy"]
            clock.now_ms += 9 * day_ms
            await settle(segments)
            assert standing(replica, "ann") == ["busy"]
            clock.now_ms += day_ms + 60_000
            await settle(segments)
            assert standing(replica, "ann") == []

    run(main)


def test_new_definitions_evaluate_everybody_and_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replicas.cdp.limits.SEGMENT_SCAN_PAGE_MAX", 10)

    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await gold(replica, *(f"p{number:02}" for number in range(35)))
            await settle(segments)
            assert await size_of(replica, "vip") == 35
        rich = '[segments.rich]\nall = [{ field = "plan", in = ["gold"] }]'
        async with opened(tmp_path, rich) as (replica, segments):
            await segments.step()
            await segments.step()
            assert (segments.scan.done, segments.scan.of, segments.scan.is_done) == (20, 35, False)
        async with opened(tmp_path, rich) as (replica, segments):
            before = segments.counters["evaluated"]
            await settle(segments)
            assert segments.counters["evaluated"] - before == 15, "it goes on, it does not repeat"
            assert segments.scan.is_done
            assert await size_of(replica, "rich") == 35
            assert await size_of(replica, "vip") == 0, "what is no longer defined is left"
            assert replica.read("p07")["segments"] == ["rich"]
            evaluated = segments.counters["evaluated"]
            await segments.rescan()
            await settle(segments)
            assert segments.counters["evaluated"] == evaluated + 35

    run(main)


def test_an_expired_cursor_evaluates_everybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await gold(replica, "ann")
            await settle(segments)
            await replica.write("ann", {"plan": "tin"}, source="crm")
            async with replica.notes.commit() as commit:
                commit.move_cursor("cdp/segments/feed", "999999.0")
            await settle(segments)
            assert standing(replica, "ann") == []

    run(main)


def test_segments_of_others_are_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            await replica.write("ann", {"segments": add("chosen")}, source="steward")
            await gold(replica, "ann")
            await settle(segments)
            assert standing(replica, "ann") == ["chosen", "vip"]

    run(main)


def test_the_schema_must_know_segments(tmp_path: Path) -> None:
    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            with pytest.raises(ConfigurationError, match="with_segments"):
                Segments(replica, SegmentDefinitions.parse(VIP))

    run(main)


def test_run_follows_what_happens(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, VIP) as (replica, segments):
            task = asyncio.create_task(segments.run())
            try:
                await asyncio.sleep(0.05)
                await gold(replica, "ann")
                await replica.write("ann", {"plan": set_value("gold")}, source="crm")
                await until(lambda: standing(replica, "ann") == ["vip"], "the segment")
            finally:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main)
