"""The layout: who may import whom, how large things are, what they are called and what they say.

Every rule is read from the syntax tree or the text of the files. ``tests/test_layout_rules.py``
shows that each of them can fail.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

import crdtstore
from tests import layout_rules as rules
from tests.long_files import LONG_FILES
from tests.service_rules import SERVICE_RULES

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "crdtstore").rglob("*.py"))
SERVICES = sorted((ROOT / "replicas").rglob("*.py"))
SOURCES = [*PACKAGE, *SERVICES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
ALL_PYTHON = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "*.toml",
        "Makefile",
        ".ci/run",
        "docs/**/*.md",
        "crdtstore/**/*.md",
        "crdtstore/**/*.toml",
        "replicas/**/*.md",
    )
    for path in ROOT.glob(pattern)
)


def check(paths: list[Path], rule: rules.Rule) -> None:
    """Fail with everything that a rule says about files, each line with its place."""
    found = []
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}:{line}: {text}" for line, text in rule(name, path.read_text("utf-8"))]
    assert not found, "\n".join(["", *found])


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONG_FILES if not (ROOT / "tests" / name).is_file()] == []


def test_there_is_something_to_check() -> None:
    assert len(PACKAGE) > 60
    assert len(SERVICES) > 20
    assert len(TEXTS) > 5
    parts = {rules.part_of(path.relative_to(ROOT).as_posix()) for path in PACKAGE}
    assert parts == set(rules.MAY_IMPORT)


@pytest.mark.parametrize("rule", rules.PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_the_library(rule: rules.Rule) -> None:
    check(PACKAGE, rule)


@pytest.mark.parametrize("rule", SERVICE_RULES, ids=lambda rule: rule.__name__)
def test_the_services(rule: rules.Rule) -> None:
    check(SERVICES, rule)


@pytest.mark.parametrize("rule", rules.SOURCE_RULES, ids=lambda rule: rule.__name__)
def test_library_services_and_benchmarks(rule: rules.Rule) -> None:
    check(SOURCES, rule)


@pytest.mark.parametrize("rule", rules.PYTHON_RULES, ids=lambda rule: rule.__name__)
def test_all_python(rule: rules.Rule) -> None:
    check(ALL_PYTHON, rule)


@pytest.mark.parametrize("rule", rules.TEXT_RULES, ids=lambda rule: rule.__name__)
def test_all_text(rule: rules.Rule) -> None:
    check([*ALL_PYTHON, *TEXTS], rule)


def test_the_import_table_has_no_cycle() -> None:
    settled: set[str] = set()
    while waiting := {part for part in rules.MAY_IMPORT if part not in settled}:
        ready = {part for part in waiting if rules.MAY_IMPORT[part] <= settled}
        assert ready, f"a cycle among {sorted(waiting)}"
        settled |= ready


def test_what_the_package_offers_is_sorted_real_and_complete() -> None:
    offered = crdtstore.__all__
    assert offered == sorted(offered)
    assert len(set(offered)) == len(offered)
    assert [name for name in offered if not hasattr(crdtstore, name)] == []
    imported = rules.imported_names((ROOT / "crdtstore/__init__.py").read_text("utf-8"))
    assert sorted(offered) == sorted(imported)


@pytest.mark.parametrize("name", rules.BOUNDS_FILES)
def test_every_limit_has_a_reason(name: str) -> None:
    assert rules.limits_without_reason((ROOT / name).read_text("utf-8")) == []


@pytest.mark.parametrize("name", rules.BOUNDS_FILES)
def test_every_limit_is_used(name: str) -> None:
    names = re.findall(r"^([A-Z_]+): Final", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    assert names
    words = Counter[str]()
    for path in [*PACKAGE, *SERVICES]:
        words.update(re.findall(r"\w+", path.read_text("utf-8")))
    assert [name for name in names if words[name] < 2] == []
