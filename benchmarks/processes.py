"""Child processes that never outlive the benchmark, and talk to it in lines of JSON."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]
SCRATCH: Final = ROOT / ".bench"
COMMAND_PATIENCE_S: Final = 900.0
STOP_PATIENCE_S: Final = 20.0
_LINE_BYTES: Final = 64 * 1024 * 1024
_PR_SET_PDEATHSIG: Final = 1


class ChildFailed(Exception):
    """A child process ended, or did not answer; carries the end of what it said."""


class Missing(Exception):
    """A subject cannot be measured here; says what is missing."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def scratch_directory(name: str) -> Iterator[Path]:
    """Make a directory on the file system of the project, and remove it whatever happens."""
    SCRATCH.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-{name}-", dir=SCRATCH))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def disk_bytes(directory: Path) -> int:
    """Return the bytes that the file system gave to everything in a directory."""
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
    return total


class Child:
    """One child process and its process group: started, spoken to, killed."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self.process = process
        self.name = name
        self._log = log

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> Self:
        """Start a program; what it says on standard error goes to its log."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
                limit=_LINE_BYTES,
                user=user,
                group=None if user is None else user_group(user),
                extra_groups=None if user is None else [],
            )
        return cls(process, name, log)

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and return its answer; raises ChildFailed."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await self.answer(do)

    async def answer(self, what: str, patience_s: float = COMMAND_PATIENCE_S) -> dict[str, Any]:
        """Return the next answer; raises ChildFailed."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(patience_s):
                while line := await self.process.stdout.readline():
                    if line.startswith(b"{"):
                        return dict(json.loads(line))
        except TimeoutError:
            raise self.failure(f"gave no answer to {what!r} within {patience_s:g} s") from None
        raise self.failure(f"ended before it answered {what!r}")

    def failure(self, what: str) -> ChildFailed:
        """Return the error that says what this process did."""
        said = self._log.read_text("utf-8", "replace")[-2_000:]
        return ChildFailed(f"{self.name} {what}\n{said}")

    @property
    def resident_bytes(self) -> int:
        """The resident memory of the process now."""
        return self._memory_bytes("VmRSS:")

    @property
    def peak_bytes(self) -> int:
        """The most resident memory that the process had so far."""
        return self._memory_bytes("VmHWM:")

    @property
    def own_bytes(self) -> int:
        """The resident memory of the process now, without pages of files."""
        return self._memory_bytes("RssAnon:")

    def _memory_bytes(self, kind: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(kind):
                return int(line.split()[1]) * 1024
        raise self.failure("has no memory: it ended")

    @property
    def processor_s(self) -> float:
        """The seconds of processor time that the living threads of the process took so far."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    async def stop(self) -> None:
        """End the process in order: its input ends and it is sent SIGTERM if that is no help."""
        if self.process.returncode is not None:
            return
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(b'{"do": "stop"}\n')
            self.process.stdin.close()
        await self._wait_or_kill()

    async def terminate(self) -> None:
        """End a process that reads no commands, by SIGTERM."""
        if self.process.returncode is None:
            self.process.terminate()
            await self._wait_or_kill()

    async def _wait_or_kill(self) -> None:
        try:
            await asyncio.wait_for(self.process.wait(), STOP_PATIENCE_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill the process and its children with no warning."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@contextlib.asynccontextmanager
async def children() -> AsyncIterator[list[Child]]:
    """Keep a list of children, all of which are killed at the end of the block."""
    started: list[Child] = []
    try:
        yield started
    finally:
        for child in reversed(started):
            await child.kill()


def user_group(user: int) -> int:
    """Return the group of a user."""
    import pwd

    return pwd.getpwuid(user).pw_gid


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this project in this Python."""
    return [sys.executable, "-m", module, *arguments]
