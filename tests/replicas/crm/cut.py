"""A link between two replicas that can be cut: a relay of bytes that lets nobody through."""

import asyncio
from contextlib import suppress


class Cut:
    """Relays connections to a port while ``is_cut`` is false; cutting ends those there are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> "Cut":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections and take no others."""
        self.is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            if self.is_cut:  # since it was asked
                far_writer.transport.abort()
                writer.transport.abort()
                return
            self._writers |= {writer, far_writer}
            ways = self._copy(reader, far_writer), self._copy(far_reader, writer)
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= {writer, far_writer}
        writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()
