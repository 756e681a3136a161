"""A TCP proxy on loopback, in a process of its own, that counts bytes and can cut the line.

    python -m benchmarks.proxy PORT

listens on a port of its choice, forwards to PORT, and is told ``count``, ``cut``, ``heal`` in lines
of JSON. It ends when its standard input does.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

_CHUNK_BYTES = 256 * 1024


class Proxy:
    """Forwards connections, counts what passes, refuses all of them while it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._bytes = 0
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._met_at: float | None = None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either end leaves."""
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        if self._is_cut:  # since it was asked
            onward_writer.transport.abort()
            writer.transport.abort()
            return
        if self._met_at is None:
            self._met_at = time.monotonic()
        pair = {writer, onward_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, onward_writer), self._pump(onward_reader, writer)
            )
        finally:
            self._writers -= pair
            for each in pair:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK_BYTES):
                self._bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
        writer.close()

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says and return the answer."""
        if command["do"] == "cut":
            self._is_cut, self._met_at = True, None
            for writer in self._writers:
                writer.transport.abort()
        elif command["do"] == "heal":
            self._is_cut = False
        return {"bytes": self._bytes, "met_at": self._met_at}


async def serve(target: int) -> None:
    """Forward to a port and obey standard input until it ends."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        if command["do"] == "stop":
            break
        print(json.dumps(proxy.obey(command)), flush=True)
    proxy.obey({"do": "cut"})
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
