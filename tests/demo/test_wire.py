"""The wire of the demo: it carries bytes, and it can really be cut."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from crdtstore.demo.replica_process import free_ports
from crdtstore.demo.wire import Wire
from tests.patience import PATIENCE_S


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def through_a_wire(scenario: Callable[[Wire], Awaitable[None]]) -> None:
    """Run a scenario with a wire to a server that sends everything back."""

    async def run() -> None:
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        wire = Wire(server.sockets[0].getsockname()[1])
        await wire.open()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(wire)
        finally:
            await wire.close()
            server.close()

    asyncio.run(run())


async def dial(wire: Wire) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = urlsplit(wire.url).port
    return await asyncio.open_connection("127.0.0.1", port)


async def is_carried(wire: Wire) -> bool:
    try:
        reader, writer = await dial(wire)
        writer.write(b"ping")
        answer = await reader.read(4)
        writer.close()
    except OSError:
        return False
    return answer == b"ping"


def test_a_wire_carries_every_byte_and_the_end():
    async def scenario(wire: Wire) -> None:
        reader, writer = await dial(wire)
        sent = bytes(range(256)) * 8_000

        async def send() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == sent
        await sending
        writer.close()

    through_a_wire(scenario)


def test_a_cut_resets_what_is_carried_and_what_comes_until_it_is_mended():
    async def scenario(wire: Wire) -> None:
        reader, writer = await dial(wire)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        wire.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        for _ in range(3):
            assert not await is_carried(wire)
        wire.mend()
        assert await is_carried(wire)

    through_a_wire(scenario)


def test_a_wire_to_nobody_resets_and_waits_for_the_peer():
    async def run() -> None:
        (port,) = free_ports(1)
        wire = Wire(port)
        await wire.open()
        assert not await is_carried(wire)
        server = await asyncio.start_server(_echo, "127.0.0.1", port)
        assert await is_carried(wire)
        await wire.close()
        server.close()

    asyncio.run(run())
