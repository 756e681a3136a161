"""A switch of ours between network namespaces: it carries IP packets, and treats them badly.

Every host has a TUN device, whose other end is held here. Packets are lost, delayed, reordered and
sent twice by chance, for each direction of each pair of hosts by itself: a partition can be
one-way. It does what ``tc netem`` does, needs no kernel module, and its chance has a seed.
"""

import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass

from tests.patience import PATIENCE_S

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000


@dataclass(frozen=True, slots=True)
class Weather:
    """How packets of one direction fare. ``jitter_ms`` beyond the distance of packets reorders."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    is_cut: bool = False


CALM = Weather()
BAD = Weather(delay_ms=20, jitter_ms=15, loss=0.02, duplication=0.01)
CUT = Weather(is_cut=True)


def open_tun(name: str) -> int:
    """Make a TUN device and return the descriptor of our end; raises OSError."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Switch(threading.Thread):
    """Carries packets between hosts by their addresses, until closed."""

    def __init__(self, ends: dict[str, int], chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.weather: dict[tuple[str, str], Weather] = {}
        self.carried = self.lost = self.repeated = self.overtaken = 0
        self._ends = ends
        self._chance = chance
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._serial = self._last_serial = 0
        self._is_closing = False

    def set_weather(self, one: str, other: str, weather: Weather) -> None:
        """Set the weather of both directions between two addresses."""
        self.weather[one, other] = self.weather[other, one] = weather

    def run(self) -> None:
        selector = selectors.DefaultSelector()
        for address, descriptor in self._ends.items():
            selector.register(descriptor, selectors.EVENT_READ, address)
        while not self._is_closing:
            due_s = self._waiting[0][0] - time.monotonic() if self._waiting else 0.05
            for key, _ in selector.select(max(0.0, min(due_s, 0.05))):
                self._read(key.fd, key.data)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                self._deliver(*heapq.heappop(self._waiting)[1:])
        selector.close()

    def _read(self, descriptor: int, source: str) -> None:
        for _ in range(64):
            try:
                packet = os.read(descriptor, 70_000)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            target = socket.inet_ntoa(packet[16:20])
            if target not in self._ends:
                continue
            weather = self.weather.get((source, target), CALM)
            copies = 1 + (self._chance.random() < weather.duplication)
            if weather.is_cut or self._chance.random() < weather.loss:
                self.lost += 1
                continue
            self.repeated += copies - 1
            for _ in range(copies):
                delay_s = (weather.delay_ms + self._chance.random() * weather.jitter_ms) / 1000
                self._serial += 1
                entry = (time.monotonic() + delay_s, self._serial, self._ends[target], packet)
                heapq.heappush(self._waiting, entry)

    def _deliver(self, serial: int, descriptor: int, packet: bytes) -> None:
        self.overtaken += serial < self._last_serial
        self._last_serial = serial
        self.carried += 1
        try:
            os.write(descriptor, packet)
        except OSError:
            self.lost += 1  # the host is not up, or its queue is full

    def close(self) -> None:
        """Stop carrying, and let the devices go."""
        self._is_closing = True
        self.join(PATIENCE_S)
        for descriptor in self._ends.values():
            os.close(descriptor)
