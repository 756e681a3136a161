"""Random histories in which replicas live many lives, and journals are short."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.settings import Settings
from tests.simulation.test_convergence import ACTIONS, HISTORIES, run_history, small_limits

__all__ = ["small_limits"]

SHORT = Settings(acknowledged_retention_ms=100, journal_retention_ms=1_500)
RENEW = st.tuples(st.just("renew"), st.integers(0, 3))
STEPS = st.tuples(st.just("step"), st.integers(3, 30))
LIVES = {**HISTORIES, "actions": st.lists(ACTIONS | RENEW | RENEW | STEPS, max_size=80)}


@pytest.fixture
def quick_rest(monkeypatch):
    monkeypatch.setattr(limits, "RESTING_LOOK_MS", 100)
    monkeypatch.setattr(limits, "RESTING_CHUNK", 2)
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 100)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**LIVES)
def test_replicas_of_many_lives_converge_whatever_happens(
    quick_rest, shape, size, late, seed, actions
):
    run_history(shape, size, late, seed, actions, SHORT)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**LIVES)
def test_replicas_of_many_lives_with_small_limits_converge_whatever_happens(
    small_limits, quick_rest, shape, size, late, seed, actions
):
    run_history(shape, size, late, seed, actions, SHORT)
