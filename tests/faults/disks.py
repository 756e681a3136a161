"""A small file system that fills up under a server: refusals, reads, erasures, kills, room."""

import subprocess
import time
from pathlib import Path
from typing import Any

from crdtstore import Settings
from tests.faults.forked import Conditions, Forked
from tests.faults.ground import Ground, NotHere
from tests.faults.http_lanes import check_servers, profiles_at
from tests.faults.promises import BesideOthers, Promises
from tests.patience import PATIENCE_S

SMALL_MIB = 8
LARGE_MIB = 48
TEXT_BYTES = 6_000
VICTIMS = ("victim-1", "victim-2", "victim-3")
"""Profiles that are erased while the disk is full."""


def mount_tmpfs(path: Path) -> None:
    """Mount a small disk in memory; raises OSError where that is not allowed."""
    _run("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", str(path))


def enlarge_tmpfs(path: Path) -> None:
    """Give the disk in memory more room."""
    _run("mount", "-o", f"remount,size={LARGE_MIB}m", str(path))


def mount_ext4(path: Path) -> None:
    """Mount a small file with a real file system in it; a filler takes what is to be freed."""
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(LARGE_MIB << 20)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    _run("mount", "-o", "loop", str(image), str(path))
    room = (LARGE_MIB - SMALL_MIB - 8) << 20
    _run("fallocate", "-l", str(room), str(path / "filler"))


def free_ext4(path: Path) -> None:
    """Give room by removing what filled the disk."""
    (path / "filler").unlink()


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise OSError(f"{words[0]} is not installed") from error
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


def full_disk(ground: Ground) -> None:
    """Fill disks of both kinds again and again."""
    kinds = (("tmpfs", mount_tmpfs, enlarge_tmpfs), ("ext4", mount_ext4, free_ext4))
    while True:
        for kind, mount, make_room in kinds:
            path = ground.directory / f"{kind}-{ground.tally.times}"
            path.mkdir()
            try:
                mount(path)
            except OSError as error:
                raise NotHere(f"a small disk cannot be mounted: {error}") from error
            try:
                _fill_and_free(ground, path, make_room)
            finally:
                _run("umount", "-l", str(path))
            ground.tally.times += 1
        if not ground.is_time_left:
            return


def _fill_and_free(ground: Ground, disk: Path, make_room: Any) -> None:
    tally, chance = ground.tally, ground.chance
    promises = BesideOthers("victim", text_bytes=TEXT_BYTES)
    conditions = Conditions(settings=Settings(map_bytes_initial=512 * 1024))
    eu = Forked("eu", disk / "eu", ground.directory / "eu.log", conditions)
    us = Forked("us", ground.directory / f"us-{disk.name}", ground.directory / "us.log", conditions)
    us.start()
    eu.start(us)
    body = {"source": "crm", "fields": {"email": "to-be-forgotten@example.com"}}
    for victim in VICTIMS:
        assert eu.ask("PATCH", f"/v1/profiles/{victim}", body)[0] == 200
    numbers = _write_until_refused(eu, promises)
    assert numbers > 5, "the disk was full at once"
    for victim in VICTIMS:
        assert eu.ask("GET", "/v1/profiles/person-0000")[0] == 200, "reads go on"
        status, answer = eu.ask("DELETE", f"/v1/profiles/{victim}")
        assert status == 200, answer
        assert eu.ask("GET", f"/v1/profiles/{victim}")[0] == 410
        tally.count("erasures on a full disk")
        time.sleep(chance.uniform(0.0, 0.2))
        eu.kill()
        tally.count("kills on a full disk")
        eu.start(us)
        assert eu.ask("GET", f"/v1/profiles/{victim}")[0] == 410, "an erasure is kept"
        promises.check(profiles_at(eu))
    _write_until_refused(eu, promises)
    eu.kill()
    eu.start(us)
    promises.check(profiles_at(eu))
    make_room(disk)
    deadline_s = time.monotonic() + PATIENCE_S
    while not _write(eu, promises):
        assert time.monotonic() < deadline_s, eu.log.read_text()[-2_000:]
        time.sleep(0.05)
        promises.check(profiles_at(eu))
    for _ in range(20):
        assert _write(eu, promises)
    tally.worst("s to convergence", check_servers(promises, eu, us))
    tally.checked += 2 * promises.checked
    for each in (eu, us):
        assert each.stop() == 0


def _write_until_refused(server: Forked, promises: Promises) -> int:
    for count in range(2_000):
        if not _write(server, promises):
            return count
    raise AssertionError("the disk did not fill up")


def _write(server: Forked, promises: Promises) -> bool:
    """Write a batch; return False if the disk is full, with nothing of the batch there."""
    number = promises.next_number("crm")
    batch = promises.batch("crm", number)
    writes = [entry.body() for entry in batch.entries]
    status, answer = server.ask("POST", "/v1/writes", {"writes": writes})
    if status == 200 and not any("error" in each for each in answer["results"]):
        promises.answered("crm", number, with_erasure=False)
        return True
    errors = [answer] if status != 200 else [e["error"] for e in answer["results"]]
    assert {error["type"] for error in errors} == {"urn:crdtstore:error:storage-full"}, answer
    return False
