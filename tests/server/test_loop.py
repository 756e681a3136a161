"""Serving runs on uvloop where it is installed, and on asyncio's own loop elsewhere."""

import sys

import pytest

from crdtstore.server.loop import event_loop_factory


def test_the_loop_is_that_of_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    assert event_loop_factory() is uvloop.new_event_loop


def test_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop_factory() is None
