"""A process that writes to a data directory, and is killed at a moment chosen by chance."""

import os
import random
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]


def acknowledged_by_a_killed(program: str, path: Path, chance: random.Random, lines: int) -> int:
    """Run a program that prints each position once it is durable; return the last it printed.

    It is killed after fewer than so many lines; what it had printed by then counts.
    """
    reached = 0
    with subprocess.Popen(
        [sys.executable, "-c", program, path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    ) as process:
        assert process.stdout is not None
        for _ in range(chance.randrange(2, lines)):
            reached = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split("\n")
    return max([reached, *(int(line) for line in rest[:-1] if line)])
