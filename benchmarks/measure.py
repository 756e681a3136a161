"""Measuring: several runs, the median and the spread, and the machine they ran on."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: the median of some runs, with the lowest and the highest."""

    name: str
    unit: str
    median: float
    lowest: float
    highest: float
    runs: int
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the figure for JSON."""
        return asdict(self)


@dataclass(slots=True)
class Stopwatch:
    """Adds up the seconds of the parts of a run that count."""

    seconds: float = 0.0
    _started: float = field(default=0.0, repr=False)

    def __enter__(self) -> "Stopwatch":
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


def figure(name: str, unit: str, run: Callable[[], float], runs: int, note: str = "") -> Figure:
    """Run a measurement several times and return its figure."""
    values = sorted(run() for _ in range(runs))
    return Figure(name, unit, statistics.median(values), values[0], values[-1], runs, note)


def machine() -> dict[str, object]:
    """Return what a reader needs to judge figures: processor, cores, Python, system."""
    model = ""
    try:
        with open("/proc/cpuinfo") as info:
            lines = (line.partition(":") for line in info)
            model = next((value.strip() for key, _, value in lines if "model name" in key), "")
    except OSError:
        model = platform.processor()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
