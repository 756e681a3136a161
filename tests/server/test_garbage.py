"""Garbage is looked for by the clock, and nothing is left of it."""

import asyncio
import gc
import weakref

import pytest

from crdtstore import limits
from crdtstore.server.garbage import collecting
from tests.patience import PATIENCE_S


class Knot:
    """An object in a cycle."""

    def __init__(self) -> None:
        self.own = self


def knot() -> "weakref.ref[Knot]":
    return weakref.ref(Knot())


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(limits, "COLLECT_YOUNG_S", 0.01)
    monkeypatch.setattr(limits, "COLLECT_MIDDLE_S", 0.03)
    monkeypatch.setattr(limits, "COLLECT_ALL_S", 0.2)


async def gone(knot: "weakref.ref[Knot]", patience_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience_s
    while knot() is not None and loop.time() < deadline_s:
        await asyncio.sleep(0.005)
    return knot() is None


def test_a_young_cycle_goes_soon_and_an_old_one_later():
    async def scenario() -> None:
        old = Knot()
        is_old = weakref.ref(old)
        with collecting():
            assert not gc.isenabled()
            assert await gone(knot(), PATIENCE_S)
            for _ in range(3):
                gc.collect(1)
            del old
            assert await gone(is_old, PATIENCE_S)
        assert gc.isenabled()

    asyncio.run(scenario())


def test_the_young_are_looked_at_often_and_all_seldom():
    looks: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looks.append(info["generation"])

    async def scenario() -> None:
        try:
            with collecting():
                gc.callbacks.append(note)  # from here on nobody else looks
                while looks.count(2) < 2:
                    await asyncio.sleep(0.01)
        finally:
            gc.callbacks.remove(note)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    first = looks[: looks.index(2) + 1]
    assert (first.count(0), first.count(1)) == (13, 6)
