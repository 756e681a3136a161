"""What a replica more costs: two, three, five and nine processes, one of which is written to.

All others follow the first one. The cost of an edit is processor time, summed over all processes:
it depends less than a rate on how many processors there are.
"""

import asyncio
import time
from typing import Final

from benchmarks.ending import run_until_told
from benchmarks.ours.servers import LAST, Served, equal, serving
from benchmarks.processes import scratch_directory
from benchmarks.workload import Size, Workload
from benchmarks.writing import BEST, write_shape

COUNTS: Final = (2, 3, 5, 9)
COUNTS_SMOKE: Final = (2, 3)
SIZE: Final = Size(2_000, 20_000, 0, 0, 0)
SIZE_SMOKE: Final = Size(100, 200, 0, 0, 0)

Figures = dict[str, float]


def measure(counts: tuple[int, ...], size: Size) -> dict[str, Figures]:
    """Return the figures of every number of replicas, by that number."""
    return {str(count): run_until_told(_measure(count, Workload(size))) for count in counts}


async def _measure(count: int, work: Workload) -> Figures:
    with scratch_directory("fleet") as directory:
        async with serving(directory) as servers:
            first = await servers.start("r1")
            others = [await servers.start(f"r{n}", [first.url]) for n in range(2, count + 1)]
            await first.load(work.profiles)
            await _all_follow(first, others)
            replicas = [first, *others]
            before = [replica.child.processor_s for replica in replicas]
            started = time.monotonic()
            async with first.stream_writers(BEST.in_flight) as writers:
                await write_shape(writers, work, work.durable, BEST)
            await _all_follow(first, others)
            elapsed_s = time.monotonic() - started
            spent = [
                replica.child.processor_s - start
                for replica, start in zip(replicas, before, strict=True)
            ]
            await equal(*replicas)
    edits = work.size.edits
    return {
        "edits_per_s": edits / elapsed_s,
        "all_us_per_edit": sum(spent) / edits * 1e6,
        "writer_us_per_edit": spent[0] / edits * 1e6,
        "follower_us_per_edit": sum(spent[1:]) / len(others) / edits * 1e6,
    }


async def _all_follow(first: Served, others: list[Served]) -> None:
    said = await first.mark(LAST)
    await asyncio.gather(*(other.sees(LAST, said) for other in others))
    await asyncio.gather(*(other.barrier() for other in others))
