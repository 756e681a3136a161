"""The npm packages that clients of Yjs, Quill and Segment are, and node children that run them.

They are installed on first use, in pinned versions, into a folder that is not part of the project.
A test that needs them skips where node or npm is missing.
"""

import fcntl
import hashlib
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pytest

_HERE: Final = Path(__file__).parent
_FOLDER: Final = _HERE.parents[1] / ".bench" / "node" / "interop"
_INSTALL_S: Final = 300.0


def node_folder() -> Path:
    """Return the folder with the installed packages and our drivers; skips without node or npm."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    lock = (_HERE / "package-lock.json").read_bytes()
    mark = _FOLDER / ".installed"
    with (_FOLDER.parent / "interop.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != hashlib.sha256(lock).hexdigest():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_HERE / name, _FOLDER)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(
                command, cwd=_FOLDER, capture_output=True, text=True, timeout=_INSTALL_S
            )
            assert done.returncode == 0, done.stderr
            mark.write_text(hashlib.sha256(lock).hexdigest())
        for driver in _HERE.glob("*.mjs"):
            copied = _FOLDER / driver.name
            if not copied.exists() or copied.read_bytes() != driver.read_bytes():
                shutil.copy(driver, copied)
    return _FOLDER


class NodeChild:
    """A node process that answers questions, a JSON line each."""

    def __init__(self, driver: str, *arguments: str) -> None:
        folder = node_folder()
        self._numbers: Iterator[int] = itertools.count(1)
        self._process = subprocess.Popen(
            ["node", str(folder / driver), *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> "NodeChild":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Return what the driver answers; an error of its own fails the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        self._process.stdin.write(json.dumps([number, verb, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"node ended with {self._process.wait()} at {verb}"
        answered, result, problem = json.loads(line)
        assert answered == number
        assert problem is None, problem
        return result

    def end(self) -> None:
        """End the process, at once."""
        self._process.kill()
        self._process.communicate()
