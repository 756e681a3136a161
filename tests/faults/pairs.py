"""``kill -9`` of either end of a link: in a snapshot, in a repair, while both are written to."""

import http.client
import shutil
import threading
import time
from pathlib import Path

from crdtstore import Store
from crdtstore.model.values import pack
from tests.faults.forked import Forked
from tests.faults.ground import Ground
from tests.faults.http_lanes import HttpLane, check_servers
from tests.faults.promises import BesideOthers, Promises
from tests.faults.stores import apply
from tests.patience import PATIENCE_S

BULK = 8_000


def _fill(directory: Path, promises: Promises, count: int) -> None:
    """Make a store of so many profiles, and of what a lane wrote."""
    with Store.open(directory, name="eu") as store:
        for number in range(count):
            store.write(f"bulk-{number:06d}", {"n": number, "text": "x" * 300}, source="bulk")
        store.commit()
        for number in range(1, 30):
            apply(store, promises.batch("crm", number))
            promises.answered("crm", promises.next_number("crm"))


def kill_during_snapshot(ground: Ground) -> None:
    """Kill the giver and the taker of a snapshot again and again, until it is complete."""
    chance, tally = ground.chance, ground.tally
    promises = BesideOthers("bulk")
    eu = Forked("eu", ground.directory / "eu", ground.directory / "eu.log")
    us = Forked("us", ground.directory / "us", ground.directory / "us.log")
    _fill(eu.directory, promises, BULK)
    eu.start()
    while True:
        for _ in range(12):
            us.start(eu)
            time.sleep(chance.uniform(0.0, 0.15))
            received = us.ask("GET", "/v1/status")[1]["profiles"]
            if received > BULK:
                break
            tally.count("with a part received", received > 0)
            if chance.random() < 0.5:
                eu.kill()
                tally.count("giver")
                eu.start()
                time.sleep(chance.uniform(0.0, 0.25))
            else:
                tally.count("taker")
            us.kill()
            tally.times += 1
        else:
            us.start(eu)
        tally.worst("converged in s", check_servers(promises, eu, us))
        tally.checked += promises.checked + BULK
        us.kill()
        shutil.rmtree(us.directory)
        if tally.times and not ground.is_time_left:
            eu.kill()
            return


def _haunt(directory: Path, name: str, field: str, step: int) -> None:
    """Change documents by no frame, so that links alone will never make them equal."""
    with Store.open(directory, name=name) as store:
        stamp = store.now_ms() << 16
        for number in range(0, BULK, step):
            entry = pack((f"bulk-{number:06d}", 0, {f"r{field}\x1f{name}": (stamp, 666, number)}))
            store.replication.healing.join(b"\x91" + entry, stamp, store.now_ms(), None)


def kill_during_repair(ground: Ground) -> None:
    """Kill either end of a repair, then repair what is left to differ."""
    chance, tally = ground.chance, ground.tally
    promises = BesideOthers("bulk")
    eu = Forked("eu", ground.directory / "eu", ground.directory / "eu.log")
    us = Forked("us", ground.directory / "us", ground.directory / "us.log")
    _fill(eu.directory, promises, BULK)
    shutil.copytree(eu.directory, us.directory)
    while True:
        field = f"haunted-{tally.times}"
        _haunt(eu.directory, "eu", field, 7)
        _haunt(us.directory, "us", field, 5)
        eu.start()
        us.start(eu)
        _wait_for_link(us)
        asking = threading.Thread(target=_repair, args=(us,))
        asking.start()
        time.sleep(chance.uniform(0.0, 0.4))
        victim, other = chance.sample((eu, us), 2)
        victim.kill()
        tally.times += 1
        asking.join(PATIENCE_S)
        other.kill()
        eu.start()
        us.start(eu)
        _wait_for_link(us)
        status, report = us.ask("POST", "/v1/repair", {"peer": "eu"})
        assert status == 200, report
        assert report["is_healed"], report
        tally.count("found cut short", report["differing"] > 0)
        check_servers(promises, eu, us)
        _, profile = us.ask("GET", "/v1/profiles/bulk-000007")
        assert profile["fields"][field] == 7
        _, profile = eu.ask("GET", "/v1/profiles/bulk-000005")
        assert profile["fields"][field] == 5
        tally.checked += 2 * (promises.checked + BULK)
        for each in (eu, us):
            each.kill()
        if not ground.is_time_left:
            return


def _wait_for_link(server: Forked) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while server.ask("GET", "/v1/peers")[1]["peers"][0]["name"] == "":
        assert time.monotonic() < deadline_s, server.log.read_text()[-2_000:]
        time.sleep(0.01)


def _repair(server: Forked) -> None:
    try:
        server.ask("POST", "/v1/repair", {"peer": "eu"})
    except (OSError, http.client.HTTPException):
        return


def kill_under_links(ground: Ground) -> None:
    """Kill any of three replicas in a chain while lanes write at all of them."""
    chance, tally = ground.chance, ground.tally
    promises, lock = Promises(), threading.Lock()
    names = ("eu", "us", "ap")
    eu, us, ap = servers = [
        Forked(name, ground.directory / name, ground.directory / f"{name}.log") for name in names
    ]
    peers = {eu.name: (us,), us.name: (), ap.name: (us,)}
    for server in servers:
        server.start(*peers[server.name])
    while True:
        lanes = [HttpLane(server, server.name, promises, lock) for server in servers]
        for lane in lanes:
            lane.start()
        time.sleep(chance.uniform(0.0, 0.4))
        victim = chance.choice(servers)
        victim.kill()
        time.sleep(chance.uniform(0.0, 0.1))
        for lane in lanes:
            lane.stop()
        victim.start(*peers[victim.name])
        tally.worst("converged in s", check_servers(promises, *servers))
        tally.times += 1
        if not ground.is_time_left:
            tally.checked += 3 * promises.checked
            for server in servers:
                server.kill()
            return
