"""Fixtures of the storage tests."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Give a function that mounts a small file system of its own; needs the right to mount."""
    mounted: list[Path] = []

    def mount_tmpfs(options: str) -> Path:
        path = tmp_path / f"disk-{len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
        mounted.append(path)
        return path

    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    yield mount_tmpfs
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
