"""The proxy forwards, counts, cuts and heals."""

import asyncio
import contextlib
from pathlib import Path

from benchmarks.processes import Child, children, module_command


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1_000):
        writer.write(data)
    writer.close()


def test_bytes_are_counted_and_the_line_is_cut_and_healed(tmp_path: Path) -> None:
    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()[1]
        async with children() as started:
            command = module_command("benchmarks.proxy", str(target))
            proxy = await Child.start("proxy", command, tmp_path / "log")
            started.append(proxy)
            port = (await proxy.answer("start"))["port"]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x" * 700)
            assert await reader.readexactly(700) == b"x" * 700
            counted = await proxy.ask("count")
            assert counted["bytes"] == 1_400, "both ways"
            assert counted["met_at"] is not None
            assert (await proxy.ask("cut"))["met_at"] is None
            assert await reader.read() == b""
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b"", "refused while it is cut"
            writer.close()
            healed = await proxy.ask("heal")
            assert healed["met_at"] is None
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"
            assert (await proxy.ask("count"))["met_at"] is not None
            writer.close()
            await proxy.stop()
        server.close()

    asyncio.run(run())
