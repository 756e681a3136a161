"""The toolkit's public names are real, and say what is missing without Hypothesis."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import crdtstore.testing
from tests import layout_rules as rules
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]

WITHOUT_HYPOTHESIS = """
import sys

sys.modules["hypothesis"] = None  # what an import of a missing package comes to
import crdtstore.testing

trial = crdtstore.testing.Trial(replicas=2)
trial.write("eu", "ann", {"email": "ann@example.com"}, source="crm")
trial.check()
try:
    crdtstore.testing.check_policy
except ModuleNotFoundError as error:
    print(error)
"""


def test_public_names_are_sorted_real_and_complete():
    offered = crdtstore.testing.__all__
    assert offered == sorted(offered)
    text = Path(crdtstore.testing.__file__).read_text("utf-8")
    assert sorted({*rules.imported_names(text)} - {"TYPE_CHECKING", "Any"}) == offered
    for name in offered:
        assert getattr(crdtstore.testing, name).__name__ == name


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'check_everything'"):
        crdtstore.testing.check_everything  # noqa: B018


def test_without_hypothesis_trials_work_and_the_rest_says_what_to_install():
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_HYPOTHESIS],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told = "crdtstore.testing.check_policy needs Hypothesis; install crdtstore[testing]"
    assert finished.stdout.strip() == told
