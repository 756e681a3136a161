"""Handing over: events go to the process that keeps those of their profile, before the answer.

The processes of a service share a port, so a request comes to any of them. It keeps the events of
its own profiles, hands the others to their processes through local sockets, and answers when all
are durable. Threads take what is handed over: they wait for no turn of the event loop. If a process
is away, the answer is 503, and the client sends the whole again: what was kept by then is
remembered where it was kept, and counts once.

    frame    length of the body, number of the frame, body: entries as msgpack
    answer   number of the frame, what became of it
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Final

import msgspec

from replicas.cdp import limits
from replicas.cdp.appending import Appending
from replicas.cdp.collecting import Collected
from replicas.cdp.errors import LogUnusable, TooBusy
from replicas.cdp.events import Entry
from replicas.cdp.processes import Place, owner_of
from replicas.cdp.room import Room

_FRAME: Final = struct.Struct("<II")
_ANSWER: Final = struct.Struct("<IB")
_DURABLE, _BUSY, _UNUSABLE = range(3)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]])

_log = logging.getLogger("replicas.cdp.handing_over")


class HandingOver:
    """What divides events among the processes of a service, and takes those of others."""

    def __init__(self, place: Place, appending: Appending, room: Room) -> None:
        self._place = place
        self._appending = appending
        self._room = room
        self._others = {
            number: Neighbour(place, number)
            for number in range(place.count)
            if number != place.number
        }
        self._connections: list[socket.socket] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take events of other processes, and be linked to them, while the context lasts."""
        path = self._place.socket_of(self._place.number)
        path.unlink(missing_ok=True)
        linking = [asyncio.create_task(other.run()) for other in self._others.values()]
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            threading.Thread(target=self._listen, args=(server,), daemon=True).start()
            try:
                yield
            finally:
                for task in linking:
                    task.cancel()
                for each in (server, *self._connections):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

    async def append(self, collected: Collected) -> None:
        """Return when all entries are durable; raises TooBusy or LogUnusable."""
        parts: dict[int, list[Entry]] = {}
        for entry, profile_id in zip(collected.entries, collected.profile_ids, strict=True):
            parts.setdefault(owner_of(profile_id, self._place.count), []).append(entry)
        works = [
            self._appending.append(part)
            if owner == self._place.number
            else self._others[owner].append(part)
            for owner, part in parts.items()
        ]
        for ended in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    def _listen(self, server: socket.socket) -> None:
        """Take connections, in a thread, until the socket is shut."""
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        """Take frames of one other process, in a thread, until it goes."""
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while len(head := stream.read(_FRAME.size)) == _FRAME.size:
                length, number = _FRAME.unpack(head)
                body = stream.read(length)
                if len(body) < length:
                    break
                try:
                    self._room.check()
                except TooBusy:
                    connection.sendall(_ANSWER.pack(number, _BUSY))
                    continue
                done = self._appending.submit([Entry(*each) for each in _decoder.decode(body)])
                done.add_done_callback(partial(_answer, connection, number))
        self._connections.remove(connection)


def _answer(connection: socket.socket, number: int, done: "Future[None]") -> None:
    """Tell what became of a frame, in the thread that made it durable."""
    with contextlib.suppress(OSError):
        connection.sendall(
            _ANSWER.pack(number, _DURABLE if done.exception() is None else _UNUSABLE)
        )


class Neighbour:
    """Another process, and what it was given and did not answer so far."""

    def __init__(self, place: Place, number: int) -> None:
        self._place = place
        self._number = number
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def append(self, entries: Sequence[Entry]) -> None:
        """Return when entries are durable there; raises TooBusy or LogUnusable."""
        if self._writer is None:
            raise self._away()
        if len(self._waiting) >= limits.HANDED_OVER_MAX:
            raise TooBusy(f"process {self._number} has much to do already; try again later")
        number = next(self._numbers) & 0xFFFF_FFFF
        body = _encoder.encode([(each.message_id, each.packed) for each in entries])
        done = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        try:
            self._writer.write(_FRAME.pack(len(body), number) + body)
            await done
        finally:
            self._waiting.pop(number, None)

    async def run(self) -> None:
        """Be linked to it, for ever."""
        path = self._place.socket_of(self._number)
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(path)
                while True:
                    self._answered(*_ANSWER.unpack(await reader.readexactly(_ANSWER.size)))
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self._let_go()
            await asyncio.sleep(limits.NEIGHBOUR_AGAIN_S)

    def _answered(self, number: int, became: int) -> None:
        done = self._waiting.get(number)
        if done is None or done.done():
            return
        if became == _DURABLE:
            done.set_result(None)
        elif became == _BUSY:
            done.set_exception(TooBusy(f"process {self._number} is busy; try again later"))
        else:
            done.set_exception(LogUnusable(f"process {self._number} cannot write its log"))

    def _let_go(self) -> None:
        if self._writer is not None:
            _log.info("process %d is away", self._number)
            self._writer.close()
            self._writer = None
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(self._away())

    def _away(self) -> LogUnusable:
        return LogUnusable(f"process {self._number} is away; send the request again")
