"""Two regions compute the same segments at once: they agree, and do not undo one another's word."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.ports import free_port
from crdtstore import Replica
from replicas.cdp import limits
from replicas.cdp.segments.audience import size_of
from replicas.cdp.segments.segments import Segments, wall_ms
from tests.patience import until
from tests.replicas.cdp.projections.agreement import change_something, persons_of
from tests.replicas.cdp.segments.running import Clock, opened, served, settle
from tests.replicas.crm.cut import Cut

MANY = '[segments.many]\nall = [{ field = "orders", ge = 2 }]'
MORE = '[segments.many]\nall = [{ field = "orders", ge = 4 }]'


async def settle_both(eu: tuple[Replica, Segments], us: tuple[Replica, Segments]) -> None:
    """Let both do all there is to do, and be equal."""

    async def are_equal() -> bool:
        await settle(eu[1])
        await settle(us[1])
        return eu[0].digest().digest == us[0].digest().digest

    await until(are_equal, "both to be equal")
    await until(are_equal, "both to stay equal")


def check(replica: Replica, least: int) -> None:
    for person in persons_of(replica).values():
        orders = person.record.get("orders", 0)
        segments = person.record.get("segments", [])
        assert ("many" in segments) == (orders >= least), (person.id, orders, segments)


def later(*clocks: Clock) -> None:
    """Let so much time go by that those are evaluated again of whom both said otherwise."""
    for clock in clocks:
        clock.now_ms += int(limits.SEGMENT_RECHECK_S * 1000) + 60_000


def written(*both: tuple[Replica, Segments]) -> int:
    return sum(segments.counters["entered"] + segments.counters["exited"] for _, segments in both)


def test_they_agree_after_partitions(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(7)
        clock = Clock(wall_ms())
        async with AsyncExitStack() as stack:
            us = await stack.enter_async_context(opened(tmp_path, MANY, name="us", clock_ms=clock))
            port = free_port()
            await stack.enter_async_context(served(us[0], port))
            link = await Cut(port).start()
            stack.push_async_callback(link.stop)
            peers = (f"http://127.0.0.1:{link.port}",)
            eu = await stack.enter_async_context(
                opened(tmp_path, MANY, name="eu", peers=peers, clock_ms=clock)
            )
            seen: list[int] = []
            for _ in range(3):
                link.cut()
                for _ in range(60):
                    await change_something(eu[0], chance)
                    await change_something(us[0], chance)
                    if chance.random() < 0.3:
                        await eu[1].step()
                        await us[1].step()
                await settle(eu[1])
                await settle(us[1])
                link.heal()
                await settle_both(eu, us)
                later(clock)
                await settle_both(eu, us)
                check(eu[0], 2)
                check(us[0], 2)
                expected = sum(
                    "many" in person.record.get("segments", [])
                    for person in persons_of(eu[0]).values()
                )
                seen.append(expected)
                assert await size_of(eu[0], "many") == expected
                assert await size_of(us[0], "many") == expected
            assert max(seen) > 0

    asyncio.run(main())


def test_regions_with_other_definitions_contradict_now_and_then_but_not_without_end(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        clock = Clock(wall_ms())
        async with AsyncExitStack() as stack:
            us = await stack.enter_async_context(opened(tmp_path, MORE, name="us", clock_ms=clock))
            url = await stack.enter_async_context(served(us[0]))
            eu = await stack.enter_async_context(
                opened(tmp_path, MANY, name="eu", peers=(url,), clock_ms=clock)
            )
            chance = random.Random(9)
            for _ in range(100):
                await change_something(eu[0], chance)
            await settle_both(eu, us)
            before = written(eu, us)
            for _ in range(20):
                await settle_both(eu, us)
            assert written(eu, us) == before, "they write on and on"
            for _ in range(3):
                later(clock)
                await settle_both(eu, us)
            persons = len(persons_of(eu[0]))
            assert before < written(eu, us) <= before + 3 * 2 * persons
        # The other region gets the definition too: now they agree, whoever spoke last.
        async with AsyncExitStack() as stack:
            us = await stack.enter_async_context(opened(tmp_path, MANY, name="us", clock_ms=clock))
            url = await stack.enter_async_context(served(us[0]))
            eu = await stack.enter_async_context(
                opened(tmp_path, MANY, name="eu", peers=(url,), clock_ms=clock)
            )
            await settle_both(eu, us)
            later(clock)
            await settle_both(eu, us)
            check(us[0], 2)
            check(eu[0], 2)

    asyncio.run(main())
