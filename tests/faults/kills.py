"""``kill -9`` of a process that writes: in a checkpoint, as the map grows, at opening."""

import shutil
import time
from pathlib import Path
from typing import Any

from tests.faults.children import Child
from tests.faults.ground import Ground, Tally
from tests.faults.promises import Promises
from tests.faults.writers import read_store, write_store

LANE = "crm"


def opened(promises: Promises, said: Any) -> None:
    """Check what a child found when it opened its store."""
    assert said is not None, "the store did not open"
    what, profiles, is_sound, incarnations = said
    assert what == "opened"
    assert incarnations == 1, "a kill is no rollback"
    assert is_sound, "verify found damage"
    promises.check(profiles)


def check_at_rest(directory: Path, promises: Promises, tally: Tally) -> str:
    """Open a store in a process of its own, check all of it, and return its digest."""
    child = Child(read_store, directory)
    answer = child.hear()
    assert child.end() == 0, "reading ended the process"
    assert len(answer) == 3, answer
    profiles, is_sound, digest = answer
    assert is_sound, "verify found damage"
    promises.check(profiles)
    tally.checked += promises.checked
    return str(digest)


def take(promises: Promises, said: list[Any]) -> None:
    """Take note of what a child said."""
    for thing in said:
        if thing[0] == "answered":
            promises.answered(LANE, thing[1])


def kill_writer(
    ground: Ground, promises: Promises, directory: Path, moment: str = "", map_bytes: int = 1 << 19
) -> None:
    """Let a writer write, and kill it at any moment, or just when something begins."""
    chance, tally = ground.chance, ground.tally
    child = Child(write_store, directory, promises.text_bytes, map_bytes)
    assert child.hear() == ("opening",)
    first = child.hear()
    opened(promises, first)
    start = promises.next_number(LANE)
    child.say(start)
    deadline_s = time.monotonic() + (0.5 if moment else chance.uniform(0.0, 0.15))
    said: list[Any] = []
    is_met = False
    while not is_met and (thing := child.hear_until(deadline_s)):
        said.append(thing)
        is_met = thing[0] == moment
    if is_met:
        time.sleep(chance.uniform(0.0, 0.004))
        tally.count(f"at {moment}")
    said += child.kill()
    assert not any(thing[0] not in ("answered", "checkpoint", "growth") for thing in said), said
    take(promises, said)
    last = max([thing[1] for thing in said if thing[0] == "answered"], default=start - 1)
    promises.tried(LANE, last + 1)
    tally.times += 1


def kill_during_writes(ground: Ground) -> None:
    """Kill a writer again and again, at any moment and as a checkpoint begins."""
    while True:
        promises = Promises(text_bytes=ground.chance.choice([40, 400, 2_000]))
        directory = ground.directory / f"writes-{ground.tally.times}"
        for _ in range(12):
            moment = ground.chance.choice(["", "checkpoint"])
            kill_writer(ground, promises, directory, moment)
            if not ground.is_time_left:
                break
        check_at_rest(directory, promises, ground.tally)
        shutil.rmtree(directory)
        if not ground.is_time_left:
            return


def kill_during_growth(ground: Ground) -> None:
    """Kill a writer of large values while the map doubles from 128 KiB."""
    while True:
        promises = Promises(text_bytes=12_000)
        directory = ground.directory / f"growth-{ground.tally.times}"
        for _ in range(6):
            kill_writer(ground, promises, directory, "growth", map_bytes=128 * 1024)
            if not ground.is_time_left:
                break
        check_at_rest(directory, promises, ground.tally)
        shutil.rmtree(directory)
        if not ground.is_time_left:
            return


def kill_while_opening(ground: Ground) -> None:
    """Kill processes that open a store, a new one and one with much to recover."""
    chance, tally = ground.chance, ground.tally
    while True:
        directory = ground.directory / f"opening-{tally.times}"
        promises = Promises(text_bytes=400)
        for round_ in range(6):
            for _ in range(5):
                child = Child(write_store, directory, promises.text_bytes)
                assert child.hear() == ("opening",)
                time.sleep(chance.uniform(0.0, 0.02 + 0.01 * round_))
                said = child.kill()
                assert not said or said[0][0] in ("opened", "growth"), said
                tally.times += 1
            kill_writer(ground, promises, directory)
        check_at_rest(directory, promises, tally)
        shutil.rmtree(directory)
        if not ground.is_time_left:
            return
