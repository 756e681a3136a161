"""Wire: the network between two replicas of the demo, which can really be cut.

A replica of the demo knows its peers by addresses of wires. A wire carries bytes to the peer and
back, untouched. Cut, it resets the connections that it carries and every new one.
"""

import asyncio
import contextlib
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024

_HOST: Final = "127.0.0.1"


class Wire:
    """The way to one peer, as a TCP port on loopback: ``await open()``, then ``await close()``."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._is_cut = False
        self._ends: set[asyncio.WriteTransport] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address under which the peer is reached through this wire."""
        return f"http://{_HOST}:{self._port}"

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, _HOST, 0)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset every connection, and from now on every new one."""
        self._is_cut = True
        for end in tuple(self._ends):
            end.abort()

    def mend(self) -> None:
        """Carry connections again."""
        self._is_cut = False

    async def close(self) -> None:
        """Stop listening and reset what is left."""
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways until either end closes it or the wire is cut."""
        ends = [writer.transport]
        self._ends.update(ends)
        try:
            if self._is_cut:
                return
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target_port)
            ends.append(far_writer.transport)
            self._ends.update(ends)
            if not self._is_cut:
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
                far_writer.close()
                writer.close()
                await asyncio.gather(far_writer.wait_closed(), writer.wait_closed())
        except OSError:
            pass  # the peer is not there, or an end was reset: the other learns it below
        finally:
            for end in ends:
                end.abort()
            self._ends.difference_update(ends)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until their end, and the end itself."""
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        if not writer.transport.is_closing():
            writer.write_eof()
