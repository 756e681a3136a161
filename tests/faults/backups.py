"""``kill -9`` while a backup is taken of a working or a stopped replica, and while one is restored.

A backup is there whole, of one moment, or it is not there; the store that it is taken of is sound.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from crdtstore.replica.backups import check_backup
from tests.faults.children import Child
from tests.faults.ground import Ground
from tests.faults.kills import check_at_rest, opened
from tests.faults.promises import Promises
from tests.faults.writers import back_up, read_store, restore, write_replica, write_store

LANES = ("crm", "cdp", "steward")


def kill_during_backup(ground: Ground) -> None:
    """Kill replicas that take a backup while three lanes write, and restore what was kept."""
    promises = Promises()
    directory, backups = ground.directory / "eu", ground.directory / "backups"
    backups.mkdir()
    first, since = 0, dict.fromkeys(LANES, 0)
    while True:
        child = Child(write_replica, directory, backups, first)
        opened(promises, child.hear())
        child.say({lane: promises.next_number(lane) for lane in LANES})
        said: list[Any] = []
        wanted = ground.chance.randrange(1, 4)
        while wanted:
            said.append(child.hear())
            assert said[-1] is not None, "the replica ended by itself"
            wanted -= said[-1][0] == "backup"
        time.sleep(ground.chance.uniform(0.0, 0.03))
        said += child.kill()
        since = _take(promises, said, since)
        begun = [thing[1] for thing in said if thing[0] == "backup"]
        kept = [thing[1] for thing in said if thing[0] == "kept"]
        _check_backups(ground, promises, backups, kept, begun, since)
        first = begun[-1] + (begun[-1] in kept)
        since = {lane: promises.last_answered()[lane] for lane in LANES}
        ground.tally.times += 1
        if not ground.is_time_left:
            check_at_rest(directory, promises, ground.tally)
            return


def _take(promises: Promises, said: list[Any], since: dict[str, int]) -> dict[str, int]:
    """Take note of what was said; return the last answers before the last backup began."""
    trying: dict[str, int] = {}
    for thing in said:
        if thing[0] == "trying":
            trying[thing[1]] = thing[2]
        elif thing[0] == "answered":
            promises.answered(thing[1], thing[2])
            del trying[thing[1]]
        elif thing[0] == "backup":
            since = promises.last_answered()
    for lane, number in trying.items():
        promises.tried(lane, number)
    return since


def _check_backups(
    ground: Ground,
    promises: Promises,
    backups: Path,
    kept: list[int],
    begun: list[int],
    since: dict[str, int],
) -> None:
    """Check that what has its name is whole, and restore the last one."""
    named = {int(path.stem) for path in backups.glob("*.backup")}
    assert set(kept) <= named <= set(begun), (kept, named, begun)
    ground.tally.count("backups kept", len(named))
    ground.tally.count("cut short", len(begun) - len(named))
    if named:
        last = max(named)
        path, new = backups / f"{last}.backup", ground.directory / "new"
        manifest = check_backup(path).manifest
        child = Child(restore, path, new)
        assert [child.hear() for _ in range(2)] == [("begins",), ("restored", manifest.digest)]
        assert child.end() == 0
        reader = Child(read_store, new)
        profiles, is_sound, digest = reader.hear()
        assert reader.end() == 0
        assert is_sound
        assert digest == manifest.digest
        is_newest = last == begun[-1]
        ground.tally.checked += promises.check_moment(profiles, since if is_newest else {})
        shutil.rmtree(new)
    for number in named:
        (backups / f"{number}.backup").unlink()
    partial = {path.name for path in backups.iterdir()}
    assert partial <= {f"{begun[-1]}.backup.partial"}, partial


def kill_during_restore(ground: Ground) -> None:
    """Kill backups of a stopped replica, and restores: half a one is opened by nobody."""
    chance, tally = ground.chance, ground.tally
    promises = Promises(text_bytes=3_000)
    directory, path = ground.directory / "eu", ground.directory / "eu.backup"
    new = ground.directory / "new"
    writer = Child(write_store, directory, promises.text_bytes)
    writer.hear()
    opened(promises, writer.hear())
    writer.say(promises.next_number("crm"))
    said = [writer.hear() for _ in range(120)] + writer.kill()
    answered = [thing[1] for thing in said if thing[0] == "answered"]
    for number in answered:
        promises.answered("crm", number)
    promises.tried("crm", answered[-1] + 1)
    digest = check_at_rest(directory, promises, tally)
    while True:
        for _ in range(3):
            child = Child(back_up, directory, path)
            assert child.hear() == ("begins",)
            time.sleep(chance.uniform(0.0, 0.06))
            child.kill()
            tally.times += 1
            if path.exists():
                assert check_backup(path).manifest.digest == digest
                path.unlink()
        child = Child(back_up, directory, path)
        assert [child.hear() for _ in range(2)] == [("begins",), ("kept", digest)]
        assert child.end() == 0
        for _ in range(4):
            child = Child(restore, path, new)
            assert child.hear() == ("begins",)
            time.sleep(chance.uniform(0.0, 0.03))
            child.kill()
            tally.times += 1
            _check_restored(ground, promises, new, digest)
        path.unlink()
        if not ground.is_time_left:
            check_at_rest(directory, promises, tally)
            return


def _check_restored(ground: Ground, promises: Promises, new: Path, digest: str) -> None:
    """Check that a restore that was killed left nothing, half of one, or all."""
    names = {entry.name for entry in new.iterdir()} if new.exists() else set()
    reader = Child(read_store, new)
    answer = reader.hear()
    assert reader.end() == 0
    if "FORMAT" in names:
        assert answer[1:] == (True, digest), answer
        ground.tally.checked += promises.check_moment(answer[0], promises.last_answered())
        ground.tally.count("restored whole")
    elif names <= {"LOCK"}:
        assert answer[0] == {}, "a new store in an empty directory"
    else:
        assert answer == ("StorageError", answer[1]), answer
        assert "half a restore" in answer[1]
        ground.tally.count("half restores refused")
    shutil.rmtree(new)
