"""Three hosts in network namespaces, with a switch between them and a wire of ours to each."""

import random
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults.switch import Switch, open_tun
from tests.processes.servers import Server

NAMES = ("eu", "us", "ap")
TOKEN = "a-token-for-the-fault-campaign"
LINK_SECRET = "a-link-secret-for-the-fault-campaign"


def ip(words: str) -> None:
    """Run a command of iproute2; raises OSError if it is refused."""
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {words}: {done.stderr.strip()}")


class Host(Server):
    """A replica in a network namespace of its own, asked over a wire that no fault touches."""

    def __init__(self, place: int, run: bytes, directory: Path) -> None:
        name = NAMES[place]
        super().__init__(name, directory / name, directory / f"{name}.log")
        self.address = f"10.231.0.{place + 1}"
        self.space = f"crdt{run.hex()}{place}"
        self.port = 8401
        self.host = f"10.{232 + place}.{run[0]}.2"
        self.url = f"http://{self.address}:{self.port}"
        self.token = TOKEN
        self.environment = {"CRDTSTORE_TOKEN": TOKEN, "CRDTSTORE_LINK_SECRET": LINK_SECRET}

    def set_up(self, stack: ExitStack) -> int:
        """Make the namespace, its device at the switch and its wire; return the switch's end."""
        ip(f"netns add {self.space}")
        stack.callback(ip, f"netns del {self.space}")
        near, far, device = f"{self.space}n", f"{self.space}f", f"{self.space}t"
        ip(f"link add {near} type veth peer name {far} netns {self.space}")
        ip(f"addr add {self.host.removesuffix('.2')}.1/24 dev {near}")
        ip(f"link set {near} up")
        ip(f"-n {self.space} addr add {self.host}/24 dev {far}")
        ip(f"-n {self.space} link set {far} up")
        ip(f"-n {self.space} link set lo up")
        end = open_tun(device)
        ip(f"link set {device} netns {self.space}")
        ip(f"-n {self.space} addr add {self.address}/24 dev {device}")
        ip(f"-n {self.space} link set {device} mtu 9000 up")
        return end

    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", self.space]

    def listen(self) -> str:
        return f"0.0.0.0:{self.port}"


@contextmanager
def three_hosts(directory: Path, chance: random.Random) -> Iterator[tuple[list[Host], Switch]]:
    """Give three hosts that are not started, and the switch; raises OSError where not allowed."""
    run = secrets.token_bytes(3)
    with ExitStack() as stack:
        hosts = [Host(place, run, directory) for place in range(len(NAMES))]
        ends = {host.address: host.set_up(stack) for host in hosts}
        switch = Switch(ends, chance)
        switch.start()
        stack.callback(switch.close)
        for host in hosts:
            stack.callback(host.end)
        yield hosts, switch
