"""``python -m tests.mutants``: put each bug into a copy of the package, and see who catches it."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutants.bug import Bug
from tests.mutants.bugs import BUGS

ROOT: Final = Path(__file__).resolve().parents[2]
CHECK_TIMEOUT_S: Final = 600

_PYTEST: Final = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")

_TEXT_TESTS: Final = (
    "tests/model/test_texts.py",
    "tests/model/test_updates.py",
    "tests/model/test_contests.py",
    "tests/fuzzing/test_targets.py",
)

CHECKS: Final = (
    ("simulator, 40 seeds", ("-m", "crdtstore.testing.simulation", "--seeds", "40")),
    ("tests of texts", (*_PYTEST, *_TEXT_TESTS, "-k", "not test_targets or update")),
    ("tests of commits", (*_PYTEST, "tests/test_group_commit.py", "tests/engine")),
    ("laws", (*_PYTEST, "tests/laws")),
    ("simulator, 400 seeds", ("-m", "crdtstore.testing.simulation", "--seeds", "400")),
)
"""Who looks for a bug, the quickest first."""


def with_bug(bug: Bug | None, directory: Path) -> Path:
    """Return a copy of the package and its tests with one bug in it, or with none."""
    for name in ("crdtstore", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "mutants")
        shutil.copytree(ROOT / name, directory / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", directory)
    for file_name, before, after in bug.edits if bug is not None else ():
        file = directory / "crdtstore" / file_name
        text = file.read_text()
        if text.count(before) != 1:
            raise SystemExit(f"{file_name} does not have this once; mend bugs.py:\n{before}")
        file.write_text(text.replace(before, after))
    return directory


def found_by(directory: Path) -> tuple[str, str]:
    """Return who found a bug in a copy, and what was said; empty if nobody did."""
    environment = {**os.environ, "PYTHONPATH": str(directory), "CI": "true"}
    for name, arguments in CHECKS:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=CHECK_TIMEOUT_S)[0]
        except subprocess.TimeoutExpired:
            return name, "it does not end"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            return name, _why(output)
    return "", ""


def _why(output: str) -> str:
    """Return the line that says what was broken, as well as it can be told."""
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("seed ") and line.endswith("failed:"):
            return " ".join(lines[number + 1 : number + 2])[:100]
    told = [line for line in lines if line.startswith(("E  ", "FAILED"))]
    return (told or lines or ["it ended with an error"])[0][:100]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bugs; return 0 if the package as it is passes and every bug was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="only bugs whose name has this text")
    options = parser.parse_args(arguments)
    bugs = [bug for bug in BUGS if options.only in bug.name]
    survivors = []
    for bug in (None, *bugs):
        started_s = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="crdtstore-mutant-") as directory:
            finder, said = found_by(with_bug(bug, Path(directory)))
        elapsed_s = time.monotonic() - started_s
        if bug is None:
            print(
                f"{'no bug':<46} {finder or 'nothing found, as it should be'} ({elapsed_s:.0f} s)"
            )
            if finder:
                print(f"the package itself does not pass: {said}")
                return 1
            continue
        print(f"{bug.name:<46} {finder or 'SURVIVED'} ({elapsed_s:.0f} s)\n    {said}", flush=True)
        if not finder:
            survivors.append(bug.name)
    print(f"{len(bugs) - len(survivors)} of {len(bugs)} bugs were caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
