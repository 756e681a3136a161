"""``kill -9`` of ``crdtstore serve`` while ``crdtstore backup`` takes what it sends."""

import os
import subprocess
import sys
import threading
import time

from crdtstore.replica.backups import check_backup
from tests.faults.ground import Ground
from tests.faults.http_lanes import HttpLane, check_servers, profiles_at
from tests.faults.promises import BesideOthers
from tests.patience import PATIENCE_S
from tests.processes.servers import ROOT, Server

BULK_WRITES = 60


def kill_while_serving_backup(ground: Ground) -> None:
    """Kill the server at any moment of a backup; the command leaves a whole one or none."""
    chance, tally = ground.chance, ground.tally
    promises, lock = BesideOthers("bulk"), threading.Lock()
    eu = Server("eu", ground.directory / "eu", ground.directory / "eu.log")
    eu.environment = {
        "CRDTSTORE_LOG_LEVEL": "warning",
        "CRDTSTORE_MAP_BYTES_INITIAL": str(1 << 20),
    }
    eu.start()
    for number in range(BULK_WRITES):
        fields = {f"text-{part}": "x" * 60_000 for part in range(3)}
        assert eu.ask("PATCH", f"/v1/profiles/bulk-{number}", {"source": "b", "fields": fields})
    while True:
        path = ground.directory / f"{tally.times}.backup"
        lane = HttpLane(eu, "crm", promises, lock)
        lane.start()
        lane.wait_for(2)
        backup = _command("backup", str(path), "--url", eu.url)
        if chance.random() < 0.8:
            _wait_for_partial(path.with_name(path.name + ".partial"), backup)
            time.sleep(chance.uniform(0.0, 0.05))
            eu.kill()
        said = backup.communicate(timeout=PATIENCE_S)[0]
        lane.stop()
        if backup.returncode == 0:
            profiles = check_backup(path).manifest.profiles
            assert profiles >= BULK_WRITES
            tally.count("backups whole")
            path.unlink()
        else:
            assert len(said.splitlines()) == 1, said
            assert not list(ground.directory.glob("*.backup*")), "nothing is left of half a one"
            tally.count("cut short")
        eu.end()
        eu.start()
        promises.check(profiles_at(eu))
        verify = _command("verify", "--url", eu.url)
        said = verify.communicate(timeout=PATIENCE_S)[0]
        assert verify.returncode == 0, said
        assert "all sound" in said
        assert not list(eu.directory.glob("tmp*")), "the server's copy had no name"
        tally.times += 1
        if not ground.is_time_left:
            check_servers(promises, eu)
            tally.checked += promises.checked
            assert eu.stop() == 0
            return


def _command(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "crdtstore.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _wait_for_partial(path: os.PathLike[str], backup: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not os.path.exists(path) and backup.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
