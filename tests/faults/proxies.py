"""TCP proxies between replicas, where there are no namespaces: they delay, stall and cut."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.switch import CALM, Weather
from tests.patience import PATIENCE_S
from tests.processes.servers import Server

NAMES = ("eu", "us", "ap")
_RETRANSMISSION_S = 0.2


class Proxies(threading.Thread):
    """Proxies of one network. A lost packet is what TCP makes of it: a delay."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.weather: dict[tuple[str, str], Weather] = {}
        self._chance = chance
        self._loop = asyncio.new_event_loop()

    def set_weather(self, one: str, other: str, weather: Weather) -> None:
        """Set the weather of both directions between two replicas."""
        self.weather[one, other] = self.weather[other, one] = weather

    def run(self) -> None:
        self._loop.run_forever()

    def add(self, source: str, target: str, port: int) -> str:
        """Open a proxy by which one replica reaches another; return its address."""
        opening = self._open(source, target, port)
        return asyncio.run_coroutine_threadsafe(opening, self._loop).result(PATIENCE_S)

    def close(self) -> None:
        """Stop carrying."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(PATIENCE_S)

    async def _open(self, source: str, target: str, port: int) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(
                    self._carry(source, target, reader, far_writer),
                    self._carry(target, source, far_reader, writer),
                )
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _carry(
        self, source: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await reader.read(4_096):
                while (weather := self.weather.get((source, target), CALM)).is_cut:
                    await asyncio.sleep(0.01)
                delay_ms = weather.delay_ms + self._chance.random() * weather.jitter_ms
                is_lost = self._chance.random() < weather.loss
                if delay_ms or is_lost:
                    await asyncio.sleep(delay_ms / 1000 + is_lost * _RETRANSMISSION_S)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        writer.close()


class Proxied(Server):
    """A replica that reaches its peers over proxies."""

    def __init__(self, name: str, directory: Path, proxies: Proxies) -> None:
        super().__init__(name, directory / name, directory / f"{name}.log")
        self.address = name
        self._proxies = proxies

    def peer_url(self, peer: Server) -> str:
        return self._proxies.add(self.name, peer.name, peer.port)


@contextmanager
def three_proxied(
    directory: Path, chance: random.Random
) -> Iterator[tuple[list[Proxied], Proxies]]:
    """Give three replicas that are not started, and the network between them."""
    proxies = Proxies(chance)
    proxies.start()
    hosts = [Proxied(name, directory, proxies) for name in NAMES]
    try:
        yield hosts, proxies
    finally:
        for host in hosts:
            host.end()
        proxies.close()
