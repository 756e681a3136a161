"""Client: writes to a replica elsewhere, for programs with asyncio."""

import asyncio
from collections.abc import Mapping
from typing import Any

from crdtstore.client.pipeline import Pipeline
from crdtstore.client.reading import read_profile
from crdtstore.model.profile import Profile
from crdtstore.stream import bounds
from crdtstore.stream.entries import ERASE, REVIVE, UnansweredWrite, pack_epoch, pack_write


class Client:
    """A client of one replica, to be entered with ``async with``.

    Writes are applied in the order in which they were made, each exactly once, also over lost
    connections and restarts of the replica. Many are under way at a time, as many as the replica's
    window takes. Leaving the context waits for all of them; leaving it by an error gives up those
    that are not answered.

    ``patience_s`` bounds how long writes wait for a replica that is out of reach. After that, or
    when the replica has forgotten the client, the client gives up: every call raises the reason,
    and ``unanswered`` tells which writes may or may not have been kept. Another replica does not
    know of them: whether to write them there again is the program's choice.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        patience_s: float = bounds.CLIENT_PATIENCE_S_DEFAULT,
    ) -> None:
        self._pipeline = Pipeline(url, token, patience_s)

    async def __aenter__(self) -> "Client":
        await self._pipeline.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self._pipeline.stop()

    async def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> str:
        """Write what a source says about a profile; return its version when that is durable.

        Raises InvalidInput or Refused with nothing changed, or the reason why the client gave up.
        A caller that is cancelled does not take its write back.
        """
        return await self._answered(pack_write(profile_id, source, fields, if_version, tell=True))

    async def submit(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> None:
        """Hand a write over, waiting for room only; ``flush`` tells what became of it.

        Raises InvalidInput for what cannot be sent, or the reason why the client gave up.
        """
        await self._pipeline.put(pack_write(profile_id, source, fields, if_version, tell=False))

    async def flush(self) -> None:
        """Wait until everything that was submitted so far is durable.

        Raises WritesRefused if submitted writes were refused since the last time; all others are
        durable. Raises the reason why the client gave up.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._pipeline.put_flush(waiter)
        await waiter

    async def erase(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Erase a profile for good, in order with the writes; return its version."""
        return await self._answered(pack_epoch(ERASE, profile_id, if_version))

    async def revive(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Let an erased profile take writes again; return its version when that is durable."""
        return await self._answered(pack_epoch(REVIVE, profile_id, if_version))

    async def _answered(self, entry: bytes) -> str:
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await self._pipeline.put(entry, waiter)
        return await waiter

    async def read(self, profile_id: str) -> Profile:
        """Return the golden record that the replica has, with every write that was answered.

        Raises ProfileNotFound, ProfileErased, InvalidName, ReplicaUnreachable.
        """
        return await read_profile(self._pipeline, profile_id)

    @property
    def unanswered(self) -> list[UnansweredWrite]:
        """The writes whose results are not known, in order; those that were sent may be kept."""
        return self._pipeline.unanswered()

    async def close(self) -> None:
        """Wait until everything is durable, and let the connection go.

        Raises WritesRefused as ``flush`` does, or the reason why the client gave up.
        """
        try:
            await self.flush()
        except BaseException:
            await self._pipeline.stop()
            raise
        await self._pipeline.finish()
