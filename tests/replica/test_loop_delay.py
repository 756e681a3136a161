"""The delay of the event loop: a pause is seen, and told in buckets."""

import asyncio
import time
from pathlib import Path

from crdtstore import Replica, limits
from crdtstore.replica.loop_delay import BUCKETS_S, LoopDelay, event_loop_name


def test_buckets_cumulate_and_recent_delays_are_exact() -> None:
    delay = LoopDelay()
    assert delay.recent_ms() == (0.0, 0.0)
    for delay_s in (0.0, 0.001, 0.0011, 0.3, 9.0):
        delay.note(delay_s)
    buckets = dict(delay.cumulated())
    assert list(buckets) == [*map(str, BUCKETS_S), "+Inf"]
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["2.5"]) == (2, 3, 4, 4)
    assert buckets["+Inf"] == 5
    assert delay.recent_ms()[1] == 9000.0
    for _ in range(limits.LOOP_DELAY_SAMPLES_MAX):
        delay.note(0.002)
    assert delay.recent_ms() == (2.0, 2.0), "the minute is over"
    assert dict(delay.cumulated())["+Inf"] == 5 + limits.LOOP_DELAY_SAMPLES_MAX


def test_a_pause_of_the_loop_is_told_by_the_status(tmp_path: Path) -> None:
    async def pause() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            await asyncio.sleep(3 * limits.LOOP_DELAY_SAMPLE_S)
            time.sleep(0.3)
            await asyncio.sleep(3 * limits.LOOP_DELAY_SAMPLE_S)
            status = replica.status()
            assert 200 < status.loop_delay_max_ms < 10_000
            assert status.event_loop == event_loop_name() == "asyncio"
            assert replica.loop_delay.total_s > 0.2

    asyncio.run(pause())
