"""Fuzz all targets for a time, on all cores, and say what came of it: ``make fuzz SECONDS=60``.

New inputs that reach new code go to .fuzzing/, beside those that failed; the next run begins with
them. With --keep the smallest of them are added to the kept corpus, which `make test` replays.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzzing.targets import CORPUS, TARGETS

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".fuzzing"
KEPT_FILES = 40
KEPT_BYTES = 16 * 1024
"""What is kept of each target by --keep; named inputs are kept besides."""

LINE_S = 5.0
_PROGRESS = re.compile(r"^#(\d+)\s.*?exec/s: (\d+)", re.MULTILINE)
_STATISTIC = r"stat::{}:\s+(\d+)"
_HASH_NAME = re.compile(r"[0-9a-f]{40}")


@dataclass
class Run:
    """One target being fuzzed: its process, its log, and where its inputs lie."""

    name: str
    seconds: int
    process: "subprocess.Popen[bytes] | None" = None
    report: dict[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        return WORK / "inputs" / self.name

    @property
    def crashes(self) -> Path:
        return WORK / "crashes" / self.name

    @property
    def log(self) -> Path:
        return WORK / f"{self.name}.log"

    def start(self) -> None:
        """Begin to fuzz."""
        examples = WORK / "examples" / self.name
        shutil.rmtree(examples, ignore_errors=True)
        for folder in (self.inputs, self.crashes, examples, CORPUS / self.name):
            folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(TARGETS[self.name].examples()):
            (examples / f"{number:02d}").write_bytes(data)
        self.report["before"] = len(list(self.inputs.iterdir()))
        self.report["crashes before"] = len(list(self.crashes.iterdir()))
        arguments = [
            "fuzz", self.name, str(self.inputs), str(CORPUS / self.name), str(examples),
            f"-max_total_time={self.seconds}", "-print_final_stats=1",
            f"-artifact_prefix={self.crashes}/",
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                _command(arguments), cwd=ROOT, stdout=log, stderr=log, env=_environment()
            )

    def executions(self) -> int:
        """Return how many inputs were run so far."""
        found = _PROGRESS.findall(self.log.read_text("utf-8", "replace"))
        return int(found[-1][0]) if found else 0

    def finish(self) -> None:
        """Take what the log says at its end, and measure the new inputs."""
        text = self.log.read_text("utf-8", "replace")
        executed = re.search(_STATISTIC.format("number_of_executed_units"), text)
        self.report["executions"] = int(executed[1]) if executed else self.executions()
        crashes = [p for p in self.crashes.iterdir() if not p.name.startswith("slow-unit")]
        self.report["crashes"] = len(crashes) - self.report["crashes before"]
        self.report["new"] = len(list(self.inputs.iterdir())) - self.report["before"]
        done = subprocess.run(
            _command(["measure", self.name, str(self.inputs), str(CORPUS / self.name)]),
            cwd=ROOT, capture_output=True, text=True, check=False, env=_environment(),
        )  # fmt: skip
        measured = re.search(r"^measured (\d+) (\d+) (\d+) ([\d.]+)$", done.stdout, re.MULTILINE)
        with self.log.open("a") as log:
            log.write(done.stdout + done.stderr)
        self.report["broken"] = int(measured[2]) if measured else 1
        self.report["peak_kib"] = int(measured[3]) >> 10 if measured else 0

    @property
    def has_failed(self) -> bool:
        return bool(self.report["crashes"] > 0 or self.report["broken"])


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "tests.fuzzing.child", *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}


def fuzz(names: list[str], seconds: int, jobs: int) -> list[Run]:
    """Fuzz targets, so many at a time; print a line about them every few seconds."""
    waiting = [Run(name, seconds) for name in names]
    runs, running, done = list(waiting), [], []
    started = printed = time.monotonic()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(waiting.pop(0))
            running[-1].start()
        time.sleep(0.2)
        for run in [run for run in running if run.process and run.process.poll() is not None]:
            running.remove(run)
            run.finish()
            done.append(run)
        if time.monotonic() - printed >= LINE_S:
            printed = time.monotonic()
            now = "  ".join(f"{run.name} {run.executions():,}" for run in running)
            print(f"{printed - started:5.0f} s  {len(done)} of {len(runs)} done  {now}", flush=True)
    return runs


def print_table(runs: list[Run]) -> None:
    """Print what came of a run."""
    print(f"\n{'target':<15}{'executions':>12}{'new inputs':>12}{'peak KiB':>10}{'failures':>10}")
    for run in runs:
        report = run.report
        failures = report["crashes"] + report["broken"]
        print(
            f"{run.name:<15}{report['executions']:>12,}{report['new']:>12,}"
            f"{report['peak_kib']:>10,}{failures:>10}"
        )
    for run in runs:
        if run.has_failed:
            print(
                f"\n{run.name} failed: its inputs are in {run.crashes}, what they did in {run.log}"
            )


def keep(name: str) -> None:
    """Choose the smallest inputs that reach what all reach, as far as they fit, and keep them."""
    folder = CORPUS / name
    done = subprocess.run(
        _command(["choose", name, str(folder), str(WORK / "inputs" / name)]),
        cwd=ROOT, capture_output=True, text=True, check=True, env=_environment(),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [Path(line) for line in done.stdout.splitlines()]
    kept = {path.name: path.read_bytes() for path in chosen[:KEPT_FILES]}
    for path in folder.iterdir():
        if _HASH_NAME.fullmatch(path.name):
            path.unlink()
    size_bytes = 0
    for path_name, data in kept.items():
        size_bytes += len(data)
        if size_bytes <= KEPT_BYTES:
            (folder / path_name).write_bytes(data)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at one time")
    parser.add_argument("--keep", action="store_true", help="add to the kept corpus")
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {unknown[0]}")
    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not installed: there are wheels of it for Linux on x86_64 and CPython 3.11 "
            "to 3.14 only. Without it, make test replays the corpus and runs every target with "
            "Hypothesis."
        )
        return 1
    runs = fuzz(names, arguments.seconds, arguments.jobs) if arguments.seconds else []
    if runs:
        print_table(runs)
    if arguments.keep:
        for name in names:
            keep(name)
    return int(any(run.has_failed for run in runs))


if __name__ == "__main__":
    sys.exit(main())
