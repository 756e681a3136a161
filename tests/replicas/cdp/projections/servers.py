"""Real Redis and PostgreSQL servers on loopback, to be killed and started again."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from tests.patience import PATIENCE_S

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A server's process: started until it answers, killed with no warning."""

    def __init__(self, command: list[str], log: Path, answers: Callable[[], bool]) -> None:
        self._command = command
        self._log = log
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, user: int | None = None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdout=log, stderr=log, start_new_session=True,
                    preexec_fn=_die_with_parent, user=user,
                    group=None if user is None else pwd.getpwuid(user).pw_gid,
                    extra_groups=None if user is None else [],
                )  # fmt: skip
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._answers():
                    return
                time.sleep(0.02)
            time.sleep(0.1)  # one that was killed may still hold what it held
        raise AssertionError(f"{self._command[0]} did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def says(*command: str) -> bytes:
    """Return what a client program says, nothing if it fails."""
    found = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    return found.stdout if found.returncode == 0 else b""


class RedisServer:
    """A Redis with an append-only file, synced at every answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(directory), "--save", "", "--appendonly", "yes"]
        command += ["--appendfsync", "always"]
        self._program = Program(command, directory / "log", self._answers)

    def _answers(self) -> bool:
        return self.cli("ping") == b"PONG\n"

    def cli(self, *words: str) -> bytes:
        """Return what redis-cli says."""
        return says("redis-cli", "-p", str(self.port), *words)

    def start(self) -> None:
        self._program.start()

    def kill(self) -> None:
        self._program.kill()


class PostgresqlServer:
    """A PostgreSQL, run as another user where the present one is root."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(directory, self._user, pwd.getpwuid(self._user).pw_gid)
        self.port = free_port()
        self.url = f"postgresql://crdtstore@127.0.0.1:{self.port}/postgres"
        data = directory / "data"
        initialise = [str(programs / "initdb"), "-D", str(data), "-U", "crdtstore", "--no-sync"]
        initialise += ["--auth", "trust", "--encoding", "UTF8", "--no-locale"]
        subprocess.run(
            initialise, check=True, capture_output=True, cwd=directory, user=self._user,
            extra_groups=None if self._user is None else [],
        )  # fmt: skip
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(self.port)]
        # What a killed process wrote stays with the system: only power cuts need fsync.
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"):
            command += ["-c", setting]
        self._program = Program(command, directory / "log", self._answers)

    def _answers(self) -> bool:
        return says(
            str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)
        ) != (b"")

    def start(self) -> None:
        self._program.start(self._user)

    def kill(self) -> None:
        self._program.kill()


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis; skips where there is none."""
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Run a PostgreSQL; skips where there is none."""
    packaged = sorted(Path(os.sep, "usr", "lib", "postgresql").glob("*/bin/initdb"))
    found = shutil.which("postgres")
    if found is None and not packaged:
        pytest.skip("postgresql is not installed")
    programs = packaged[-1].parent if packaged else Path(os.path.realpath(str(found))).parent
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        server = PostgresqlServer(programs, Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.kill()
