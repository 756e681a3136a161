"""Trials: updates of Yjs clients are tried in a worker process before this one takes them.

A scan (``crdtstore.model.updates``) has passed an update already. Should it harm native code all
the same, that costs the worker and refuses this one update: the worker is started when it is first
needed, killed when a trial takes too long, and started again, after a pause that grows while it
keeps dying. At most so many trials wait.
"""

import asyncio
import logging
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.errors import Refused
from crdtstore.model.texts import Text

_LENGTH: Final = struct.Struct(">I")
_PROGRAM: Final = Path(__file__).with_name("worker.py")

_log = logging.getLogger("crdtstore.texts")


class UpdateRefused(Refused):
    """An update of a Yjs client was refused: native code does not take it."""

    code = "update-refused"


class TrialsBusy(Refused):
    """Too many updates wait to be tried, or the worker has just died: try again in a moment."""

    code = "collaboration-busy"


class TextTrials:
    """The worker of one replica. ``counters`` says how many trials it made, and how they ended."""

    def __init__(self) -> None:
        self.counters = dict.fromkeys(("trials", "refused", "deaths", "hangs", "starts"), 0)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._number = 0
        self._sent: dict[str, tuple[list[bytes], int]] = {}
        self._not_before_s = 0.0
        self._pause_s = limits.TRIAL_PAUSE_S_MIN
        self._is_closed = False

    def outcomes(self) -> dict[str, int]:
        """Return how many trials ended how: taken, refused, or with the worker dead or hanging."""
        counts = self.counters
        ends = {name: counts[name] for name in ("refused", "deaths", "hangs")}
        return {"taken": counts["trials"] - sum(ends.values()), **ends}

    async def try_update(self, name: str, text: Text, update: bytes) -> None:
        """Return if native code takes an update to a text, which ``name`` stands for.

        Raises UpdateRefused or TrialsBusy.
        """
        if self._waiting >= limits.TRIALS_WAITING_MAX:
            raise TrialsBusy(f"{self._waiting} updates wait to be tried")
        self._waiting += 1
        try:
            async with self._turn:
                await self._try(name, text, update)
        finally:
            self._waiting -= 1

    async def _try(self, name: str, text: Text, update: bytes) -> None:
        process = await self._running()
        self.counters["trials"] += 1
        self._number += 1
        parts, count = self._sent.get(name, ([], 0))
        is_new = parts is not text.parts or count > len(parts)
        known = text.parts if is_new else parts[count:]
        request = msgpack.packb([self._number, name, text.kind, is_new, known, update])
        try:
            async with asyncio.timeout(limits.TRIAL_TIMEOUT_S):
                refusal = await self._ask(process, request)
        except TimeoutError:
            await self._lose("hangs")
            raise UpdateRefused("native code did not come to an end with this update") from None
        except (OSError, asyncio.IncompleteReadError):
            await self._lose("deaths")
            raise UpdateRefused("native code crashed on this update") from None
        except BaseException:
            await self._kill()  # cancelled between request and answer
            raise
        self._pause_s = limits.TRIAL_PAUSE_S_MIN
        if refusal:
            self._sent.pop(name, None)
            self.counters["refused"] += 1
            raise UpdateRefused(f"native code does not take this update: {refusal}")
        self._remember(name, text)

    def _remember(self, name: str, text: Text) -> None:
        self._sent.pop(name, None)
        self._sent[name] = (text.parts, len(text.parts))
        while len(self._sent) > limits.TRIAL_TEXTS_MAX:
            self._sent.pop(next(iter(self._sent)))

    async def _ask(self, process: asyncio.subprocess.Process, request: bytes) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_LENGTH.pack(len(request)) + request)
        await process.stdin.drain()
        (size,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        answer: list[Any] = msgpack.unpackb(await process.stdout.readexactly(min(size, 4096)))
        number, refusal = answer
        assert number == self._number, (number, self._number)
        return str(refusal)

    async def _running(self) -> asyncio.subprocess.Process:
        """Return the worker, started if there is none; raises TrialsBusy."""
        process = self._process
        if process is not None and process.returncode is None:
            return process
        if self._is_closed:
            raise TrialsBusy("the replica is closing")
        if asyncio.get_running_loop().time() < self._not_before_s:
            raise TrialsBusy("the worker has just died, and is started again in a moment")
        self.counters["starts"] += 1
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(_PROGRAM),
                str(limits.TRIAL_MEMORY_BYTES),
                str(limits.TRIAL_TEXTS_MAX),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                limit=limits.KIBIBYTE,
            )
        except OSError as error:
            self._pause()
            raise TrialsBusy(f"the worker cannot be started: {error.strerror}") from None
        process = self._process
        await self._until_ready(process)
        return process

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Wait for a worker that was started: how long that takes is no fault of an update."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limits.TRIAL_START_TIMEOUT_S):
                await process.stdout.readexactly(1)
        except (TimeoutError, asyncio.IncompleteReadError):
            await self._kill()
            self._pause()
            raise TrialsBusy("the worker does not come up, and is started again later") from None
        except BaseException:
            await self._kill()
            raise

    async def _lose(self, how: str) -> None:
        """Take note that the worker died, or end one that hangs."""
        self.counters[how] += 1
        _log.warning("an update ended the worker for texts (%s); it is started again", how)
        await self._kill()
        self._pause()

    def _pause(self) -> None:
        self._not_before_s = asyncio.get_running_loop().time() + self._pause_s
        self._pause_s = min(2 * self._pause_s, limits.TRIAL_PAUSE_S_MAX)

    async def _kill(self) -> None:
        process, self._process = self._process, None
        self._sent.clear()
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())

    async def close(self) -> None:
        """End the worker."""
        self._is_closed = True
        await self._kill()
