"""Processes of ``crdtstore serve``, and what is asked of them while they are measured."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.ours.writers import HttpWriter, StreamWriter
from benchmarks.ports import free_port
from benchmarks.processes import Child, ChildFailed, children, module_command
from crdtstore import Client

_PATIENCE_S: Final = 600.0
_LOOK_S: Final = 0.004
_DIGEST_LOOK_S: Final = 0.1
LAST: Final = "zz-last"
"""The profile that is written last, to see that all before it has come."""

_LOADERS: Final = 4
_CLIENTS_MAX: Final = 8


class Served:
    """One replica process and a client's view of it."""

    def __init__(self, child: Child, url: str, session: aiohttp.ClientSession) -> None:
        self.child = child
        self.url = url
        self.session = session

    async def ask(self, path: str) -> dict[str, Any]:
        """Return what the server answers at a path."""
        async with self.session.get(f"{self.url}{path}") as response:
            if response.status != 200:
                raise ChildFailed(f"{path} answered {response.status}")
            return dict(await response.json())

    async def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Post a document and return what the server answers."""
        async with self.session.post(f"{self.url}{path}", json=document) as response:
            if response.status != 200:
                raise ChildFailed(f"{path} answered {response.status}: {await response.text()}")
            return dict(await response.json())

    async def digest(self) -> tuple[str, int]:
        """Return the digest and the number of profiles."""
        answer = await self.ask("/v1/digest")
        return answer["digest"], answer["profiles"]

    def writer(self) -> HttpWriter:
        """Return a writer to this replica."""
        return HttpWriter(self.session, self.url)

    async def barrier(self) -> float:
        """Return when everything applied so far is durable: after a further write of its own.

        A commit makes durable all that was applied before it, whoever wrote it.
        """
        await self.mark("zz-barrier")
        return time.monotonic()

    async def mark(self, name: str) -> str:
        """Write a profile of its own, last of all; return what it says."""
        writer, said = self.writer(), repr(time.monotonic())
        await writer.write(writer.body([(name, {"at": said})]))
        return said

    async def sees(self, name: str, said: str) -> None:
        """Wait until a profile that another replica wrote says this here.

        What a replica wrote is applied in its order, and a snapshot comes in order of ids: what
        was written before the mark is here too. Asking costs the replica a fraction of a
        millisecond, unlike its digest.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            async with self.session.get(f"{self.url}/v1/profiles/{name}") as response:
                if response.status == 200 and (await response.json())["fields"]["at"] == said:
                    return
            await asyncio.sleep(_LOOK_S)
        raise ChildFailed(f"{name} was not seen within {_PATIENCE_S:g} s")

    @contextlib.asynccontextmanager
    async def stream_writers(self, count: int) -> AsyncIterator[list[StreamWriter]]:
        """Open so many writers, which share a few clients, for the block."""
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Client(self.url))
                for _ in range(min(count, _CLIENTS_MAX))
            ]
            yield [StreamWriter(clients[number % len(clients)]) for number in range(count)]

    async def load(self, profiles: Sequence[tuple[str, dict[str, str]]]) -> float:
        """Write whole profiles from several clients; return the seconds until all were durable."""
        batches = [profiles[start::_LOADERS] for start in range(_LOADERS)]
        async with self.stream_writers(_LOADERS) as writers:
            started = time.monotonic()
            await asyncio.gather(*map(StreamWriter.write, writers, batches))
            return time.monotonic() - started


class Servers:
    """Starts replica processes in one directory."""

    def __init__(
        self, directory: Path, session: aiohttp.ClientSession, started: list[Child]
    ) -> None:
        self._directory = directory
        self._session = session
        self._started = started
        self._ports: dict[str, int] = {}

    async def start(self, name: str, peers: Sequence[str] = ()) -> Served:
        """Start a replica, or start it again, and wait until it answers."""
        port = self._ports[name] = self._ports.get(name) or free_port()
        command = module_command("crdtstore.cli", "serve", "--name", name)
        command += ["--data", str(self.data(name)), "--listen", f"127.0.0.1:{port}"]
        command += ["--log-level", "warning"]
        for peer in peers:
            command += ["--peer", peer]
        child = await Child.start(name, command, self._directory / f"{name}.log")
        self._started.append(child)
        served = Served(child, f"http://127.0.0.1:{port}", self._session)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and child.process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError, ChildFailed):
                await served.ask("/healthz")
                return served
            await asyncio.sleep(_LOOK_S)
        raise child.failure("did not start")

    async def copy_without_journal(self, name: str, copy: str) -> None:
        """Back a stopped replica up and restore it as another one, which has no journal."""
        backup = self._directory / "backup"
        for words in (
            ("backup", str(backup), "--data", str(self.data(name))),
            ("restore", str(backup), str(self.data(copy))),
        ):
            command = module_command("crdtstore.cli", *words)
            child = await Child.start(words[0], command, self._directory / "backup.log")
            self._started.append(child)
            await child.process.communicate()
            if child.process.returncode != 0:
                raise child.failure("failed")

    def data(self, name: str) -> Path:
        """Return the data directory of a replica."""
        return self._directory / name

    async def proxy(self, target: Served) -> tuple[Child, str]:
        """Start a proxy before a replica; return it and its address."""
        command = module_command("benchmarks.proxy", target.url.rpartition(":")[2])
        proxy = await Child.start("proxy", command, self._directory / "proxy.log")
        self._started.append(proxy)
        return proxy, f"http://127.0.0.1:{(await proxy.answer('start'))['port']}"


async def equal(*replicas: Served) -> None:
    """Wait until replicas have one digest."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        digests = set(await asyncio.gather(*(replica.digest() for replica in replicas)))
        if len(digests) == 1:
            return
        await asyncio.sleep(_DIGEST_LOOK_S)
    raise ChildFailed(f"replicas were not equal after {_PATIENCE_S:g} s")


async def met(proxy: Child) -> float:
    """Heal the line; return when the first connection came over it."""
    await proxy.ask("heal")
    while (met_at := (await proxy.ask("count"))["met_at"]) is None:
        await asyncio.sleep(_LOOK_S)
    return float(met_at)


async def cold_sync(servers: Servers, source: Served, name: str) -> tuple[Child, Served, float]:
    """Start a new replica behind a proxy and let it reach another one.

    Returns the proxy, the new replica, and the seconds from their meeting until everything was
    durable at the new one. Both are equal then.
    """
    said = await source.mark(LAST)
    proxy, address = await servers.proxy(source)
    await proxy.ask("cut")
    new = await servers.start(name, [address])
    started = await met(proxy)
    await new.sees(LAST, said)
    elapsed_s = await new.barrier() - started
    await equal(source, new)
    return proxy, new, elapsed_s


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Servers]:
    """Start servers in the block; all of them are killed at its end."""
    async with children() as started:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield Servers(directory, session, started)
