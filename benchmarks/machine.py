"""What a reader needs to judge figures: the machine, its disk, its programs."""

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Final

_SYNCS: Final = 100
_SYNC_BYTES: Final = 220


def machine(directory: Path) -> dict[str, Any]:
    """Return processor, cores, memory, kernel, Python, and the file system of a directory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_system": _file_system(directory.resolve()),
        "fsync_ms": round(_sync_ms(directory), 3),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
        return next((value.strip() for key, _, value in lines if "model name" in key), "")
    except OSError:
        return platform.processor()


def _file_system(directory: Path) -> str:
    """Return the kind of the file system that a directory is on."""
    found: tuple[int, str] = (0, "unknown")
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    for line in mounts:
        _, place, kind = line.split()[:3]
        if directory.is_relative_to(place):
            found = max(found, (len(place), kind))
    return found[1]


def _sync_ms(directory: Path) -> float:
    """Return the median of appending a little to a file and syncing it."""
    path = directory / f"sync-probe-{os.getpid()}"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    latencies = []
    try:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            os.write(descriptor, bytes(_SYNC_BYTES))
            os.fdatasync(descriptor)
            latencies.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(latencies)
