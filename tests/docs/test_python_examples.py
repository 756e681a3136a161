"""Every Python example of the documents runs, in a process and a directory of its own."""

import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from tests.docs import documents
from tests.docs.documents import ROOT, Block
from tests.patience import PATIENCE_S

EXAMPLES = documents.blocks("python")
TESTING = "docs/testing.md"
PUBLIC_MODULES = (
    "crdtstore", "crdtstore.errors", "crdtstore.linkage", "crdtstore.schema", "crdtstore.server",
    "crdtstore.testing",
)  # fmt: skip


def on_free_ports(text: str) -> str:
    """Return a text with ports that nobody uses, the same one for the same one."""
    ports = {port: str(free_port()) for port in re.findall(r"\b84\d\d\b", text)}
    return re.sub(r"\b84\d\d\b", lambda match: ports[match[0]], text)


@cache
def run(text: str, directory: Path) -> str:
    """Run an example, once; return what it prints."""
    path = Path(tempfile.mkdtemp(dir=directory)) / "example.py"
    path.write_text(on_free_ports(text), "utf-8")
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", path.name],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stdout


def test_there_are_examples() -> None:
    assert sum(block.place.startswith("README.md") for block in EXAMPLES) >= 2


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_an_example_runs(block: Block, directory: Path) -> None:
    run(block.text, directory)


def test_the_first_example_prints_what_the_readme_says(directory: Path) -> None:
    printed = run(EXAMPLES[0].text, directory).strip()
    assert f"It prints `{printed}`." in documents.read("README.md")


def test_the_second_example_explains_and_follows(directory: Path) -> None:
    explained, change = run(EXAMPLES[1].text, directory).splitlines()
    assert explained.startswith("ann@example.com salesforce ")
    assert change == "1.0 ann ('email', 'tags')"


def test_the_machine_that_is_wrong_is_told_as_the_page_says(directory: Path) -> None:
    """Its text and its program are those of the page; which replica writes first is open."""
    (example,) = [block for block in EXAMPLES if "except LawBroken" in block.text]
    blocks = [block.text for block in documents.blocks("") if block.place.startswith(TESTING)]
    told, shown = blocks[:2]
    printed = run(example.text, directory)
    assert printed.endswith(told)
    program = printed.removesuffix(told).replace("__main__", "test_shop")
    assert sorted(program.splitlines()) == sorted(shown.splitlines())


def test_the_examples_hold_to_the_imports_of_the_package() -> None:
    """What an example imports is public: it is in ``__all__``, or in a module's own."""
    for block in EXAMPLES:
        for module in re.findall(r"^from (crdtstore\S*) import", block.text, re.MULTILINE):
            assert module in PUBLIC_MODULES, block.place
