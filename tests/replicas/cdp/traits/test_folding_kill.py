"""A process that is killed while it folds: traits equal a recomputation over its log."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from tests.replicas.cdp.traits.test_folding import check_all

ROOT = Path(__file__).parents[4]
EVENTS = 6_000
KILLS_MIN = 6


def folder(directory: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.replicas.cdp.traits.folder", str(directory), str(count), "9"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_traits_are_exact_after_kills_in_the_middle_of_folding(tmp_path: Path) -> None:
    chance = random.Random(2)
    kills = 0
    while True:
        with folder(tmp_path, EVENTS) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if kills < KILLS_MIN:
                time.sleep(chance.uniform(0.05, 0.4))
                process.kill()
                kills += process.wait() != 0
                continue
            assert process.stdout.readline() == "done\n"
            break
    log = EventLog(tmp_path / "events")
    events = [event for _, event in log.read(0, EVENTS + 1)]
    log.close()
    assert len(events) == EVENTS

    async def check() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            check_all(replica, events)

    asyncio.run(check())
