"""Redis with its append-only file synced always: a reference that resolves no conflicts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.latencies import latency_readings
from benchmarks.peers.install import output, redis_program
from benchmarks.ports import free_port
from benchmarks.processes import Child, ChildFailed, children, disk_bytes
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Edit, Workload, batches
from benchmarks.writing import IN_FLIGHT, write_one_by_one, write_shapes

_PIPELINE: Final = 100
_START_PATIENCE_S: Final = 30.0
_ONE_REPLY_BYTES: Final = 4


def command(*words: str) -> bytes:
    """Return a command in Redis' protocol."""
    packed = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(packed)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in packed]
    return b"".join(parts)


class Connection:
    """A connection that sends pipelines and reads their replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer
        self.bytes = 0

    def prepared(self, batch: Sequence[Edit]) -> tuple[bytes, int]:
        """Return a pipeline of HSET, and the number of its replies."""
        return b"".join(command("HSET", *edit) for edit in batch), len(batch)

    async def write(self, prepared: tuple[bytes, int]) -> None:
        """Send a pipeline; return when every reply, a digit for each, has come."""
        payload, count = prepared
        self._writer.write(payload)
        replies = await self.reader.readexactly(_ONE_REPLY_BYTES * count)
        if replies.count(b":") != count:
            raise ChildFailed(f"redis refused a write: {replies[:200]!r}")
        self.bytes += len(payload) + len(replies)

    async def load(self, profiles: Sequence[tuple[str, dict[str, str]]]) -> None:
        """Write whole profiles in a pipeline."""
        payload = [
            command("HSET", name, *(word for pair in fields.items() for word in pair))
            for name, fields in profiles
        ]
        self._writer.write(b"".join(payload))
        replies = [await self.reader.readline() for _ in profiles]
        if set(replies) != {b":12\r\n"}:
            raise ChildFailed(f"redis refused a profile: {set(replies)}")

    async def ask(self, *words: str) -> list[bytes]:
        """Send one command and return the lines of an array of texts, or the one line."""
        self._writer.write(command(*words))
        return await self.reply()

    async def reply(self) -> list[bytes]:
        """Read one reply of texts."""
        head = await self.reader.readline()
        if head[:1] != b"*":
            return [head]
        texts = []
        for _ in range(int(head[1:])):
            length = int((await self.reader.readline())[1:])
            texts.append((await self.reader.readexactly(length + 2))[:-2])
        return texts

    async def fetch(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Read profiles in one pipeline."""
        self._writer.write(b"".join(command("HGETALL", name) for name in names))
        found = {}
        for name in names:
            texts = [text.decode() for text in await self.reply()]
            found[name] = dict(zip(texts[::2], texts[1::2], strict=True))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Redis:
    """The reference: hashes, the append-only file synced before every answer."""

    name = "redis"
    kind: Kind = "reference"
    share = 1.0
    differs = (
        "One master: no conflicts are resolved and nothing is replicated here. One hash per "
        "profile, HSET per edit, appendonly with appendfsync always, pipelines of 100 on 8 "
        "connections (durable: 1,000 on 4). Cold sync is a read of every hash in pipelines of "
        "100. Wire is between client and server."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Unpack Redis if that is allowed, and return its version."""
        program, environment = redis_program(install)
        said = output([str(program), "--version"], environment)
        return {"redis": said.split("v=")[1].split()[0]}

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        size, port = work.size, free_port()
        data = directory / "data"
        data.mkdir()
        async with children() as started:
            server = await self._start(directory, data, port, started)
            async with connections(port, IN_FLIGHT) as links:
                begun = time.monotonic()
                await asyncio.gather(
                    *(_load(link, work.profiles[place::8]) for place, link in enumerate(links[:8]))
                )
                readings = {"load": size.profiles / (time.monotonic() - begun)}
                readings["disk_loaded"] = disk_bytes(data) / size.profiles
                readings |= await write_shapes(links, work, work.durable)
                readings["memory"] = server.resident_bytes / 2**20
            await server.kill()
            server = await self._start(directory, data, port, started)
            async with connections(port, 1) as (link,):
                readings |= await _fetch_all(link, work)
                readings |= latency_readings(await write_one_by_one(link, work))
                readings["wire"] = await _count_bytes(link, work)
            await server.terminate()
        return readings | {"disk_edited": disk_bytes(data) / size.profiles}

    async def _start(self, directory: Path, data: Path, port: int, started: list[Child]) -> Child:
        program, environment = redis_program(install=False)
        settings = f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always".split()
        line = [str(program), *settings, "--save", "", "--dir", str(data)]
        server = await Child.start(
            self.name, line, directory / "redis.log", environment=environment
        )
        started.append(server)
        deadline = time.monotonic() + _START_PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with connections(port, 1) as (link,):
                    if await link.ask("PING") == [b"+PONG\r\n"]:
                        return server
            await asyncio.sleep(0.02)
        raise server.failure("did not start")


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Open connections, and close them at the end of the block."""
    opened: list[Connection] = []
    try:
        for _ in range(count):
            opened.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
        yield opened
    finally:
        for each in opened:
            each.close()


async def _load(link: Connection, profiles: Sequence[tuple[str, dict[str, str]]]) -> None:
    for start in range(0, len(profiles), _PIPELINE):
        await link.load(profiles[start : start + _PIPELINE])


async def _fetch_all(link: Connection, work: Workload) -> Readings:
    names = [name for name, _ in work.profiles]
    expected = work.after(work.durable)
    begun = time.monotonic()
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(names), _PIPELINE):
        found |= await link.fetch(names[start : start + _PIPELINE])
    elapsed_s = time.monotonic() - begun
    lost = sum(found[name] != fields for name, fields in expected.items())
    return {"cold_sync": len(names) / elapsed_s, "lost": float(lost)}


async def _count_bytes(link: Connection, work: Workload) -> float:
    edits = work.edits[slice(*work.wire)]
    link.bytes = 0
    for batch in batches(edits, _PIPELINE):
        await link.write(link.prepared(batch))
    return link.bytes / len(edits)
