"""One target in a process of its own: fuzzed by atheris, or its corpus measured.

python -m tests.fuzzing.child fuzz TARGET FOLDER… FLAG…
python -m tests.fuzzing.child measure TARGET FOLDER…
python -m tests.fuzzing.child choose TARGET FOLDER…
"""

import logging
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

MUTATIONS_BY_STRUCTURE = 0.7
"""Share of mutations that the target makes; libFuzzer makes the others."""


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz a target until its time is over or it fails; never returns."""
    import atheris

    with atheris.instrument_imports(include=["crdtstore", "tomllib"]):
        from tests.fuzzing.targets import TARGETS
    target = TARGETS[name]

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() > MUTATIONS_BY_STRUCTURE:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutated(bytes(data), chance)[:max_size]

    flags = [f"-max_len={target.input_bytes_max}", "-timeout=20", "-rss_limit_mb=1500"]
    atheris.Setup([sys.argv[0], *flags, *arguments], target.run, custom_mutator=mutated)
    atheris.Fuzz()


def measure(name: str, folders: list[str]) -> int:
    """Run a corpus under the bounds of time and memory; print what breaks them."""
    from tests.fuzzing.targets import TARGETS

    target = TARGETS[name]
    inputs = [path for folder in folders for path in sorted(Path(folder).glob("*"))]
    for data in target.examples():
        target.run(data)
    broken = peak_bytes = 0
    seconds = 0.0
    for path in inputs:
        try:
            took_s, took_bytes = target.measured(path.read_bytes())
        except Exception:
            broken += 1
            print(f"broken {path}\n{traceback.format_exc(limit=-3)}", flush=True)
            continue
        peak_bytes, seconds = max(peak_bytes, took_bytes), max(seconds, took_s)
    print(f"measured {len(inputs)} {broken} {peak_bytes} {seconds:.3f}")
    return int(broken > 0)


def choose(name: str, folders: list[str]) -> None:
    """Print the inputs, smallest first, of which each reaches a step that none before it does."""
    from tests.fuzzing.targets import TARGETS

    target = TARGETS[name]
    for data in target.examples():
        target.run(data)
    paths = [path for folder in folders for path in Path(folder).glob("*")]
    reached: set[tuple[str, int, int]] = set()
    for path in sorted(paths, key=lambda path: (path.stat().st_size, path.name)):
        steps = _steps(target.run, path.read_bytes())
        if not steps <= reached:
            reached |= steps
            print(path)


def _steps(run: Callable[[bytes], None], data: bytes) -> set[tuple[str, int, int]]:
    """Return the steps from line to line of the package that an input takes."""
    steps: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if "/crdtstore/" not in name:
            return None
        before = 0

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "choose":
        sys.exit(choose(sys.argv[2], sys.argv[3:]))
    if sys.argv[1] == "measure":
        sys.exit(measure(sys.argv[2], sys.argv[3:]))
    logging.disable(logging.NOTSET if sys.argv[2] == "http" else logging.CRITICAL)
    logging.getLogger("crdtstore").setLevel(logging.CRITICAL)
    fuzz(sys.argv[2], sys.argv[3:])
