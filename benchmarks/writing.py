"""Writing edits in batches, several at a time: the same for every store that takes batches.

Standard library only: peers' drivers run it in their own virtual environments.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from benchmarks.workload import Edit, Span, Workload, batches


@dataclass(frozen=True, slots=True)
class Shape:
    """How edits are handed over: so many a batch, so many batches in flight, a share of them."""

    metric: str
    batch: int
    in_flight: int
    share: float


SHAPES: Final = (
    Shape("singles", 1, 64, 0.1),
    Shape("durable_100_alone", 100, 1, 0.4),
    Shape("durable_100", 100, 8, 1.0),
    Shape("durable", 1_000, 4, 1.0),
)
"""In this order; the last one leaves the values that the workload says."""

BEST: Final = SHAPES[-1]
OTHERS: Final = SHAPES[:-1]
IN_FLIGHT: Final = max(shape.in_flight for shape in SHAPES)


class Writer(Protocol):
    """One connection, or one place in flight, of a store."""

    def prepared(self, batch: Sequence[Edit]) -> Any:
        """Return a batch as it is sent; this is done before the clock starts."""

    async def write(self, prepared: Any) -> None:
        """Return when the batch is durable; raises if any of it was refused."""


def marked(edits: Sequence[Edit], mark: str) -> list[Edit]:
    """Return edits with other values, so that writing them again changes something."""
    return [(profile, field, value + mark) for profile, field, value in edits]


async def write_shape(
    writers: Sequence[Writer], work: Workload, span: Span, shape: Shape, mark: str = ""
) -> float:
    """Write a span of edits in one shape; return edits per second until all are durable."""
    assert len(writers) >= shape.in_flight
    first, last = span
    span = first, first + max(int((last - first) * shape.share), shape.in_flight)
    hands = work.dealt(span, shape.in_flight)
    prepared = [
        [writer.prepared(batch) for batch in batches(marked(hand, mark), shape.batch)]
        for writer, hand in zip(writers, hands, strict=False)
    ]
    started = time.monotonic()
    await asyncio.gather(
        *(_write_all(writer, mine) for writer, mine in zip(writers, prepared, strict=False))
    )
    return sum(map(len, hands)) / (time.monotonic() - started)


async def write_shapes(
    writers: Sequence[Writer], work: Workload, span: Span, shapes: Sequence[Shape] = SHAPES
) -> dict[str, float]:
    """Write a span in several shapes, each with values of its own but for the best one."""
    readings = {}
    for shape in shapes:
        mark = "" if shape is BEST else f" ({shape.metric})"
        readings[shape.metric] = await write_shape(writers, work, span, shape, mark)
    return readings


async def write_one_by_one(writer: Writer, work: Workload) -> list[float]:
    """Write the edits of the latency span one at a time; return the seconds that each took."""
    latencies = []
    for edit in work.edits[slice(*work.latency)]:
        prepared = writer.prepared([edit])
        started = time.monotonic()
        await writer.write(prepared)
        latencies.append(time.monotonic() - started)
    return latencies


async def _write_all(writer: Writer, prepared: Sequence[Any]) -> None:
    for batch in prepared:
        await writer.write(batch)
