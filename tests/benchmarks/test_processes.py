"""No process and no directory outlives the benchmark, whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import (
    ROOT,
    Child,
    ChildFailed,
    children,
    disk_bytes,
    module_command,
    scratch_directory,
)
from tests.patience import PATIENCE_S

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_are_killed_when_the_block_fails(tmp_path: Path) -> None:
    numbers = []

    async def fail() -> None:
        async with children() as started:
            for text in (ECHO, DEAF):
                child = await Child.start("child", [sys.executable, "-c", text], tmp_path / "log")
                started.append(child)
                numbers.append(child.process.pid)
            raise ChildFailed("on purpose")

    with pytest.raises(ChildFailed):
        asyncio.run(fail())
    assert len(numbers) == 2
    assert not any(is_alive(number) for number in numbers)


def test_a_child_answers_and_its_costs_are_seen(tmp_path: Path) -> None:
    async def ask() -> None:
        async with children() as started:
            child = await Child.start("child", [sys.executable, "-c", ECHO], tmp_path / "log")
            started.append(child)
            assert await child.ask("this", number=3) == {"do": "this", "number": 3}
            assert child.resident_bytes > 1_000_000
            assert child.processor_s > 0
            await child.stop()
            assert child.process.returncode == 0

    asyncio.run(ask())


def test_a_child_that_ends_says_why(tmp_path: Path) -> None:
    async def ask() -> None:
        command = [sys.executable, "-c", "raise SystemExit('no such disk')"]
        async with children() as started:
            child = await Child.start("child", command, tmp_path / "log")
            started.append(child)
            await child.answer("start")

    with pytest.raises(ChildFailed, match="no such disk"):
        asyncio.run(ask())


def test_a_child_that_is_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def ask() -> None:
        async with children() as started:
            child = await Child.start("child", [sys.executable, "-c", DEAF], tmp_path / "log")
            started.append(child)
            await child.answer("start", patience_s=0.2)

    with pytest.raises(ChildFailed, match="no answer"):
        asyncio.run(ask())


def test_a_directory_is_removed_when_the_block_fails() -> None:
    seen = []

    def fail() -> None:
        with scratch_directory("test") as directory:
            (directory / "file").write_text("x" * 10_000)
            assert disk_bytes(directory) >= 10_000
            seen.append(directory)
            raise ChildFailed("on purpose")

    with pytest.raises(ChildFailed):
        fail()
    assert seen[0].is_relative_to(ROOT / ".bench")
    assert not seen[0].exists()


def test_children_die_with_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    text = (
        "import asyncio, pathlib, sys\n"
        "from benchmarks.processes import Child\n"
        "async def main():\n"
        "    child = await Child.start('c', [sys.executable, '-c', 'import time; time.sleep(600)'],"
        " pathlib.Path('log').absolute())\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    benchmark = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert benchmark.stdout is not None
    number = int(benchmark.stdout.readline())
    assert is_alive(number)
    benchmark.kill()
    benchmark.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(number):
        assert time.monotonic() < deadline, "the child outlives the benchmark"
        time.sleep(0.01)


def test_a_benchmark_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    scratch = ROOT / ".bench"
    command = module_command("benchmarks", "--only", "crdtstore", "--runs", "1", "--json")
    running = subprocess.Popen(
        [*command, str(tmp_path / "never.json")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not list(scratch.glob(f"run-{running.pid}-*/a")):
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.communicate()
    assert list(scratch.glob(f"run-{running.pid}-*")) == []
    assert not (tmp_path / "never.json").exists()
