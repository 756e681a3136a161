"""Installing peers, each in a folder of its own under .bench/, in pinned versions."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.processes import SCRATCH, Missing

_HERE: Final = Path(__file__).parent
_PATIENCE_S: Final = 900.0
_REDIS_PACKAGES: Final = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")


def node_folder(package: str, install: bool) -> Path:
    """Return the folder with a Node peer, its driver and its libraries; raises Missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("needs node and npm")
    source = _HERE / "node" / package
    folder = SCRATCH / "node" / package
    lock = (source / "package-lock.json").read_bytes()
    if not is_installed(folder, lock):
        check_allowed(install)
        start_over(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)
        mark_installed(folder, lock)
    for file in (source / "driver.mjs", _HERE / "node" / "run.mjs"):
        shutil.copy(file, folder)
    return folder


def node_versions(folder: Path) -> dict[str, str]:
    """Return the versions of the libraries that a Node peer asks for, and of node."""
    wanted = json.loads((folder / "package.json").read_text("utf-8"))["dependencies"]
    versions = {
        name: str(
            json.loads((folder / "node_modules" / name / "package.json").read_text())["version"]
        )
        for name in wanted
    }
    return {**versions, "node": output(["node", "--version"]).lstrip("v")}


def python_program(name: str, requirements: Sequence[str], install: bool) -> Path:
    """Return a Python with a peer's libraries, in a virtual environment; raises Missing."""
    folder = SCRATCH / "python" / name
    wanted = "\n".join(requirements).encode()
    program = folder / "bin" / "python"
    if not is_installed(folder, wanted):
        check_allowed(install)
        start_over(folder)
        run([sys.executable, "-m", "venv", str(folder)], SCRATCH)
        run([str(program), "-m", "pip", "install", "--quiet", *requirements], SCRATCH)
        mark_installed(folder, wanted)
    return program


def python_versions(requirements: Sequence[str]) -> dict[str, str]:
    """Return the versions of pinned requirements."""
    return dict(requirement.split("==") for requirement in requirements)


def redis_program(install: bool) -> tuple[Path, dict[str, str]]:
    """Return redis-server and the environment that it needs; raises Missing.

    Where the system has none, the distribution's package is unpacked, not installed: nothing
    outside of .bench/ changes, and no service is started.
    """
    if found := shutil.which("redis-server"):
        return Path(found), {}
    folder = SCRATCH / "redis"
    wanted = "\n".join(_REDIS_PACKAGES).encode()
    if not is_installed(folder, wanted):
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise Missing("needs redis-server")
        check_allowed(install)
        start_over(folder)
        run(["apt-get", "download", "-qq", *_REDIS_PACKAGES], folder)
        for package in sorted(folder.glob("*.deb")):
            run(["dpkg", "-x", str(package), "root"], folder)
            package.unlink()
        mark_installed(folder, wanted)
    libraries = {str(each.parent) for each in (folder / "root").rglob("*.so.*")}
    return folder / "root/usr/bin/redis-server", {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def postgresql_programs() -> Path:
    """Return the folder with initdb and postgres; raises Missing. They are never installed."""
    if found := shutil.which("postgres"):
        folder = Path(os.path.realpath(found)).parent
        if (folder / "initdb").exists():
            return folder
    packaged = sorted(Path(os.sep, "usr", "lib", "postgresql").glob("*/bin/initdb"))
    if not packaged:
        raise Missing("needs PostgreSQL's initdb and postgres")
    return packaged[-1].parent


def output(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Return what a program says."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=_PATIENCE_S,
        env={**os.environ, **(environment or {})},
    ).stdout.strip()


def check_allowed(install: bool) -> None:
    """Raise Missing unless something may be installed."""
    if not install:
        raise Missing("not installed here; `python -m benchmarks --install` does it")


def is_installed(folder: Path, wanted: bytes) -> bool:
    """Say whether a folder has what is wanted."""
    mark = folder / ".installed"
    return mark.exists() and mark.read_text() == hashlib.sha256(wanted).hexdigest()


def mark_installed(folder: Path, wanted: bytes) -> None:
    """Remember that a folder has what is wanted."""
    (folder / ".installed").write_text(hashlib.sha256(wanted).hexdigest())


def start_over(folder: Path) -> None:
    """Make a folder that has nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def run(command: Sequence[str], folder: Path) -> None:
    """Run a step of an installation in a folder; raises Missing."""
    print(
        f"installing: {' '.join(command[:3])} … in {folder.relative_to(SCRATCH.parent)}", flush=True
    )
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"could not be installed: {error}") from error
    if done.returncode != 0:
        raise Missing(f"could not be installed: {command[0]} said {done.stderr[-600:]!r}")
