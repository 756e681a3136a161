"""What an event costs in each part of the CDP replica, by itself, in one process.

    python -m benchmarks.event_parts [--events 100000] [--persons 100000] [--waits]

Events of the benchmark ``events``, in batches of 100. Told are microseconds of processor time for
each event, so that what else runs on the machine counts for little.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, web

from benchmarks.event_clients import BATCH
from benchmarks.event_mix import TRAITS_FILE, Visitors, introductions
from benchmarks.processes import scratch_directory
from benchmarks.workload import SEED
from crdtstore import Replica
from replicas.cdp.collecting import Collecting, CollectSettings
from replicas.cdp.event_log import EventLog, now_ms
from replicas.cdp.learning import Learning, LearnSettings
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from replicas.cdp.wire import read_envelope

GROUP: Final = 10
"""Batches that become durable together: what waits at 50,000 events/s for a disk of 20 ms."""


class Costs:
    """Processor time by part, of so many events."""

    def __init__(self, count: int) -> None:
        self._count = count

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Print what the block costs."""
        begun = time.process_time()
        yield
        print(f"{part:<40}{(time.process_time() - begun) / self._count * 1e6:>8.2f} us", flush=True)


async def measure(directory: Path, count: int, persons: int) -> None:
    """Print the costs of each part, one after the other."""
    visitors = Visitors("parts", persons, SEED)
    bodies = [visitors.batch(BATCH) for _ in range(count // BATCH)]
    definitions = TraitDefinitions.load(TRAITS_FILE)
    costs = Costs(count)
    log = EventLog(directory / "events")
    async with Replica.open(
        directory / "replica", name="eu", schema=definitions.declared()
    ) as replica:
        collecting = Collecting(replica, CollectSettings())
        learning = Learning(replica, log, LearnSettings())
        folding = Folding(replica, log, definitions)
        first = [introductions(at, BATCH) for at in range(0, persons, BATCH)]
        for body in first:
            envelope = read_envelope(body, is_msgpack=False)
            log.append_packed(collecting.collect(envelope, "key", now_ms()).entries)
        while await learning.learn_once() + await folding.fold_once():
            pass
        await _receive(bodies, costs)
        with costs.of("taken out of its body"):
            envelopes = [read_envelope(body, is_msgpack=False) for body in bodies]
        with costs.of("judged and packed"):
            entries = [collecting.collect(each, "key", now_ms()).entries for each in envelopes]
        groups = [sum(entries[at : at + GROUP], []) for at in range(0, len(entries), GROUP)]
        with costs.of("appended to the log"):
            for group in groups:
                log.append_packed(group)
        with costs.of("learned from"):
            while await learning.learn_once():
                pass
        with costs.of("folded"):
            while await folding.fold_once():
                pass
        print(f"{'partials of an event':<40}{folding.counters['partials'] / count:>8.2f}")
    log.close()


async def _receive(bodies: list[bytes], costs: Costs) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}")

    app = web.Application()
    app.router.add_post("/v1/batch", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession() as session:
        with costs.of("sent and received over HTTP, with nothing done"):
            for body in bodies:
                async with session.post(f"http://{host}:{port}/v1/batch", data=body) as answered:
                    await answered.read()
    await runner.cleanup()


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser("python -m benchmarks.event_parts", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--persons", type=int, default=100_000)
    arguments = parser.parse_args()
    with scratch_directory("event-parts") as directory:
        asyncio.run(measure(directory, arguments.events, arguments.persons))


if __name__ == "__main__":
    main()
