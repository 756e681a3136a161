"""One process of a Python peer, told what to do by lines of JSON: the twin of node/run.mjs.

It runs in the peer's own virtual environment and so uses nothing but the standard library.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

CHECK_PATIENCE_S: Final = 5.0
OPENED_AT_ONCE: Final = 50
_LOOK_S: Final = 0.001
_WRITTEN_AT_ONCE: Final = 100

Fields = Mapping[str, str]
Answer = dict[str, Any]


class Place(Protocol):
    """A server, or a client that holds profiles."""

    def values(self, profile: str) -> Fields | None:
        """Return what a profile says here, None if it is not here."""

    async def stop(self) -> None:
        """End in order."""


class Server(Place, Protocol):
    """A server that keeps profiles on disk."""

    async def persisted(self) -> float:
        """Wait until all that was received is on disk; return when that was."""


class Client(Place, Protocol):
    """A client of a server."""

    async def open(self, profile: str) -> None:
        """Open a profile and wait until it is the server's."""

    def write(self, profile: str, fields: Fields) -> None:
        """Write fields of an open profile."""

    async def disconnect(self) -> None:
        """Part from the server, and keep the profiles."""

    async def connect(self) -> None:
        """Come back to the server."""


def says(values: Fields | None, fields: Fields) -> bool:
    """Say whether a profile has these values."""
    return values is not None and all(values.get(key) == value for key, value in fields.items())


class Runner:
    """Carries out commands at one place of a peer."""

    def __init__(self, place: Any, work: dict[str, Any]) -> None:
        self._place = place
        self._profiles: list[tuple[str, dict[str, str]]] = work["profiles"]
        self._edits: list[tuple[str, str, str]] = work["edits"]
        self.commands: dict[str, Callable[..., Awaitable[Answer]]] = {
            name: getattr(self, f"_{name}")
            for name in (
                "digest", "check", "settle", "open", "load", "edit", "see", "one", "conflict",
                "disconnect", "connect",
            )
        }  # fmt: skip

    def _expected(
        self, profiles: Sequence[int] = (0, 0), edits: Sequence[int] = (0, 0)
    ) -> dict[str, dict[str, str]]:
        wanted = {name: dict(fields) for name, fields in self._profiles[slice(*profiles)]}
        for name, field, value in self._edits[slice(*edits)]:
            wanted.setdefault(name, {})[field] = value
        return wanted

    async def _until_said(self, wanted: Mapping[str, Fields]) -> None:
        for profile, fields in wanted.items():
            while not says(self._place.values(profile), fields):
                await asyncio.sleep(_LOOK_S)

    async def _digest(self, profiles: Sequence[int]) -> Answer:
        found = [
            [name, sorted((self._place.values(name) or {}).items())]
            for name, _ in self._profiles[slice(*profiles)]
        ]
        return {"digest": hashlib.sha256(json.dumps(found).encode()).hexdigest()}

    async def _check(self, **ranges: Sequence[int]) -> Answer:
        """Count what is not there; the clock stops at the last one that came."""
        differing, at = 0, 0.0
        patience = time.monotonic() + CHECK_PATIENCE_S
        for profile, fields in self._expected(**ranges).items():
            is_there = says(self._place.values(profile), fields)
            while not is_there and time.monotonic() < patience:
                await asyncio.sleep(_LOOK_S)
                if is_there := says(self._place.values(profile), fields):
                    at = time.monotonic()
                    patience = at + CHECK_PATIENCE_S
            differing += not is_there
        return {"differing": differing, "at": at}

    async def _settle(self, **ranges: Sequence[int]) -> Answer:
        await self._until_said(self._expected(**ranges))
        return {"at": await self._place.persisted()}

    async def _see(self, **ranges: Sequence[int]) -> Answer:
        await self._until_said(self._expected(**ranges))
        return {"at": time.monotonic()}

    async def _open(self, profiles: Sequence[int]) -> Answer:
        start = time.monotonic()
        await self._open_all([name for name, _ in self._profiles[slice(*profiles)]])
        return {"start": start, "at": time.monotonic()}

    async def _open_all(self, names: list[str]) -> None:
        waiting = iter(names)

        async def worker() -> None:
            for name in waiting:
                await self._place.open(name)

        await asyncio.gather(*(worker() for _ in range(OPENED_AT_ONCE)))

    async def _load(self, profiles: Sequence[int]) -> Answer:
        start = time.monotonic()
        waiting = iter(self._profiles[slice(*profiles)])

        async def worker() -> None:
            for name, fields in waiting:
                await self._place.open(name)
                self._place.write(name, fields)

        await asyncio.gather(*(worker() for _ in range(OPENED_AT_ONCE)))
        return {"start": start, "at": time.monotonic()}

    async def _edit(self, edits: Sequence[int]) -> Answer:
        start = time.monotonic()
        for number, (name, field, value) in enumerate(self._edits[slice(*edits)]):
            self._place.write(name, {field: value})
            if number % _WRITTEN_AT_ONCE == 0:
                await asyncio.sleep(0)
        return {"start": start, "at": time.monotonic()}

    async def _one(self, edit: int) -> Answer:
        name, field, value = self._edits[edit]
        start = time.monotonic()
        await self._place.open(name)
        self._place.write(name, {field: value})
        return {"start": start, "at": time.monotonic()}

    async def _conflict(self, profiles: Sequence[int], rounds: int, side: str) -> Answer:
        fields = list(self._profiles[0][1])[:3]
        for turn in range(rounds):
            for name, _ in self._profiles[slice(*profiles)]:
                self._place.write(name, {fields[turn % 3]: f"{side} {turn}"})
            await asyncio.sleep(0)
        return {}

    async def _disconnect(self) -> Answer:
        await self._place.disconnect()
        return {}

    async def _connect(self) -> Answer:
        start = time.monotonic()
        await self._place.connect()
        return {"start": start}


async def obey(commands: Mapping[str, Callable[..., Awaitable[Answer]]]) -> None:
    """Say that this process is ready, and obey standard input until it ends or says stop."""
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        arguments = json.loads(line)
        name = arguments.pop("do")
        if name == "stop":
            return
        print(json.dumps(await commands[name](**arguments)), flush=True)


async def run_place(place: Place, workload: str) -> None:
    """Carry out commands at a place until told to stop."""
    await obey(Runner(place, json.loads(Path(workload).read_text("utf-8"))).commands)
    await place.stop()
