"""What an event costs in each part of the CDP replica, by itself, in one process.

    python -m benchmarks.event_parts [--events 100000] [--persons 100000] [--sweep 10000]

Events of the benchmark ``events``, in batches of 100; ten of them become durable together, and a
sweep of the traits goes through so many. Told are microseconds of processor time for each event, so
that what else runs on the machine counts for little.
"""

import argparse
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
from crdtstore.server import run_as_server
from replicas.cdp.collecting import Collecting, CollectSettings
from replicas.cdp.event_log import EventLog, now_ms
from replicas.cdp.learning import Learning, LearnSettings
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from replicas.cdp.wire import read_envelope

GROUP: Final = 10
"""Batches that become durable together: what waits at 50,000 events/s for a disk of 20 ms."""


class Costs:
    """Processor time by part."""

    def __init__(self) -> None:
        self._spent_s: dict[str, float] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Add what the block costs."""
        begun = time.process_time()
        yield
        spent = time.process_time() - begun
        self._spent_s[part] = self._spent_s.get(part, 0) + spent

    def show(self, count: int) -> None:
        """Print what each part cost for each of so many events."""
        for part, spent_s in self._spent_s.items():
            print(f"{part:<40}{spent_s / count * 1e6:>8.2f} us")


class Parts:
    """A replica, its log, and what stands between them, driven by hand."""

    def __init__(self, replica: Replica, log: EventLog, definitions: TraitDefinitions) -> None:
        self.costs = Costs()
        self.log = log
        self.collecting = Collecting(replica, CollectSettings())
        self.learning = Learning(replica, log, LearnSettings())
        self.folding = Folding(replica, log, definitions)

    async def take(self, bodies: list[bytes]) -> None:
        """Do all that is done for some requests, but for their traits."""
        costs = self.costs
        with costs.of("taken out of its body"):
            envelopes = [read_envelope(body, is_msgpack=False) for body in bodies]
        with costs.of("judged and packed"):
            entries = [
                entry
                for each in envelopes
                for entry in self.collecting.collect(each, "key", now_ms()).entries
            ]
        with costs.of("appended to the log"):
            self.log.append_packed(entries)
        with costs.of("learned from"):
            await self.learning.learn_once()

    async def fold(self) -> None:
        """Fold the traits of all that came."""
        with self.costs.of("folded"):
            while await self.folding.fold_once():
                pass


async def measure(directory: Path, count: int, persons: int, sweep: int) -> None:
    """Print the costs of each part."""
    visitors = Visitors("parts", persons, SEED)
    bodies = [visitors.batch(BATCH) for _ in range(count // BATCH)]
    definitions = TraitDefinitions.load(TRAITS_FILE)
    log = EventLog(directory / "events")
    async with Replica.open(
        directory / "replica", name="eu", schema=definitions.declared()
    ) as replica:
        parts = Parts(replica, log, definitions)
        for first in range(0, persons, BATCH):
            await parts.take([introductions(first, BATCH)])
        await parts.fold()
        parts.costs = Costs()
        await _receive(bodies, parts.costs)
        before = parts.folding.counters["partials"]
        for first in range(0, len(bodies), GROUP):
            await parts.take(bodies[first : first + GROUP])
            if first * BATCH % sweep == 0:
                await parts.fold()
        await parts.fold()
    log.close()
    parts.costs.show(count)
    partials = parts.folding.counters["partials"] - before
    print(f"{'partials of an event':<40}{partials / count:>8.2f}")


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
    parser.add_argument("--sweep", type=int, default=10_000)
    arguments = parser.parse_args()
    with scratch_directory("event-parts") as directory:
        run_as_server(measure(directory, arguments.events, arguments.persons, arguments.sweep))


if __name__ == "__main__":
    main()
