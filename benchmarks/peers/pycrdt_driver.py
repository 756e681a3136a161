"""A server or a client of pycrdt-websocket, in its own virtual environment.

    python -m benchmarks.peers.pycrdt_driver server|client '{"workload": …, "port": …}'

The server is the one of the library's documentation: ASGI on Hypercorn, one room and one SQLite
store per document, all in one file. The client holds one document and one websocket per profile.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import httpx
import httpx_ws
from hypercorn import Config
from hypercorn.asyncio import serve
from pycrdt import Doc, Map, Provider
from pycrdt.store import SQLiteYStore, YDocNotFound
from pycrdt.websocket import ASGIServer, WebsocketServer, YRoom
from pycrdt.websocket.websocket import HttpxWebsocket

from benchmarks.peers.lines import Fields, run_place


def _values(document: Doc) -> dict[str, Any]:
    return dict(document.get("profile", type=Map).to_py() or {})


class Journal:
    """Counts the updates that wait for the disk, and keeps the lock that all stores share."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        self.saved_at = 0.0
        self.idle = asyncio.Event()
        self.idle.set()


class CountingStore(SQLiteYStore):
    """The library's store. Without one lock for all of them, SQLite refuses writes as locked."""

    def __init__(self, path: str, db_path: str, journal: Journal) -> None:
        self.db_path = db_path
        super().__init__(path)
        self._journal = journal
        self.lock = journal.lock

    async def write(self, data: bytes) -> None:
        """Store an update, and count it."""
        journal = self._journal
        journal.waiting += 1
        journal.idle.clear()
        await super().write(data)
        journal.waiting -= 1
        journal.saved_at = time.monotonic()
        if journal.waiting == 0:
            journal.idle.set()


class StoringServer(WebsocketServer):
    """The library's server, whose rooms have a store and begin with what it has."""

    def __init__(self, db_path: str, journal: Journal) -> None:
        super().__init__(auto_clean_rooms=False)
        self._db_path = db_path
        self._journal = journal
        self._opening: dict[str, asyncio.Task[YRoom]] = {}

    async def get_room(self, name: str) -> YRoom:
        """Return a room; make it from what is stored when it is not there."""
        if name not in self._opening:
            self._opening[name] = asyncio.create_task(self._open_room(name))
        return await self._opening[name]

    async def _open_room(self, name: str) -> YRoom:
        store = CountingStore(name, self._db_path, self._journal)
        await self._task_group.start(store.start)
        room = YRoom(ready=False, ystore=store)
        with contextlib.suppress(YDocNotFound):
            await store.apply_updates(room.ydoc)
        self.rooms[name] = room
        await self.start_room(room)
        room.ready = True
        await room.ydoc_observed.wait()
        return room


class Server:
    """The server, as a place."""

    def __init__(self, rooms: StoringServer, journal: Journal) -> None:
        self._rooms = rooms
        self._journal = journal
        self.stopping = asyncio.Event()

    def values(self, profile: str) -> Fields | None:
        """Return what a profile says here."""
        room = self._rooms.rooms.get(f"/{profile}")
        return None if room is None else _values(room.ydoc)

    async def persisted(self) -> float:
        """Wait until all that was received is on disk; return when that was."""
        await asyncio.sleep(0)
        await self._journal.idle.wait()
        return self._journal.saved_at

    async def stop(self) -> None:
        """End in order."""
        await self._journal.idle.wait()
        self.stopping.set()


class Client:
    """A client: a document and a websocket per profile, each in a task of its own."""

    def __init__(self, http: httpx.AsyncClient, port: int) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}"
        self._documents: dict[str, Doc] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving = asyncio.Event()

    def values(self, profile: str) -> Fields | None:
        """Return what a profile says here."""
        document = self._documents.get(profile)
        return None if document is None else _values(document)

    def write(self, profile: str, fields: Fields) -> None:
        """Write fields of an open profile, in one transaction."""
        document = self._documents[profile]
        with document.transaction():
            held = document.get("profile", type=Map)
            for field, value in fields.items():
                held[field] = value

    async def open(self, profile: str) -> None:
        """Open a profile and wait until it is the server's."""
        if profile in self._documents:
            return
        document = self._documents[profile] = Doc()
        document["profile"] = Map()
        await self._hold(profile)

    async def _hold(self, profile: str) -> None:
        synced = asyncio.Event()
        self._tasks[profile] = asyncio.create_task(self._link(profile, synced))
        await synced.wait()

    async def _link(self, profile: str, synced: asyncio.Event) -> None:
        async with httpx_ws.aconnect_ws(
            f"{self._url}/{profile}", self._http, keepalive_ping_interval_seconds=None
        ) as websocket:
            channel = HttpxWebsocket(websocket, f"/{profile}")
            async with Provider(self._documents[profile], channel) as provider:
                await provider.synced.wait()
                synced.set()
                await self._leaving.wait()

    async def disconnect(self) -> None:
        """End all links, and keep the documents."""
        self._leaving.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def connect(self) -> None:
        """Open all links again."""
        self._leaving = asyncio.Event()
        for profile in self._documents:
            self._tasks[profile] = asyncio.create_task(self._link(profile, asyncio.Event()))

    async def stop(self) -> None:
        """End in order."""
        await self.disconnect()


async def run_server(settings: dict[str, Any]) -> None:
    """Serve until told to stop."""
    journal = Journal()
    db_path = f"{settings['directory']}/profiles.sqlite"
    async with StoringServer(db_path, journal) as rooms:
        # The tables are made by the first store: before others ask for them.
        first = CountingStore("first", db_path, journal)
        async with first:
            await first.db_initialized.wait()
            config = Config()
            config.bind = [f"127.0.0.1:{settings['port']}"]
            config.websocket_ping_interval = None
            place = Server(rooms, journal)
            serving = asyncio.create_task(
                serve(ASGIServer(rooms), config, shutdown_trigger=place.stopping.wait)
            )
            await asyncio.sleep(0.2)
            await run_place(place, settings["workload"])
            serving.cancel()


async def run_client(settings: dict[str, Any]) -> None:
    """Be a client until told to stop."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:
        await run_place(Client(http, settings["port"]), settings["workload"])


if __name__ == "__main__":
    role, given = sys.argv[1], json.loads(sys.argv[2])
    asyncio.run(run_server(given) if role == "server" else run_client(given))
