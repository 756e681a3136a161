"""A process that appends events to its log and folds them, until it is killed: run by a test.

Its arguments are a directory, how many events there are to be, and a seed. It says "ready" when it
begins, and "done" when all are folded. By chance it folds in sweeps while events come, as a service
does, or in rounds, as for the past.
"""

import asyncio
import random
import sys
from pathlib import Path

from crdtstore import Replica
from replicas.cdp import limits
from replicas.cdp.event_log import EventLog
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from tests.replicas.cdp.traits.events import drawn_events
from tests.replicas.cdp.traits.plain import TOML

BATCH = 50


async def fold(directory: Path, count: int, seed: int) -> None:
    """Append what is still missing, and fold."""
    limits.FOLD_PROFILES_MAX = 3  # many commits in each round
    limits.FOLD_INTERVAL_S = 0.05
    log = EventLog(directory / "events")
    events = drawn_events(random.Random(seed), count, profiles=60)
    async with Replica.open(directory / "replica", name="eu") as replica:
        folding = Folding(replica, log, TraitDefinitions.parse(TOML))
        print("ready", flush=True)
        chance = random.Random(log.last_sequence).random()
        sweeping = asyncio.create_task(folding.run()) if chance < 0.5 else None
        for first in range(log.last_sequence, count, BATCH):
            log.append(events[first : first + BATCH])
            await (folding.fold_once() if sweeping is None else asyncio.sleep(0.01))
        while folding.position < log.last_sequence:
            await (folding.fold_once() if sweeping is None else asyncio.sleep(0.01))
        print("done", flush=True)
    log.close()


if __name__ == "__main__":
    asyncio.run(fold(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
