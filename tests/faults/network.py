"""Three hosts, a writer at each, and a network that loses, delays, reorders and is cut.

The hosts are network namespaces where the machine allows that, else processes on loopback with
proxies between them, which can delay and cut, but neither lose nor reorder.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations
from typing import Any

from tests.faults.ground import Ground
from tests.faults.hosts import three_hosts
from tests.faults.http_lanes import HttpLane, check_servers
from tests.faults.promises import Promises
from tests.faults.proxies import three_proxied
from tests.faults.switch import BAD, CALM, CUT

Trouble = Callable[[Any, list[Any], random.Random], None]


def _loss(network: Any, hosts: list[Any], chance: random.Random) -> None:
    for one, other in combinations(hosts, 2):
        network.set_weather(one.address, other.address, BAD)


def _partition(network: Any, hosts: list[Any], chance: random.Random) -> None:
    alone = chance.choice(hosts)
    for other in hosts:
        if other is not alone:
            network.set_weather(alone.address, other.address, CUT)


def _one_way(network: Any, hosts: list[Any], chance: random.Random) -> None:
    one, other = chance.sample(hosts, 2)
    network.weather[one.address, other.address] = CUT


def _broken_line(network: Any, hosts: list[Any], chance: random.Random) -> None:
    """All pairs are cut, by turns."""
    for _ in range(3):
        for one, other in combinations(hosts, 2):
            network.set_weather(one.address, other.address, CUT)
            time.sleep(0.15)
            network.set_weather(one.address, other.address, BAD)


TROUBLES: dict[str, Trouble] = {
    "loss, delay, reordering, duplicates": _loss,
    "partition": _partition,
    "one-way cut": _one_way,
    "cuts by turns": _broken_line,
}


def bad_network(ground: Ground) -> None:
    """Try the network of namespaces, or of proxies if this machine allows no namespaces."""
    with ExitStack() as stack:
        try:
            hosts, switch = stack.enter_context(three_hosts(ground.directory, ground.chance))
        except OSError as error:
            print(f"no network namespaces, so proxies instead: {error}", flush=True)
            proxied_network(ground)
            return
        weather_every_trouble(ground, hosts, switch)
        for name in ("carried", "lost", "repeated", "overtaken"):
            ground.tally.figures[f"packets {name}"] = getattr(switch, name)


def proxied_network(ground: Ground) -> None:
    """Try the network of proxies."""
    with three_proxied(ground.directory, ground.chance) as (hosts, proxies):
        weather_every_trouble(ground, hosts, proxies)


def weather_every_trouble(ground: Ground, hosts: list[Any], network: Any) -> None:
    """Have lanes write at three hosts through every kind of trouble; equal after it has ended."""
    chance, tally = ground.chance, ground.tally
    promises, lock = Promises(), threading.Lock()
    eu, us, ap = hosts
    us.start(ap)
    ap.start()
    eu.start(us, ap)
    check_servers(promises, *hosts)
    while True:
        for name, trouble in TROUBLES.items():
            lanes = [HttpLane(host, host.name, promises, lock, 0.01) for host in hosts]
            for lane in lanes:
                lane.start()
            trouble(network, hosts, chance)
            time.sleep(chance.uniform(1.0, 20.0) if ground.is_time_left else 0.5)
            for lane in lanes:
                lane.wait_for(1)
                lane.stop()
                tally.worst("slowest write ms", 1000 * lane.slowest_s)
            for one, other in combinations(hosts, 2):
                network.set_weather(one.address, other.address, CALM)
            took_s = check_servers(promises, *hosts)
            tally.worst(f"s to convergence after {name}", took_s)
            tally.times += 1
        if not ground.is_time_left:
            break
    tally.checked += 3 * promises.checked
    for host in hosts:
        assert host.stop() == 0, host.log.read_text()[-2_000:]
