"""Laws: how they are proved over drawn examples, and the error that tells which one broke."""

from collections.abc import Callable
from typing import TypeAlias

from hypothesis import HealthCheck, Phase, Verbosity, given
from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from crdtstore.testing.broken import LawBroken
from crdtstore.testing.other_process import is_answering

Law: TypeAlias = Callable[[st.DataObject], None]
"""Draws an example, and raises LawBroken if it does not keep the law."""


def prove(law: Law, settings: Settings | None) -> None:
    """Look for an example that breaks a law; raises LawBroken with the smallest one found.

    What answers by chance breaks the law once and keeps it the next time: then the example is the
    last one found, not the smallest.
    """
    __tracebackhide__ = True
    if is_answering():
        return
    found: list[LawBroken] = []

    @quiet(settings)
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        try:
            law(data)
        except LawBroken as broken:
            found.append(broken)
            raise

    try:
        attempt()
    except LawBroken as broken:
        raise LawBroken(str(broken)) from None
    except Flaky:
        if not found:
            raise
        raise LawBroken(str(found[-1])) from None


def quiet(settings: Settings | None) -> Settings:
    """Return settings under which an error says everything, and Hypothesis adds nothing."""
    settings = settings or Settings()
    return Settings(
        settings,
        deadline=None,
        database=None,
        phases=[phase for phase in settings.phases if phase is not Phase.explain],
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
