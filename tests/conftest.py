"""Rules for the whole suite.

Where CI says so, a missing program is a failure, not a skip, and Hypothesis draws the same examples
in every run, so that a landing does not depend on luck; at a desk every run draws new ones.
"""

import gc
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.long_files import place_of

_CALM: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""A machine that is slow, or busy with others, is no failure."""

settings.register_profile("desk", **_CALM)
settings.register_profile("long", **_CALM, max_examples=2_000)
settings.register_profile("ci", **_CALM, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: place_of(item.path))


def pytest_collection_finish() -> None:
    """Have Python look for garbage among what tests make, not among the thousands of them."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let all go at the end, of which libraries take note."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report: Any = yield
    must_run = os.environ.get("CRDTSTORE_TESTS_MUST_NOT_SKIP")
    if must_run and report.skipped and "is not installed" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longrepr[-1]}"
    return report
