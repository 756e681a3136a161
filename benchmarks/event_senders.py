"""The client processes of the benchmarks of events: started, ready, and gone after the block."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from benchmarks.processes import Child, children, module_command
from benchmarks.workload import SEED

_CLIENTS: Final = 2


@contextlib.asynccontextmanager
async def senders(
    directory: Path,
    url: str,
    persons: int,
    per_s: int,
    seconds: float,
    *,
    dialect: str = "segment",
) -> AsyncIterator[list[Child]]:
    """Have client processes ready for the block, which send so many events a second together."""
    async with children() as clients:
        for number in range(_CLIENTS):
            given = {
                "url": url, "name": f"client-{number}-{per_s}", "persons": persons,
                "seed": SEED + number, "per_s": per_s / _CLIENTS, "seconds": seconds,
                "dialect": dialect,
            }  # fmt: skip
            command = module_command("benchmarks.event_clients", json.dumps(given))
            client = await Child.start(f"client-{number}", command, directory / "clients.log")
            clients.append(client)
        await asyncio.gather(*(client.answer("be ready") for client in clients))
        yield clients
