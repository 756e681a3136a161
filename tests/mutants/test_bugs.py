"""The deliberate bugs can still be put in; `make mutants` sees who catches them."""

from pathlib import Path

import pytest

from tests.mutants.bug import Bug
from tests.mutants.bugs import BUGS

PACKAGE = Path(__file__).parents[2] / "crdtstore"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_fits_the_code_as_it_is(bug: Bug) -> None:
    for file, before, after in bug.edits:
        text = (PACKAGE / file).read_text("utf-8")
        assert text.count(before) == 1
        compile(text.replace(before, after), file, "exec")


def test_the_bugs_have_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
