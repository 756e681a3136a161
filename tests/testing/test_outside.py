"""Files as a user writes them: right ones pass, wrong ones fail with a reason and a program."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "outside"
ROOT = Path(__file__).parents[2]


def run(directory, *arguments):
    """Run Python in a directory outside of the package, with no plugins of others in pytest."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory):
    """Run pytest on a copy of a file, once; return where, its exit code and what it prints."""

    @cache
    def outcome(name):
        directory = tmp_path_factory.mktemp(name)
        text = (FILES / f"{name}.py").read_text("utf-8")
        (directory / "test_shop.py").write_text(text, "utf-8")
        finished = run(directory, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")
        return directory, finished.returncode, finished.stdout

    return outcome


def reason_of(printed):
    """Return the text of the error that pytest shows, without its margin."""
    lines = re.findall(r"^E {3,}(.*)$", printed, re.MULTILINE)
    return "\n".join(lines)


def program_of(printed):
    """Return the program that was printed."""
    (program,) = re.findall(
        r"^(from test_shop import Shop\n.*?)\n(?:---|===)", printed, re.M | re.S
    )
    return program


@pytest.mark.parametrize("path", sorted(FILES.glob("*.py")), ids=lambda path: path.stem)
def test_a_user_needs_few_lines_and_public_names_alone(path):
    text = path.read_text("utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 30
    modules = set(re.findall(r"^(?:from|import) (crdtstore\S*)", text, re.MULTILINE))
    assert modules <= {"crdtstore", "crdtstore.schema", "crdtstore.errors", "crdtstore.testing"}


def test_what_is_right_passes(outcome_of):
    _, code, printed = outcome_of("right")
    assert code == 0, printed
    assert "2 passed" in printed


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("first_comes", r"'whatever_comes_first' breaks the law of order: it changes the survivor"),
        ("by_clock", r"policy 'fresh' breaks the law of outside: it asks datetime\.now"),
        ("by_chance", r"policy 'fair' breaks the law of outside: it asks random"),
        (
            "order_of_a_set",
            r"policy 'usual' breaks the law of (order: it|process: another)",
        ),
    ],
)
def test_a_wrong_policy_is_found(name, law, outcome_of):
    _, code, printed = outcome_of(name)
    assert code == 1
    assert re.search(law, reason_of(printed)), printed
    assert "passed" not in printed


@pytest.mark.parametrize(
    ("name", "steps", "law"),
    [
        ("own_counter", 3, r"'visits' of '\w+' is 1, though its writers make it 2"),
        ("by_clock", 3, r"reading profile '\w+' asks datetime\.now: a policy of the schema does"),
        ("by_chance", 3, r"reading profile '\w+' asks random: a policy of the schema does"),
        ("own_demand", 2, r"'customers_are_tagged' does not hold at \w+: no status"),
    ],
)
def test_a_wrong_history_is_found_and_its_program_shows_the_same(name, steps, law, outcome_of):
    directory, code, printed = outcome_of(name)
    assert code == 1
    assert re.search(law, reason_of(printed)), printed
    program = program_of(printed)
    assert len(re.findall(r"^trial\.", program, re.MULTILINE)) == steps, program
    (directory / "program.py").write_text(program, "utf-8")
    again = run(directory, "program.py")
    assert again.returncode == 1
    assert re.search(law, again.stderr), again.stderr
