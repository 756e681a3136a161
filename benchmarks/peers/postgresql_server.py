"""A PostgreSQL server of the benchmark's own, which syncs every commit."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from benchmarks.peers.install import postgresql_programs
from benchmarks.peers.users import own_by, unprivileged_user
from benchmarks.processes import Child

_START_PATIENCE_S: Final = 30.0


async def initialise(directory: Path, data: Path) -> None:
    """Make the server's files in a folder that is made for them; raises ChildFailed."""
    data.mkdir()
    own_by(data, user := unprivileged_user())
    command = [str(postgresql_programs() / "initdb"), "-D", str(data), "-U", "benchmark"]
    command += ["--auth", "trust", "--encoding", "UTF8", "--no-locale"]
    initialising = await Child.start("initdb", command, directory / "initdb.log", user=user)
    await initialising.process.communicate()
    if initialising.process.returncode != 0:
        raise initialising.failure("failed")


async def start(directory: Path, data: Path, port: int, started: list[Child]) -> Child:
    """Start the server and wait until it takes connections; raises ChildFailed."""
    command = [str(postgresql_programs() / "postgres"), "-D", str(data), "-p", str(port)]
    for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=",
                    "synchronous_commit=on", "fsync=on"):  # fmt: skip
        command += ["-c", setting]
    # A killed server leaves its lock file, and processes that end when they notice.
    deadline = time.monotonic() + _START_PATIENCE_S
    while time.monotonic() < deadline:
        server = await Child.start(
            "postgresql", command, directory / "postgresql.log", user=unprivileged_user()
        )
        started.append(server)
        while server.process.returncode is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if await _answers(port):
                    return server
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
    raise server.failure("did not start")


async def _answers(port: int) -> bool:
    """Say whether the server takes connections: it answers a request for TLS with a letter."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        return await asyncio.wait_for(reader.read(1), 1) in (b"N", b"S")
    except (TimeoutError, ConnectionError):
        return False
    finally:
        writer.close()
