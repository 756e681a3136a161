"""The ways to write to crdtstore: in process, over a write stream, and over HTTP."""

from collections.abc import Sequence
from typing import Any

import aiohttp
import msgpack

from benchmarks.processes import ChildFailed
from benchmarks.workload import Edit
from crdtstore import Client, Replica, Write

SOURCE = "crm"
_MSGPACK = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}


class LibraryWriter:
    """Writes to a replica in this process."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def prepared(self, batch: Sequence[Edit]) -> list[Write]:
        """Return the writes of a batch."""
        return [Write(profile, SOURCE, {field: value}) for profile, field, value in batch]

    async def write(self, prepared: list[Write]) -> None:
        """Write a batch; a single one by the call that is made for it."""
        if len(prepared) == 1:
            write = prepared[0]
            await self._replica.write(write.id, write.fields, source=SOURCE)
            return
        for result in await self._replica.write_many(prepared):
            if isinstance(result, Exception):
                raise result


class StreamWriter:
    """Writes over a client's websocket; the edits of a batch are handed to it one by one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def prepared(self, batch: Sequence[Edit]) -> list[tuple[str, dict[str, str]]]:
        """Return the edits of a batch as they are handed over."""
        return [(profile, {field: value}) for profile, field, value in batch]

    async def write(self, prepared: Sequence[tuple[str, dict[str, str]]]) -> None:
        """Write a batch; a single one by the call that is made for it."""
        if len(prepared) == 1:
            profile, fields = prepared[0]
            await self._client.write(profile, fields, source=SOURCE)
            return
        for profile, fields in prepared:
            await self._client.submit(profile, fields, source=SOURCE)
        await self._client.flush()


class HttpWriter:
    """Writes batches over HTTP, in msgpack, over connections that are kept."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v1/writes"

    def prepared(self, batch: Sequence[Edit]) -> bytes:
        """Return the body of a batch."""
        return self.body([(profile, {field: value}) for profile, field, value in batch])

    def body(self, writes: Sequence[tuple[str, dict[str, Any]]]) -> bytes:
        """Return the body of writes of any fields."""
        items = [{"id": name, "source": SOURCE, "fields": fields} for name, fields in writes]
        return bytes(msgpack.packb({"writes": items}))

    async def write(self, prepared: bytes) -> None:
        """Post a batch; raises ChildFailed if any of it was refused."""
        async with self._session.post(self._url, data=prepared, headers=_MSGPACK) as response:
            content = await response.read()
            if response.status != 200 or b"\xa5error" in content:
                raise ChildFailed(f"a write was refused, {response.status}: {content[:300]!r}")
