"""Two lives of one identity: a directory copied while in use, and one that is opened twice."""

import os
import shutil
import signal
import threading
from pathlib import Path

from tests.faults.children import Child
from tests.faults.forked import Forked
from tests.faults.ground import Ground
from tests.faults.http_lanes import HttpLane, check_servers
from tests.faults.promises import Promises
from tests.faults.writers import read_store


def live_clone(ground: Ground) -> None:
    """Copy a directory at any moment of a replica that is written to, and run both, linked.

    The replica stands still while it is copied, as it would in a snapshot of its volume. The copy
    takes a new incarnation before its first write, so what both write is kept.
    """
    tally = ground.tally
    while True:
        promises, lock = Promises(), threading.Lock()
        place = ground.directory / f"clone-{tally.times}"
        place.mkdir()
        eu, clone, us = (
            Forked(name, place / directory, place / f"{directory}.log")
            for name, directory in (("eu", "eu"), ("eu", "clone"), ("us", "us"))
        )
        us.start()
        eu.start(us)
        lanes = [HttpLane(eu, "original", promises, lock)]
        lanes[0].start()
        lanes[0].wait_for(ground.chance.randrange(3, 30))
        os.kill(eu.pid, signal.SIGSTOP)
        shutil.copytree(eu.directory, clone.directory)
        os.kill(eu.pid, signal.SIGCONT)
        clone.start(us)
        origins = {each.ask("GET", "/v1/status")[1]["origin"] for each in (eu, clone)}
        assert len(origins) == 2, "the copy took an incarnation of its own"
        lanes.append(HttpLane(clone, "copy", promises, lock))
        lanes[1].start()
        for lane in lanes:
            lane.wait_for(ground.chance.randrange(5, 40))
            lane.stop()
            assert not lane.refusals, lane.refusals
        tally.worst("s to convergence", check_servers(promises, eu, clone, us))
        tally.checked += 3 * promises.checked
        _open_twice(eu.directory)
        tally.times += 1
        for each in (eu, clone, us):
            each.kill()
        shutil.rmtree(place)
        if not ground.is_time_left:
            return


def _open_twice(directory: Path) -> None:
    """Open a directory that a living process has open: it is refused, and names the process."""
    child = Child(read_store, directory)
    answer = child.hear()
    assert child.end() == 0
    assert answer[0] == "DirectoryInUse", answer
    assert "in use by process" in answer[1]
